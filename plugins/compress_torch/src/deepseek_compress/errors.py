"""Errors of compression, below the SDK's own tree.

DeepSeekError
|-- InputError
|   |-- CannotPrune             a model whose channels can't be followed; names the operation
|   `-- BadCalibration          calibration data that is empty, constant or poisoned
|-- BudgetUnmet                 no plan meets the budget; names the tightest constraint
`-- TrainingDiverged            a loss became NaN or infinite, or accuracy fell to chance
"""

from __future__ import annotations

from collections.abc import Mapping

from deepseek_core import DeepSeekError, errors


class CannotPrune(errors.InputError):
    """A model whose channels can't be followed; `operation` names where, `layer` the module."""

    def __init__(
        self, message: str, *, operation: str, layer: str = "", remedy: str | None = None
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.operation = operation
        self.layer = layer


class BadCalibration(errors.InputError):
    """Calibration data that can't give ranges: empty, constant, or ruled by one sample."""


class BudgetUnmet(DeepSeekError):
    """No plan meets the budget: the `constraint` that is tightest, the `closest` that is had."""

    def __init__(
        self,
        message: str,
        *,
        constraint: str,
        closest: Mapping[str, float],
        remedy: str | None = None,
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.constraint = constraint
        self.closest = dict(closest)


class TrainingDiverged(DeepSeekError):
    """A loss became NaN or infinite, or accuracy fell to chance, in `step` number `at`."""

    def __init__(self, message: str, *, step: str, at: int, remedy: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.step = step
        self.at = at
