"""The kinds of steps that data moves by, made of what every object should have.

Each method of `Steps` gives the steps of one kind; an object is in one step of a plan at most.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Literal

import attrs

from deepseek_store.planning.amounts import size_text
from deepseek_store.planning.policy import SMALLEST_SHARD_NBYTES, TIERS, Policy, TierName
from deepseek_store.planning.tiering import TierTerms
from deepseek_store.planning.wanted_tiers import Wish

Kind = Literal["promote", "adopt", "drop", "pack", "compact"]

_HOT_REST: Final = 0.1  # hot objects of a segment that goes are rewritten up to this share
_KNOWN: Final = 0.9  # a segment is judged by its objects only if they make up so much of it
_FULL: Final = 0.98  # a cold stripe so full is written
_RECORD_NBYTES: Final = 256  # header and footer entry of a record without its key
_FRAGMENT_NBYTES: Final = 4096  # headers, trailer and padding of a fragment


@attrs.frozen(kw_only=True)
class SegmentState:
    """What is known of a sealed segment.

    `nbytes` are of payloads, `live_nbytes` those that a version still needs. `local`: the log has a
    copy. `stripe`: it is a data fragment of that stripe, which is in `tier`.
    """

    id: int
    nbytes: int
    live_nbytes: int
    sealed_s: float = 0.0
    local: bool = True
    stripe: int | None = None
    tier: TierName = "hot"


@attrs.frozen(kw_only=True)
class Move:
    """One step. `nbytes` are the payloads concerned, `written_nbytes` what is written for it."""

    kind: Kind
    source: TierName
    target: TierName
    keys: tuple[str, ...] = ()
    segments: tuple[int, ...] = ()
    stripe: int | None = None
    nbytes: int
    written_nbytes: int
    saving_per_day: float = 0.0
    reason: str

    def __str__(self) -> str:
        what = [f"{len(self.keys)} objects"] if len(self.keys) > 1 else list(self.keys)
        if self.segments:
            what.append(f"{len(self.segments)} segments" if len(self.segments) > 1 else "a segment")
        way = self.source if self.source == self.target else f"{self.source} to {self.target}"
        return f"{self.kind} {', '.join(what)}, {size_text(self.nbytes)}, {way}: {self.reason}"


class Steps:
    """Steps towards the wishes; equal input, equal steps."""

    def __init__(
        self,
        wishes: Sequence[Wish],
        segments: Sequence[SegmentState],
        terms: Sequence[TierTerms],
        policy: Policy,
        now_s: float,
    ) -> None:
        self._wishes = wishes
        self._segments = sorted(segments, key=lambda segment: segment.id)
        self._terms = {one.name: one for one in terms}  # by tier: its code and its sizes
        self._policy = policy
        self._now_s = now_s
        self._striped: dict[int, list[SegmentState]] = defaultdict(list)  # stripe -> its segments
        for segment in self._segments:
            if segment.stripe is not None:
                self._striped[segment.stripe].append(segment)
        # segment -> (object's wish, its bytes there)
        self._in_segment: dict[int, list[tuple[Wish, int]]] = defaultdict(list)
        for wish in wishes:
            for number, nbytes in wish.state.parts:
                self._in_segment[number].append((wish, nbytes))

    def promote(self) -> tuple[Move, ...]:
        """Objects that should be in a faster tier, by what a byte of them saves."""
        rising = [wish for wish in self._wishes if _is_up(wish.state.tier, wish.tier)]
        rising.sort(
            key=lambda wish: (-wish.saving_per_day / max(wish.state.nbytes, 1), wish.state.key)
        )
        return tuple(
            Move(
                kind="promote",
                source=wish.state.tier,
                target=wish.tier,
                keys=(wish.state.key,),
                nbytes=wish.state.nbytes,
                written_nbytes=self._stored(wish.state.nbytes, wish.tier),
                saving_per_day=wish.saving_per_day,
                reason=wish.why,
            )
            for wish in rising
        )

    def adopt(self, flush: bool) -> tuple[tuple[Move, ...], int]:
        """Segments of the log into warm stripes, and the bytes that wait for a full one."""
        if "warm" not in self._terms:
            return (), 0
        ready = [segment for segment in self._segments if self._adoptable(segment)]
        width = self._terms["warm"].data_fragments
        moves, waiting = [], 0
        for i in range(0, len(ready), width):
            batch = ready[i : i + width]
            old = self._now_s - min(one.sealed_s for one in batch) > self._policy.stripe_wait_s
            if len(batch) == width or flush or old:
                moves.append(self._adoption(batch, width))
            else:
                waiting = sum(segment.nbytes for segment in batch)
        return tuple(moves), waiting

    def _adoptable(self, segment: SegmentState) -> bool:
        if segment.stripe is not None or not segment.local or segment.live_nbytes <= 0:
            return False
        if self._is_garbage([segment]):
            return False
        cold = sum(n for wish, n in self._in_segment[segment.id] if wish.tier == "cold")
        return cold * 2 <= segment.live_nbytes

    def _adoption(self, batch: Sequence[SegmentState], width: int) -> Move:
        nbytes = sum(segment.nbytes for segment in batch)
        full = "a full stripe" if len(batch) == width else f"{len(batch)} of {width} fragments"
        return Move(
            kind="adopt",
            source="hot",
            target="warm",
            segments=tuple(segment.id for segment in batch),
            nbytes=nbytes,
            written_nbytes=self._stored(nbytes, "warm"),
            reason=f"{full}, most of what lives in them is warm or hot",
        )

    def drop(self) -> tuple[Move, ...]:
        """Local copies that a stripe makes superfluous."""
        return tuple(
            move
            for segment in self._segments
            if segment.local and segment.stripe is not None
            if not self._is_garbage(self._striped[segment.stripe])
            if (move := self._dropped(segment)) is not None
        )

    def _dropped(self, segment: SegmentState) -> Move | None:
        inside = self._in_segment[segment.id]
        hot = [(wish, nbytes) for wish, nbytes in inside if wish.tier == "hot"]
        hot_nbytes = sum(nbytes for _, nbytes in hot)
        known = sum(nbytes for _, nbytes in inside)
        if known < _KNOWN * segment.live_nbytes or hot_nbytes > _HOT_REST * segment.live_nbytes:
            return None
        again = {wish.state.key: wish.state.nbytes for wish, _ in hot if not wish.moves}
        keys = tuple(sorted(again))
        rest = f"; {len(keys)} hot objects are rewritten before" if keys else ""
        return Move(
            kind="drop",
            source="hot",
            target=segment.tier,
            keys=keys,
            segments=(segment.id,),
            stripe=segment.stripe,
            nbytes=segment.nbytes,
            written_nbytes=sum(again.values()),
            reason=f"it is in a {segment.tier} stripe and has cooled{rest}",
        )

    def pack(self, flush: bool) -> tuple[tuple[Move, ...], int]:
        """Cold objects into wide stripes, by key, and the bytes that wait for a full one."""
        cooling = [wish for wish in self._wishes if wish.moves and wish.tier == "cold"]
        cooling.sort(key=lambda wish: wish.state.key)
        if not cooling or "cold" not in self._terms:
            return (), 0
        batches = list(self._filled(cooling))
        waiting = 0
        if not flush and self._fill(sum(map(packed_nbytes, batches[-1]))) < _FULL:
            waiting = sum(wish.state.nbytes for wish in batches.pop())
        return tuple(self._packing(batch) for batch in batches), waiting

    def _filled(self, cooling: Iterable[Wish]) -> Iterator[list[Wish]]:
        """Batches that fill one stripe, or several where objects are large; the last may not."""
        batch, nbytes = list[Wish](), 0
        for wish in cooling:
            more = packed_nbytes(wish)
            if batch and self._fill(nbytes) >= _FULL and self._fill(nbytes + more) < _FULL:
                yield batch
                batch, nbytes = [], 0
            batch.append(wish)
            nbytes += more
        if batch:
            yield batch

    def _fill(self, nbytes: int) -> float:
        """How full the stripes are that it takes to hold so much."""
        fragment_nbytes = max(self._policy.cold_fragment_nbytes - _FRAGMENT_NBYTES, 1)
        stripe_nbytes = self._terms["cold"].data_fragments * fragment_nbytes
        return nbytes / (stripe_nbytes * max(-(-nbytes // stripe_nbytes), 1))

    def _packing(self, batch: Sequence[Wish]) -> Move:
        nbytes = sum(wish.state.nbytes for wish in batch)
        sources = sorted({wish.state.tier for wish in batch}, key=TIERS.index)
        share = self._fill(sum(map(packed_nbytes, batch)))
        return Move(
            kind="pack",
            source=sources[-1],
            target="cold",
            keys=tuple(wish.state.key for wish in batch),
            nbytes=nbytes,
            written_nbytes=self._stored(nbytes, "cold"),
            saving_per_day=sum(wish.saving_per_day for wish in batch),
            reason=f"cooled, they fill their stripes to {share:.0%}; the first: {batch[0].why}",
        )

    def compact(self) -> tuple[Move, ...]:
        """What lives in segments and stripes that are mostly dead; the emptiest first."""
        alone = [[one] for one in self._segments if one.local and one.stripe is None]
        groups = (*alone, *self._striped.values())
        dead = [group for group in groups if self._is_garbage(group)]
        dead.sort(key=lambda group: (-_garbage_share(group), group[0].id))
        return tuple(self._compaction(group) for group in dead)

    def _compaction(self, group: Sequence[SegmentState]) -> Move:
        inside = [wish for segment in group for wish, _ in self._in_segment[segment.id]]
        live_nbytes = sum(segment.live_nbytes for segment in group)
        tier = group[0].tier
        return Move(
            kind="compact",
            source=tier,
            target=tier,
            keys=tuple(sorted({wish.state.key for wish in inside if not wish.moves})),
            segments=tuple(segment.id for segment in group),
            stripe=group[0].stripe,
            nbytes=live_nbytes,
            written_nbytes=self._stored(live_nbytes, tier),
            reason=f"{_garbage_share(group):.0%} of it is dead",
        )

    def _is_garbage(self, group: Sequence[SegmentState]) -> bool:
        return _garbage_share(group) >= self._policy.garbage_share

    def _stored(self, nbytes: int, tier: TierName) -> int:
        terms = self._terms.get(tier)
        return round(nbytes * (terms.stored_per_logical if terms is not None else 1.0))


def packed_nbytes(wish: Wish) -> int:
    """About what an object takes in a segment, with its records' headers, in smallest shards."""
    nbytes = wish.state.nbytes
    records = 1 + -(-nbytes // SMALLEST_SHARD_NBYTES)
    return nbytes + records * (_RECORD_NBYTES + 2 * len(wish.state.key.encode()))


def _garbage_share(group: Sequence[SegmentState]) -> float:
    nbytes = sum(segment.nbytes for segment in group)
    return 1.0 - sum(segment.live_nbytes for segment in group) / nbytes if nbytes > 0 else 1.0


def _is_up(source: TierName, target: TierName) -> bool:
    return TIERS.index(target) < TIERS.index(source)
