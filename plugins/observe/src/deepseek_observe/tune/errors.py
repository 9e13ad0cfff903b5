"""What can be wrong with a training that is tuned."""

from __future__ import annotations

from deepseek_core import errors


class Diverges(errors.ConfigError):
    """A training would not converge with this rate; `rate` is the highest one that did."""

    def __init__(self, message: str, *, rate: float | None, remedy: str) -> None:
        super().__init__(message, remedy=remedy)
        self.rate = rate


class NeverFalls(errors.InputError):
    """The loss falls at no rate."""


class NeverFits(errors.ConfigError):
    """The smallest batch needs more memory than there is."""


class TrialFailed(errors.InputError):
    """The user's code fails, ends its process or hangs while it is tried in a child process."""
