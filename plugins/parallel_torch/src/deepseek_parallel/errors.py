"""Errors of training on several ranks, below the SDK's own tree.

DeepSeekError
|-- NotFiniteGradient (ArithmeticError)   a rank's gradient holds NaN or infinity; raised on all
|-- RankLost                              a rank did not answer in time, or is gone
`-- StateMismatch (InputError)            a saved state is of another model or number of ranks
"""

from __future__ import annotations

from deepseek_core import DeepSeekError, errors


class NotFiniteGradient(DeepSeekError, ArithmeticError):
    """The gradient of `parameter`, a number in the order of the optimizer, on `rank`."""

    def __init__(
        self, message: str, *, rank: int, parameter: int, remedy: str | None = None
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.rank = rank
        self.parameter = parameter


class RankLost(DeepSeekError):
    """Another rank did not answer within the time limit of the process group, or is gone."""


class StateMismatch(errors.InputError):
    """A saved state does not fit: another model, or another number of ranks."""
