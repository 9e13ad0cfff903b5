"""What the loop trains: the model as this rank holds it, whole or divided over a mesh."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any, Final, Protocol

from torch.optim import Optimizer

from deepseek_parallel.trainer.evaluation import Evaluation, Measure
from deepseek_parallel.trainer.pieces import Piece
from deepseek_parallel.trainer.reading import Reader
from deepseek_parallel.trainer.tally import Tally, Totals

Sums = Mapping[str, tuple[float, float]]
"""Of each measure, the sum and the count."""
IN_EVALUATION: Final = ("in the evaluation", "see the log of that rank")
"""When a rank has failed, and what to do."""


class Part(Protocol):
    """Forward, backward, the sum of gradients and the step; `Replica` or `Divided`."""

    @property
    def optimizer(self) -> Optimizer:
        """What takes the steps."""
        ...

    @property
    def is_renewable(self) -> bool:
        """Whether those that are left can train on without a rank that is lost."""
        ...

    @property
    def mesh(self) -> Mapping[str, int]:
        """Sizes of the axes; empty where each rank has the whole model."""
        ...

    def pieces(self, position: int, count: int) -> list[Piece]:
        """The microbatches of this rank in a step of `count` samples."""
        ...

    def compute(self, reader: Reader, pieces: Sequence[Piece]) -> tuple[Tally, Exception | None]:
        """Leave the gradient of the summed loss; what was done, and what failed on this rank.

        Raises:
            RankLost: another rank does not answer.
            Exception: what failed where the others wait for this rank, as in a stage.
        """
        ...

    def step(self, totals: Totals) -> float | None:
        """Add the gradients and take the step; the norm of the gradient, where it is known.

        Raises:
            NotFiniteGradient: of a rank; on all at once, and nothing has changed.
            RankLost: another rank does not answer.
        """
        ...

    def undo(self) -> None:
        """Put back what a step has changed that was not taken."""
        ...

    def observe(self, seconds: Sequence[float]) -> None:
        """Learn from what each rank took."""
        ...

    def measured(self, wanted: Evaluation, measures: Mapping[str, Measure]) -> list[Sums]:
        """What all replicas have measured over all samples; equal on all ranks.

        Raises:
            RankFailed: another rank could not compute.
            RankLost: another rank does not answer.
        """
        ...

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """What a checkpoint holds of the model and of the optimizer."""
        ...

    def places(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Where a checkpoint is loaded into."""
        ...

    def restore(self, model: MutableMapping[str, Any], optimizer: MutableMapping[str, Any]) -> None:
        """Take what was loaded into `places()`."""
        ...

    @property
    def wire_nbytes(self) -> int:
        """Bytes of gradients that all ranks together send in a step."""
        ...

    @property
    def whole_nbytes(self) -> int:
        """The same without compression."""
        ...
