"""Facts with a time that plugins may listen to through `ds_on_event`.

Every engine tells what it does by `deepseek_core.emit`: one type for each fact, plain values,
units in the names. A text is one line, without secrets, and cut at 500 characters. What repeats
(the state of a session, of a tier, of a training) is told at most once in a second: see `Pace`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeVar

import attrs

from deepseek_core.contracts.secret import scrub
from deepseek_core.contracts.units import printable

T = TypeVar("T")

_LONGEST: Final = 500  # characters of a text: an event may wait in a queue, and be drawn
_LOOKED_AT: Final = 4096


def _text(value: object) -> str:
    """One line that may be shown: whatever an engine was given or an error says."""
    words = " ".join(scrub(str(value)[:_LOOKED_AT]).split())
    shown = printable(words[: _LONGEST + 1])
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 3]}..."


def _maybe_text(value: object) -> str | None:
    return None if value is None else _text(value)


def _row(values: Iterable[T]) -> tuple[T, ...]:
    return tuple(values)


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

    `utilization` is the share of the time since the last state in which it ran a task, 0 to 1.
    `queued` tasks wait for it or run on it now; `done` counts those that ended since the session
    opened.
    """

    device_id: str
    utilization: float
    queued: int
    done: int


@attrs.frozen(kw_only=True)
class SessionState(Event):
    """What a session or server does now; at most one in a second while it has work.

    `session` is a name that no other in this process has; `devices` are those that it has opened.
    `queued`, `done` and `missed` count
    requests by latency class ("realtime", "offline"): those that wait or run now; those that ended
    since it opened; and, among these, those that ended after their deadline.
    """

    session: str = attrs.field(converter=_text)
    devices: tuple[DeviceLoad, ...] = attrs.field(converter=_row)
    queued: dict[str, int] = attrs.field(converter=_counts)
    done: dict[str, int] = attrs.field(converter=_counts)
    missed: dict[str, int] = attrs.field(converter=_counts)


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
    """A store found damage: parts that are lost, or not what was written.

    `store` is the store's URL; `tier` is where, None if it is known of no single one; `damaged`
    counts objects; `example` names one of them, and `reason` says what is wrong with it.
    """

    store: str = attrs.field(converter=_text)
    tier: str | None = attrs.field(converter=_maybe_text)
    damaged: int
    example: str = attrs.field(converter=_text)
    reason: str = attrs.field(converter=_text)


@attrs.frozen(kw_only=True)
class DamageRepaired(Event):
    """A store repaired damage and read back what it wrote.

    `store` is the store's URL; `repaired` and `lost` count objects: whole again, and beyond repair;
    `nbytes` were written; it took `seconds`.
    """

    store: str = attrs.field(converter=_text)
    repaired: int
    lost: int
    nbytes: int
    seconds: float


@attrs.frozen(kw_only=True)
class ScrubEnded(Event):
    """A scrub ended: a store read what it holds and compared it with its checksums.

    `store` is the store's URL; `checked` and `damaged` count objects; `nbytes` were read; it took
    `seconds`; `complete` says whether it saw all that there is.
    """

    store: str = attrs.field(converter=_text)
    checked: int
    damaged: int
    nbytes: int
    seconds: float
    complete: bool


@attrs.frozen(kw_only=True)
class TierState(Event):
    """How full and how useful a tier is; at most one in a second while the store is used.

    `store` is the store's URL, `tier` the tier's name; `temperature` is "hot", "warm" or "cold".
    `used_bytes` of `capacity_bytes` are taken, None where that is not known. `hits` of `reads` were
    answered from this tier, since the store was opened.
    """

    store: str = attrs.field(converter=_text)
    tier: str = attrs.field(converter=_text)
    temperature: str = attrs.field(converter=_text)
    used_bytes: int | None
    capacity_bytes: int | None
    hits: int
    reads: int

    @property
    def hit_rate(self) -> float | None:
        """Share of the reads that this tier answered, 0 to 1; None before the first read."""
        return self.hits / self.reads if self.reads else None


@attrs.frozen(kw_only=True)
class TierFull(Event):
    """A tier had no space for what was to be written.

    `store` is the store's URL, `tier` the tier's name; `reason` says what did not fit.
    """

    store: str = attrs.field(converter=_text)
    tier: str = attrs.field(converter=_text)
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
    """How far the training named `run` is; told by rank 0, at most once in a second.

    `step` steps are done; `loss` is that of the last one, and may be nan or infinite; None where
    rank 0 does not know it. The rest is since the last state: `samples_per_s` of all ranks;
    `imbalance` is the slowest rank's computing time over the mean, minus 1, None where it is not
    measured; rank 0 sent `bytes_sent` to other ranks, and compression of gradients saved it
    `bytes_saved` more.
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

    Times are those of a clock that never goes back. The first is due at once.
    """

    __slots__ = ("_clock", "_every_s", "_next_s")

    def __init__(
        self, every_s: float = 1.0, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._every_s = every_s
        self._clock = clock
        self._next_s = -float("inf")

    def due(self) -> bool:
        """Whether the time has come; if so, the next is `every_s` from now."""
        now_s = self._clock()
        if now_s < self._next_s:
            return False
        self._next_s = now_s + self._every_s
        return True
