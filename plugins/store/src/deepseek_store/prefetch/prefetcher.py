"""What the engine asks: which blocks to fetch now, and why.

Block ids are integers chosen so that consecutive shards of an object, and consecutive objects in
the order of their keys, are consecutive numbers: streams and the LSTM see distances, not names.
Pure but for the optional trainer, which is polled.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, islice
from typing import Protocol

import attrs

from deepseek_store.prefetch.channels import Channels
from deepseek_store.prefetch.duel import Duel
from deepseek_store.prefetch.lstm import LstmSource, Weights
from deepseek_store.prefetch.markov import MarkovSource
from deepseek_store.prefetch.order import OrderSource, OrderStats
from deepseek_store.prefetch.streams import StreamSource

NAMES = ("streams", "markov", "lstm")
ORDER_AHEAD = 64  # blocks of a known order under way or at hand
MOST_HELD = 256  # blocks that wait until fewer are under way
MAX_LEAD = 16  # requests ahead that the LSTM predicts at most
_SMOOTH = 0.1  # of the fetch time
_POLL = 256  # requests between two looks at the trainer


class Teacher(Protocol):
    """Trains in the background (`training.Trainer`)."""

    def poll(self, history: Sequence[int], requests: int, lead: int) -> Weights | None:
        """New weights when some are ready; starts a training when one is due."""
        ...


@attrs.frozen(kw_only=True)
class PrefetchStats:
    """Counts since the start, and who acts why; `fetch_s` is the fetch time as measured."""

    requests: int
    hits: int
    used: int
    acting: tuple[str, ...]
    why: str
    fetch_s: float
    order: OrderStats | None


class Prefetcher:
    """Watches all requests of one cache; safe for one caller at a time (the engine's lock).

    `capacity_blocks` is the cache's. `contains` tells whether a block is in the cache or under way:
    such blocks are not returned. `sources` names those that may act. `teacher` trains the LSTM in
    the background; without it or `weights` the LSTM is silent; it learns from
    the last `history` requests. `gated=False` lets all sources act always, without a duel. Memory
    is bounded by constants and the capacity.
    """

    def __init__(
        self,
        *,
        capacity_blocks: int,
        fetch_s: float = 1e-3,
        sources: Sequence[str] = NAMES,
        contains: Callable[[int], bool] | None = None,
        weights: Weights | None = None,
        teacher: Teacher | None = None,
        history: int = 40_000,
        gated: bool = True,
    ) -> None:
        if unknown := set(sources) - set(NAMES):
            raise ValueError(f"no source {sorted(unknown)}; there are {NAMES}")
        self._capacity, self._fetch_s = max(1, capacity_blocks), fetch_s
        self._contains = contains
        # the three sources; those in `sources` learn from each request
        self.streams = StreamSource(capacity_blocks=self._capacity, fetch_s=fetch_s)
        self.markov = MarkovSource()
        self.lstm = LstmSource(weights)
        every = {
            "streams": self.streams.observe,
            "markov": self.markov.observe,
            "lstm": self.lstm.observe,
        }
        # sources that may act, in the order of the duel's bits
        self._names = tuple(name for name in NAMES if name in sources)
        # of those sources, in their order: what each predicts after a request
        self._observers = [every[name] for name in self._names]
        # decides which subset of them acts
        self._duel = Duel(sources=len(self._names), capacity_blocks=self._capacity)
        self._channels = Channels()  # how many fetches are served at once, as far as was seen
        self._gated = gated
        # a known order of reads; while it holds nothing else predicts
        self._order: OrderSource | None = None
        self._teacher = teacher
        self._history: deque[int] = deque(maxlen=history if teacher is not None else 0)
        # blocks that were returned and not asked for yet, oldest first
        self._outstanding: OrderedDict[int, None] = OrderedDict()
        # blocks that are wanted and wait for a free channel
        self._held: OrderedDict[int, None] = OrderedDict()
        self._waited: dict[int, tuple[int, float]] = {}  # missed: number of the request, its time
        self._lead, self._wait_s = 0.0, fetch_s  # requests, and seconds, of a wait
        self._last_s, self._last_wait_s = 0.0, 0.0  # of the last request
        self._requests = self._hits = self._used = 0

    def on_request(self, block: int, hit: bool, now_s: float) -> Sequence[int]:
        """The blocks to fetch now, the soonest needed first; `hit`: this one was in the cache."""
        self._count(block, hit, now_s)
        predicted = [observe(block, now_s) for observe in self._observers]
        acting = (
            self._duel.judge(block, predicted, self._think_s(hit, now_s), self._fetch_s)
            if self._gated
            else (1 << len(predicted)) - 1
        )
        if self._order is not None:
            ordered = self._follow(self._order, block, now_s)
            if ordered is not None:
                return self._issue(dict.fromkeys(ordered))
        wanted = [blocks for number, blocks in enumerate(predicted) if acting >> number & 1]
        if self._held or any(wanted):
            return self._issue(self._in_turn(wanted))
        return ()

    def on_fetched(self, block: int, seconds: float, now_s: float) -> None:
        """A fetch of the block came in now, after so many seconds under way."""
        if seconds > 0.0:
            self._fetch_s += _SMOOTH * (seconds - self._fetch_s)
            self.streams.fetch_s = self._fetch_s
        self._channels.arrive(block, seconds, now_s)
        asked = self._waited.pop(block, None)
        if asked is not None:
            self._waited_for(*asked, now_s)

    def set_order(self, order: Iterable[int], *, ahead: int | None = None) -> Sequence[int]:
        """Follow this order from now on; the blocks to fetch at once.

        The order acts alone until it ends or the requests leave it. `ahead` blocks are kept under
        way or at hand: at most the whole cache, by default 64 or three quarters of it.
        """
        usual = min(ORDER_AHEAD, self._capacity * 3 // 4)
        self._order = OrderSource(order, ahead=max(1, min(ahead or usual, self._capacity)))
        self._held.clear()
        return self._issue(dict.fromkeys(self._order.start()))

    def clear_order(self) -> None:
        """Follow no order."""
        self._order = None

    def adopt(self, weights: Weights) -> None:
        """Let the LSTM predict by these weights."""
        self.lstm.adopt(weights)

    @property
    def lead(self) -> int:
        """Requests that come while a missed block is fetched, at least 1: how far to look ahead."""
        return max(1, min(MAX_LEAD, round(self._lead)))

    def stats(self) -> PrefetchStats:
        """Counts, and who acts why."""
        return PrefetchStats(
            requests=self._requests,
            hits=self._hits,
            used=self._used,
            acting=("order",) if self._order_leads() else self._subset(self._duel.acting),
            why=self._why(),
            fetch_s=self._fetch_s,
            order=self._order.stats() if self._order is not None else None,
        )

    def _think_s(self, hit: bool, now_s: float) -> float:
        """Seconds since the last request, less what it had to wait if it missed."""
        passed_s = now_s - self._last_s - self._last_wait_s / self._duel.readers
        self._last_s, self._last_wait_s = now_s, 0.0 if hit else self._wait_s
        return max(0.0, passed_s)

    def _waited_for(self, number: int, asked_s: float, now_s: float) -> None:
        """What that request missed is here: how long it waited, what came meanwhile."""
        waited_s = max(0.0, now_s - asked_s)
        self._wait_s += _SMOOTH * (waited_s - self._wait_s)
        if number == self._requests:
            self._last_wait_s = waited_s
        self._lead += _SMOOTH * (self._requests - number - self._lead)
        self._duel.readers = 1.0 + min(self._lead, MAX_LEAD)

    def _order_leads(self) -> bool:
        return self._order is not None and not self._order.lost and not self._order.ended

    def _follow(self, order: OrderSource, block: int, now_s: float) -> Sequence[int] | None:
        """What the known order announces; None when it leads no more."""
        blocks = order.observe(block, now_s)
        return blocks if blocks or self._order_leads() else None

    def _in_turn(self, wanted: Iterable[Iterable[int]]) -> dict[int, None]:
        """Blocks that may be in flight at once; the others are held, the oldest dropped."""
        held, found = self._held, dict.fromkeys(chain.from_iterable(wanted))
        if not held and len(found) <= min(MOST_HELD, self._channels.room):
            return found
        held.update(found)
        while len(held) > MOST_HELD:
            held.popitem(last=False)
        found = dict.fromkeys(islice(held, self._channels.room))
        for block in found:
            del held[block]
        return found

    def _issue(self, wanted: dict[int, None]) -> list[int]:
        contains, outstanding = self._contains, self._outstanding
        if contains is not None:
            wanted = {block: None for block in wanted if not contains(block)}
        outstanding.update(wanted)
        self._channels.announce(wanted)
        while len(outstanding) > self._capacity:  # older than the cache: gone unused
            outstanding.popitem(last=False)
        return list(wanted)

    def _count(self, block: int, hit: bool, now_s: float) -> None:
        self._requests += 1
        self._hits += hit
        self._held.pop(block, None)
        if block in self._outstanding:
            del self._outstanding[block]
            self._used += 1
        self._channels.tick(now_s, self._fetch_s)
        self._duel.channels = self._channels.count
        self._channels.ask(block, hit)
        if not hit:
            waited = self._waited
            waited[block] = (self._requests, now_s)
            if len(waited) > MAX_LEAD * 4:
                del waited[next(iter(waited))]
        if self._teacher is not None:
            self._history.append(block)
            if self._requests % _POLL == 0:
                weights = self._teacher.poll(self._history, self._requests, self.lead)
                if weights is not None:
                    self.adopt(weights)

    def _subset(self, mask: int) -> tuple[str, ...]:
        return tuple(name for number, name in enumerate(self._names) if mask >> number & 1)

    def _why(self) -> str:
        if self._order_leads():
            return "a known order is followed"
        scores, acting = self._duel.scores, self._duel.acting
        text = f"{scores[acting]:.3f} hits per request after the cost of fetches in the shadow duel"
        return text if acting == 0 else f"{text}, {scores[0]:.3f} without prefetch"
