"""Errors of training on several ranks, below the SDK's own tree.

DeepSeekError
|-- AnotherWriter                         another process saves checkpoints to the same URL
|-- CheckpointDamaged (ArtifactError)     a file of a checkpoint is missing or has other bytes
|-- CheckpointMissing (InputError)        there is no checkpoint, or none of that step
|-- CodeMismatch                          a rank runs another version of the code
|-- NotFiniteGradient (ArithmeticError)   a rank's gradient holds NaN or infinity; raised on all
|-- NotFiniteLoss (ArithmeticError)       a rank's loss is NaN or infinite; raised on all
|-- MeshMismatch (InputError)             a mesh that does not fit the model or the cluster
|-- RankFailed                            an error of another rank ended the training on all
|-- RankLost                              a rank did not answer in time, or is gone
|   `-- NotAMember                        the others went on without this rank
|-- JoinRefused (ConfigError)             another run, or the training has ended
|-- SaveFailed                            a checkpoint was not saved; those before it stay
|-- SaveUnfinished (TimeoutError)         a save still runs after the time that was waited
`-- StateMismatch (InputError)            a saved state is of another model, data or number of ranks
"""

from __future__ import annotations

from deepseek_core import DeepSeekError, errors


class AnotherWriter(DeepSeekError):
    """Another process saves checkpoints to the same URL."""


class CheckpointDamaged(errors.ArtifactError):
    """A file of a checkpoint is missing or has other bytes than were saved: `file`, by its URL."""

    def __init__(self, message: str, *, file: str, remedy: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.file = file


class CheckpointMissing(errors.InputError):
    """There is no checkpoint at the URL, or none of that step."""


class CodeMismatch(DeepSeekError):
    """A rank runs another version of the code than rank 0, or than the members that it joins."""


class NotFiniteGradient(DeepSeekError, ArithmeticError):
    """The gradient of `parameter`, a number in the order of the optimizer, on `rank`."""

    def __init__(
        self, message: str, *, rank: int, parameter: int, remedy: str | None = None
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.rank = rank
        self.parameter = parameter


class NotFiniteLoss(DeepSeekError, ArithmeticError):
    """The loss of `rank` at `step` is NaN or infinite; no rank has taken the step."""

    def __init__(self, message: str, *, rank: int, step: int, remedy: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.rank = rank
        self.step = step


class MeshMismatch(errors.InputError):
    """A mesh that does not fit the model or the cluster, by its `dimension`."""

    def __init__(self, message: str, *, dimension: str, remedy: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.dimension = dimension


class RankFailed(DeepSeekError):
    """An error of `rank` ended the training on all; `log` is what it said last, if known."""

    def __init__(
        self, message: str, *, rank: int, log: str = "", remedy: str | None = None
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.rank = rank
        self.log = log


class RankLost(DeepSeekError):
    """Another rank did not answer within the time limit of the process group, or is gone."""


class NotAMember(RankLost):
    """The others went on without this rank: it was silent for too long."""


class JoinRefused(errors.ConfigError):
    """The members do not take this worker: it is of another run, or the training has ended."""


class StateMismatch(errors.InputError):
    """A saved state does not fit: another model, dataset, or number of ranks."""


class SaveFailed(DeepSeekError):
    """A checkpoint was not saved, and nothing of it counts; those before it stay."""


class SaveUnfinished(DeepSeekError, TimeoutError):
    """A save still runs after the time that was waited for it."""
