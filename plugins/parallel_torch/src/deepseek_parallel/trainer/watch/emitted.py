"""What a training tells of itself to plugins that listen: events of the SDK, by rank 0."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

from deepseek_core import emit, events
from deepseek_parallel.trainer.events import Event

_LAST_S: Final = 1.0  # the process may end by itself, so those who listen are waited for


class Emitted:
    """A watcher of rank 0: steps become states, at most one in a second.

    `_steps` has figures of each step since the last state: seconds, samples, bytes that were sent,
    bytes that were saved, imbalance.
    """

    def __init__(self, run: str) -> None:
        self._run = run
        self._pace = events.Pace(1.0)
        self._begin_s = time.monotonic()
        self._step, self._loss = 0, float("nan")
        self._steps: list[tuple[float, ...]] = []

    def begin(self, *, ranks: int, mesh: Mapping[str, int], step: int) -> None:
        """Tell that these ranks begin, or go on after `step` steps."""
        self._step = step
        axes = " ".join(f"{axis}={size}" for axis, size in mesh.items()) or f"dp={ranks}"
        emit(events.TrainingBegan(run=self._run, ranks=ranks, mesh=axes, step=step))

    def __call__(self, event: Event) -> None:
        """Emit it, or keep it for the next state."""
        self._step = event.step
        if event.kind == "step":
            self._keep(event)
            if self._pace.due():
                self._say()
        elif event.kind == "recovery":
            self._changed(event)

    def end(self, error: BaseException | None) -> None:
        """Tell the last state, and that it has ended."""
        if self._steps:
            self._say()
        ended = events.TrainingEnded(
            run=self._run,
            step=self._step,
            seconds=time.monotonic() - self._begin_s,
            error=None if error is None else f"{type(error).__name__}: {error}",
        )
        emit(ended, wait_s=_LAST_S)

    def _keep(self, event: Event) -> None:
        figures = event.figures
        self._loss = figures["loss"]
        sent, whole = figures["wire_nbytes"], figures["whole_nbytes"]
        self._steps.append(
            (figures["seconds"], figures["samples"], sent, whole - sent, figures["imbalance"])
        )

    def _say(self) -> None:
        seconds, samples, sent, saved, imbalance = map(sum, zip(*self._steps, strict=True))
        state = events.TrainingState(
            run=self._run,
            step=self._step,
            loss=self._loss,
            samples_per_s=samples / seconds if seconds > 0 else 0.0,
            imbalance=imbalance / len(self._steps),
            bytes_sent=int(sent),
            bytes_saved=max(0, int(saved)),
        )
        self._steps.clear()
        emit(state)

    def _changed(self, event: Event) -> None:
        figures = event.figures
        changed = events.MembersChanged(
            run=self._run,
            step=event.step,
            lost=int(figures["lost"]),
            joined=int(figures["joined"]),
            ranks=int(figures["after"]),
            seconds=figures["seconds"],
        )
        emit(changed)
