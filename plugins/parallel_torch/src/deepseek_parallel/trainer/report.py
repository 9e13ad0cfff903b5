"""What a training came to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import numpy as np

from deepseek_parallel.trainer.events import Event


@attrs.frozen(kw_only=True)
class Recovery:
    """A change of the membership at `step`: ranks that there were and are, and seconds it took.

    `lost` are gone since the one before, `joined` are new.
    """

    step: int
    before: int
    after: int
    lost: int
    joined: int
    seconds: float


@attrs.frozen(kw_only=True)
class Report:
    """What one call of `fit` came to; bytes are of the gradients that all ranks sent.

    `losses` has the loss of each step, `evaluations` a step and its metrics. `imbalance` is the
    mean of slowest over mean computation of the ranks, less 1; `stalls_s` what saving and
    evaluating kept the ranks from training. `mesh` has the sizes of the axes that the model was
    divided over, and is empty where each rank had all of it. `stopped` says why it ended, and
    `rank` is who reports: all have the same figures.
    """

    steps: int
    samples: int
    epochs: float
    rank: int
    ranks: int
    seconds: float
    samples_per_s: float
    losses: tuple[float, ...]
    evaluations: tuple[tuple[int, Mapping[str, float]], ...]
    imbalance: float
    wire_nbytes: int
    whole_nbytes: int
    stalls_s: float
    checkpoints: tuple[int, ...]
    recoveries: tuple[Recovery, ...]
    resumed: int | None
    stopped: str
    mesh: Mapping[str, int] = attrs.field(factory=dict)

    @property
    def loss(self) -> float:
        """Loss of the last step; NaN where none was taken."""
        return self.losses[-1] if self.losses else float("nan")

    @property
    def saved(self) -> float:
        """The share of bytes that were not sent, of those of an all-reduce in float32."""
        return 1 - self.wire_nbytes / self.whole_nbytes if self.whole_nbytes else 0.0

    def facts(self) -> dict[str, Any]:
        """Values for JSON."""
        return attrs.asdict(self) | {"loss": self.loss, "saved": self.saved}


class Record:
    """Collects events into a report."""

    def __init__(self, ranks: int) -> None:
        self._ranks = ranks
        self._losses: list[float] = []  # of each step
        self._imbalances: list[float] = []  # of each step
        self._evaluations: list[tuple[int, Mapping[str, float]]] = []  # step and metrics
        self._checkpoints: list[int] = []  # steps that were saved
        self._recoveries: list[Recovery] = []
        # bytes of gradients on the wire, those of an all-reduce, and samples of all steps
        self._wire = self._whole = self._samples = 0
        self._stalls_s = 0.0  # of evaluations and saves

    def __call__(self, event: Event) -> None:
        """Note it."""
        figures = event.figures
        self._stalls_s += figures.get("stall_s", 0.0)
        if event.kind == "step":
            self._losses.append(figures["loss"])
            self._imbalances.append(figures["imbalance"])
            self._wire += int(figures["wire_nbytes"])
            self._whole += int(figures["whole_nbytes"])
            self._samples += int(figures["samples"])
            self._ranks = int(figures["ranks"])
        elif event.kind == "evaluation":
            metrics = {name: v for name, v in figures.items() if name != "stall_s"}
            self._evaluations.append((event.step, metrics))
        elif event.kind == "checkpoint" and event.text == "saved":
            self._checkpoints.append(int(figures["of_step"]))
        elif event.kind == "recovery":
            self._recoveries.append(
                Recovery(
                    step=event.step,
                    before=int(figures["before"]),
                    after=int(figures["after"]),
                    lost=int(figures["lost"]),
                    joined=int(figures["joined"]),
                    seconds=figures["seconds"],
                )
            )

    def report(
        self, now: Event, rank: int, *, seconds: float, resumed: int | None, mesh: Mapping[str, int]
    ) -> Report:
        """What it came to; `now` says where it has ended, and why."""
        return Report(
            steps=now.step,
            samples=now.samples,
            epochs=now.epoch,
            rank=rank,
            ranks=self._ranks,
            seconds=seconds,
            samples_per_s=self._samples / seconds if seconds else 0.0,
            losses=tuple(self._losses),
            evaluations=tuple(self._evaluations),
            imbalance=float(np.mean(self._imbalances)) if self._imbalances else 0.0,
            wire_nbytes=self._wire,
            whole_nbytes=self._whole,
            stalls_s=self._stalls_s,
            checkpoints=tuple(self._checkpoints),
            recoveries=tuple(self._recoveries),
            resumed=resumed,
            stopped=now.text,
            mesh=mesh,
        )
