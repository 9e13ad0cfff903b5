"""Facts with a time that plugins may listen to through `ds_on_event`.

Every engine tells what it does by `deepseek_core.emit`: one type for each fact, plain values,
units in the names. A text is one line, without secrets, and cut at 500 characters. What repeats
(the state of a session, of a tier, of a training) is told at most once in a second: see `Pace`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import attrs

from deepseek_core.contracts.secret import scrub
from deepseek_core.contracts.units import printable

_LONGEST: Final = 500  # characters of a text: an event may wait in a queue, and be drawn
_LOOKED_AT: Final = 4096


def _text(value: object) -> str:
    """One line that may be shown: whatever an engine was given or an error says."""
    words = " ".join(scrub(str(value)[:_LOOKED_AT]).split())
    shown = printable(words[: _LONGEST + 1])
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 3]}..."


def _maybe_text(value: object) -> str | None:
    return None if value is None else _text(value)


def _counts(values: Mapping[Any, int]) -> dict[str, int]:
    return {_text(name): count for name, count in values.items()}


@attrs.frozen(kw_only=True)
class Event:
    """Base of all events; `time_s` is seconds since the epoch, now if it is not given."""

    time_s: float = attrs.field(factory=time.time)


# Sessions and servers


@attrs.frozen(kw_only=True)
class PlanMade(Event):
    """A plan was made: of the graph named `graph`, with `placement` from stage to device id."""

    graph: str
    placement: dict[str, str]


@attrs.frozen(kw_only=True)
class StageMeasured(Event):
    """A calibration measured the stage named `stage` on the device `device_id`.

    It ran on `batch` samples at a time; `seconds` is the median of its runs.
    """

    stage: str
    device_id: str
    batch: int
    seconds: float


@attrs.frozen(kw_only=True)
class DeviceQuarantined(Event):
    """The device `device_id` failed and gets no more work in this session.

    `reason` is the text of its error.
    """

    device_id: str
    reason: str = attrs.field(converter=_text)


@attrs.frozen(kw_only=True)
class DeviceLoad:
    """What the device `device_id` of a session does; part of a `SessionState`.

    `utilization` is the share of the time since the last state in which its slots ran tasks that
    have ended, 0 to 1. `queued` tasks of a stream wait for it; `done` counts those that ended since
    the session opened.
    """

    device_id: str
    utilization: float
    queued: int
    done: int


def _loads(values: Iterable[DeviceLoad]) -> tuple[DeviceLoad, ...]:
    return tuple(values)


@attrs.frozen(kw_only=True)
class SessionState(Event):
    """What a session or server does now; at most one in a second while it has work.

    `session` is a name that no other in this process has; `devices` are those that ran a task.
    The rest counts requests of a server by latency class ("realtime", "offline"), since it opened:
    `queued` wait or run now, `done` were answered, `missed` were answered after their deadline or
    dropped as they could not meet it, `refused` were not taken in. Plans of a session have none.
    One that is idle tells nothing: its last state is how it came to rest.
    """

    session: str = attrs.field(converter=_text)
    devices: tuple[DeviceLoad, ...] = attrs.field(converter=_loads)
    queued: dict[str, int] = attrs.field(converter=_counts)
    done: dict[str, int] = attrs.field(converter=_counts)
    missed: dict[str, int] = attrs.field(converter=_counts)
    refused: dict[str, int] = attrs.field(converter=_counts)


# Stores


@attrs.frozen(kw_only=True)
class ObjectsMoved(Event):
    """A store moved objects from one tier to another.

    `store` is the store's URL; `source` and `target` are "hot", "warm" or "cold". Since the last
    such event of these two, `moves` steps moved `nbytes` of objects; at most one in a second.
    """

    store: str = attrs.field(converter=_text)
    source: str = attrs.field(converter=_text)
    target: str = attrs.field(converter=_text)
    moves: int
    nbytes: int


@attrs.frozen(kw_only=True)
class DamageFound(Event):
    """A store found damage: bytes that are gone, or not what was written.

    `store` is the store's URL. Since the last such event, at most one in a second, it met damage
    `times` times; `example` names the last (a segment, a fragment, a disk), `reason` says what is
    wrong with it, and `lost` whether bytes of objects are lost with any of them.
    """

    store: str = attrs.field(converter=_text)
    times: int
    example: str = attrs.field(converter=_text)
    reason: str = attrs.field(converter=_text)
    lost: bool


@attrs.frozen(kw_only=True)
class DamageRepaired(Event):
    """Damage of a store is no more: it was repaired, or is right when it is read again.

    `store` is the store's URL; `repaired` findings are gone, `example` names one, `left` remain.
    """

    store: str = attrs.field(converter=_text)
    repaired: int
    left: int
    example: str = attrs.field(converter=_text)


@attrs.frozen(kw_only=True)
class ScrubEnded(Event):
    """A store has read what it holds and compared it with its checksums.

    `store` is the store's URL; `kind` is "scrub" for a pass over everything, "repair" where it
    looked at what was suspect. Of `faults`, `repaired` were; `lost_objects` are beyond repair.
    `nbytes` were read in `seconds`; `complete` says whether nothing is left of the pass.
    """

    store: str = attrs.field(converter=_text)
    kind: str = attrs.field(converter=_text)
    faults: int
    repaired: int
    lost_objects: int
    nbytes: int
    seconds: float
    complete: bool


@attrs.frozen(kw_only=True)
class TierLoad:
    """How full a tier is; part of a `StoreState`.

    `tier` is "hot", "warm" or "cold"; `used_bytes` of `capacity_bytes` are taken, which is None
    where it is not known.
    """

    tier: str = attrs.field(converter=_text)
    used_bytes: int
    capacity_bytes: int | None


def _tier_loads(values: Iterable[TierLoad]) -> tuple[TierLoad, ...]:
    return tuple(values)


@attrs.frozen(kw_only=True)
class StoreState(Event):
    """How full and how busy a store is; at most one in a second while it is used.

    `store` is its URL; it has `objects` in `tiers`. Since this process opened it, shards were read
    `hot_reads` times from the hot tier; of requests for others the cache answered `cache_hits` and
    not `cache_misses`; `fetched` shards came from warm and cold tiers, and `degraded` of them were
    made of other fragments, as their own could not be read.
    """

    store: str = attrs.field(converter=_text)
    objects: int
    tiers: tuple[TierLoad, ...] = attrs.field(converter=_tier_loads)
    hot_reads: int
    cache_hits: int
    cache_misses: int
    fetched: int
    degraded: int


@attrs.frozen(kw_only=True)
class TierFull(Event):
    """A tier of a store had no space for what was to be written.

    `store` is the store's URL, `url` that of the tier; `reason` says what did not fit.
    """

    store: str = attrs.field(converter=_text)
    url: str = attrs.field(converter=_text)
    reason: str = attrs.field(converter=_text)


# Trainings


@attrs.frozen(kw_only=True)
class TrainingBegan(Event):
    """A training began, or went on; told by rank 0.

    `run` names it; `ranks` train, laid out on `mesh` ("dp=4 tp=2"); `step` is the first that it
    does: above 0 if it goes on from a checkpoint.
    """

    run: str = attrs.field(converter=_text)
    ranks: int
    mesh: str = attrs.field(converter=_text)
    step: int


@attrs.frozen(kw_only=True)
class TrainingState(Event):
    """How far the training named `run` is.

    Rank 0 tells it at most once in a second, and at the end. `step` steps are done; `loss` is that
    of the last one, and may be nan or infinite; None where rank 0 does not know it. The rest is
    since the last state: `samples_per_s` of all ranks; `imbalance` is the slowest rank's computing
    time over the mean, minus 1, None where it is not measured; all ranks sent `bytes_sent` of
    gradients and of what they tell each other, `bytes_saved` less than without compression.
    """

    run: str = attrs.field(converter=_text)
    step: int
    loss: float | None
    samples_per_s: float
    imbalance: float | None
    bytes_sent: int
    bytes_saved: int


@attrs.frozen(kw_only=True)
class TrainingEnded(Event):
    """The training named `run` ended after `step` steps and `seconds`; told by rank 0.

    `error` is None if it did what it was asked to; else it says what stopped it.
    """

    run: str = attrs.field(converter=_text)
    step: int
    seconds: float
    error: str | None = attrs.field(default=None, converter=_maybe_text)


@attrs.frozen(kw_only=True)
class MembersChanged(Event):
    """Members of the elastic training named `run` were lost or joined.

    `lost` and `joined` say how many; `ranks` go on from `step`, after a pause of `seconds`.
    """

    run: str = attrs.field(converter=_text)
    step: int
    lost: int
    joined: int
    ranks: int
    seconds: float


@attrs.frozen(kw_only=True)
class CheckpointCommitted(Event):
    """A checkpoint is whole and can be resumed from.

    It lies at `url` and has what `step` steps made; `nbytes` were written in `seconds`.
    """

    url: str = attrs.field(converter=_text)
    step: int
    nbytes: int
    seconds: float


@attrs.frozen(kw_only=True)
class CheckpointFailed(Event):
    """A checkpoint of `step` steps could not be written to `url`.

    `reason` is the text of the error.
    """

    url: str = attrs.field(converter=_text)
    step: int
    reason: str = attrs.field(converter=_text)


# Compression


@attrs.frozen(kw_only=True)
class RecipeStepBegan(Event):
    """A step of a compression recipe began.

    `recipe` names the recipe; `step` is the name of the step, the `number`-th of `steps` from 1.
    """

    recipe: str = attrs.field(converter=_text)
    step: str = attrs.field(converter=_text)
    number: int
    steps: int


@attrs.frozen(kw_only=True)
class RecipeStepEnded(Event):
    """A step of a compression recipe ended after `seconds`.

    `recipe`, `step`, `number` and `steps` are those of its `RecipeStepBegan`. `nbytes` is the size
    of the model then, and `quality` what `metric` measured on it; None where it was not measured.
    `error` is None if the step did what it was asked to; else it says what stopped it.
    """

    recipe: str = attrs.field(converter=_text)
    step: str = attrs.field(converter=_text)
    number: int
    steps: int
    seconds: float
    nbytes: int | None = None
    metric: str | None = attrs.field(default=None, converter=_maybe_text)
    quality: float | None = None
    error: str | None = attrs.field(default=None, converter=_maybe_text)


class Pace:
    """Says when something is due again: at most once in `every_s` seconds.

    Times are those of a clock that never goes back. The first is due at once, or not before that
    time has passed.
    """

    __slots__ = ("_clock", "_every_s", "_next_s")

    def __init__(
        self,
        every_s: float = 1.0,
        *,
        at_once: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._every_s = every_s
        self._clock = clock
        self._next_s = -float("inf") if at_once else clock() + every_s

    def due(self) -> bool:
        """Whether the time has come; if so, the next is `every_s` from now."""
        now_s = self._clock()
        if now_s < self._next_s:
            return False
        self._next_s = now_s + self._every_s
        return True
