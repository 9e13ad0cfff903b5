"""Events of trainings."""

from __future__ import annotations

import attrs

from deepseek_core.contracts.events.base import Event, maybe_line, one_line


@attrs.frozen(kw_only=True)
class TrainingBegan(Event):
    """A training began, or went on; told by rank 0.

    `run` names it; `ranks` train, laid out on `mesh` ("dp=4 tp=2"); `step` is the first that it
    does: above 0 if it goes on from a checkpoint.
    """

    run: str = attrs.field(converter=one_line)
    ranks: int
    mesh: str = attrs.field(converter=one_line)
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

    run: str = attrs.field(converter=one_line)
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

    run: str = attrs.field(converter=one_line)
    step: int
    seconds: float
    error: str | None = attrs.field(default=None, converter=maybe_line)


@attrs.frozen(kw_only=True)
class MembersChanged(Event):
    """Members of the elastic training named `run` were lost or joined.

    `lost` and `joined` say how many; `ranks` go on from `step`, after a pause of `seconds`.
    """

    run: str = attrs.field(converter=one_line)
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

    url: str = attrs.field(converter=one_line)
    step: int
    nbytes: int
    seconds: float


@attrs.frozen(kw_only=True)
class CheckpointFailed(Event):
    """A checkpoint of `step` steps could not be written to `url`.

    `reason` is the text of the error.
    """

    url: str = attrs.field(converter=one_line)
    step: int
    reason: str = attrs.field(converter=one_line)
