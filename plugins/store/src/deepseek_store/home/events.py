"""What a store tells plugins that listen; what repeats is summed up, and told once in a second."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from deepseek_core import emit, errors, events
from deepseek_store.home.findings import KeptFinding


class Checked(Protocol):
    """What a scrub or a repair has come to."""

    @property
    def lost_keys(self) -> tuple[str, ...]: ...  # noqa: D102 - as a ScrubReport has it
    @property
    def faults(self) -> tuple[object, ...]: ...  # noqa: D102
    @property
    def repaired(self) -> int: ...  # noqa: D102
    @property
    def read_nbytes(self) -> int: ...  # noqa: D102
    @property
    def seconds(self) -> float: ...  # noqa: D102
    @property
    def complete(self) -> bool: ...  # noqa: D102


class StoreEvents:
    """Emits the events of one store, from any thread; `state` finds out how it is.

    `_moved` has steps and bytes by source and target, `_met` how often damage was met, the last
    finding and whether bytes were lost: what was not told yet.
    """

    def __init__(self, home: Path, state: Callable[[str], events.StoreState]) -> None:
        self._url, self._state = f"ds:{home}", state
        self._lock = threading.Lock()
        self._moves, self._damage, self._full = (events.Pace(1.0) for _ in range(3))
        self._states = events.Pace(1.0, at_once=False)
        self._moved: dict[tuple[str, str], list[int]] = {}
        self._met: tuple[int, KeptFinding, bool] | None = None

    def used(self) -> None:
        """Tell the state, if it is time: called at each use."""
        if self._states.due():
            emit(lambda: self._state(self._url))

    def opened(self) -> None:
        """Tell the state now: who listens is found in this thread, and not in one that works."""
        emit(lambda: self._state(self._url))

    def moved(self, source: str, target: str, nbytes: int) -> None:
        """A step has moved so many bytes."""
        if source == target:
            return
        with self._lock:
            sums = self._moved.setdefault((source, target), [0, 0])
            sums[0] += 1
            sums[1] += nbytes
            is_due = self._moves.due()
        if is_due:
            self._tell_moved()

    def met(self, found: KeptFinding) -> None:
        """Damage was met, for the first time or again."""
        with self._lock:
            times, lost = (self._met[0], self._met[2]) if self._met else (0, False)
            self._met = times + 1, found, lost or found.lost
            is_due = self._damage.due()
        if is_due:
            self._tell_met()

    def healed(self, example: str, *, repaired: int, left: int) -> None:
        """So many findings are no more."""
        emit(events.DamageRepaired(store=self._url, repaired=repaired, left=left, example=example))

    def checked(self, kind: str, report: Checked) -> None:
        """A scrub or a repair has ended."""
        self.flush()
        ended = events.ScrubEnded(
            store=self._url,
            kind=kind,
            faults=len(report.faults),
            repaired=report.repaired,
            lost_objects=len(report.lost_keys),
            nbytes=report.read_nbytes,
            seconds=report.seconds,
            complete=report.complete,
        )
        emit(ended)

    def full(self, error: errors.TierFull) -> None:
        """Something had no space."""
        if self._full.due():
            emit(events.TierFull(store=self._url, url=error.url, reason=error.message))

    def flush(self) -> None:
        """Tell what waits."""
        self._tell_moved()
        self._tell_met()

    def _tell_moved(self) -> None:
        with self._lock:
            moved, self._moved = self._moved, {}
        for (source, target), (moves, nbytes) in moved.items():
            told = events.ObjectsMoved(
                store=self._url, source=source, target=target, moves=moves, nbytes=nbytes
            )
            emit(told)

    def _tell_met(self) -> None:
        with self._lock:
            met, self._met = self._met, None
        if met is not None:
            times, found, lost = met
            reason = f"{found.kind}: {found.detail}" if found.detail else found.kind
            told = events.DamageFound(
                store=self._url, times=times, example=found.where, reason=reason, lost=lost
            )
            emit(told)
