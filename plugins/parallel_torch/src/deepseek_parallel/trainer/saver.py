"""Checkpoints of a trainer: what is saved, when it is done, and how a training goes on from one."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from deepseek_core import errors
from deepseek_parallel.errors import StateMismatch
from deepseek_parallel.hazard.gaps import GapPredictor
from deepseek_parallel.hazard.interval import SaveInterval
from deepseek_parallel.ranks import Ranks
from deepseek_parallel.trainer.part import Part
from deepseek_parallel.trainer.progress import Progress
from deepseek_parallel.trainer.scheduling import as_json, of_json
from deepseek_parallel.trainer.setup import Setup

if TYPE_CHECKING:
    from deepseek_parallel.checkpoint.checkpoints import Checkpoints
    from deepseek_parallel.checkpoint.saving import Saving

_LIMIT_S: Final = 600.0
_NO_SETTINGS: Final = ("params", "param_names", "foreach", "fused")
_LOG: Final = logging.getLogger(__name__)
Tell = Callable[[int, str], None]


class Saver:
    """Saves a setup and its progress; `tell` gets the step of a save that has ended, and how."""

    def __init__(self, setup: Setup, progress: Progress, tell: Tell) -> None:
        self._setup, self._progress, self._tell = setup, progress, tell
        self._checkpoints: Checkpoints | None = None
        self._savings: list[Saving] = []
        self._interval: SaveInterval | None = None
        if isinstance(setup.save_every, GapPredictor):
            self._interval = SaveInterval(setup.save_every, now_s=setup.clock())

    def meet(self, ranks: Ranks) -> None:
        """Save with these ranks from now on; a save that runs is left."""
        from deepseek_parallel.checkpoint.checkpoints import Checkpoints  # takes a second

        given = self._setup.checkpoint
        if isinstance(given, Checkpoints):
            self._checkpoints = given
            return
        if self._checkpoints is not None:
            self._checkpoints.close(0)
        self._savings = []
        assert given is not None
        self._checkpoints = Checkpoints(given, keep=self._setup.keep, group=ranks.group)

    def hold(self) -> None:
        """Let a save that runs copy all first: ranks that meet write into the state."""
        if self._checkpoints is not None:
            self._checkpoints.wait_for_copy()

    def save(self, part: Part) -> None:
        """Begin to save; it goes on in the background.

        Raises:
            DeepSeekError: it can't be begun, on all ranks.
        """
        assert self._checkpoints is not None
        self.look()
        setup, progress = self._setup, self._progress
        begin_s = setup.clock()
        extra = {
            "progress": as_json({**progress.state(), "saved": progress.step, "stopped": ""}),
            "order": setup.order.state(),
            "rates": setup.rates.state(),
            "optimizer": type(part.optimizer).__name__,
            "groups": [as_json(_settings(group)) for group in setup.optimizer.param_groups],
        }
        if self._interval is not None:
            extra["failures"] = self._interval.state(begin_s)
        saving = self._checkpoints.save(
            progress.step,
            *part.state(),
            extra,
            until_step_of=part.optimizer,
        )
        progress.saved = progress.step
        self._savings.append(saving)
        if self._interval is not None:
            now_s = setup.clock()
            self._interval.saved(now_s, now_s - begin_s)

    def is_due(self) -> bool:
        """Whether failures make a save worth while now, by the clock of this rank."""
        return self._interval is not None and self._interval.is_due(self._setup.clock())

    def failed(self) -> None:
        """Learn of a failure, which was met now."""
        if self._interval is not None:
            self._interval.failed(self._setup.clock())

    def resume(self, part: Part) -> int | None:
        """Go on from the latest checkpoint; its step, None where there is none.

        Raises:
            StateMismatch: it is of another model, dataset or seed.
            CheckpointDamaged: its files are not what was saved.
        """
        assert self._checkpoints is not None
        found = self._checkpoints.latest()
        if found is None:
            return None
        setup = self._setup
        _check_order(found.extra, setup)
        _check_optimizer(found.extra, part)
        model, optimizer = part.places()
        was_cut_off = self._checkpoints.was_cut_off
        extra = self._checkpoints.load(model, optimizer)
        part.restore(model, optimizer)
        for group, told in zip(setup.optimizer.param_groups, extra["groups"], strict=True):
            group.update(_settings(of_json(told)))
        setup.rates.restore(extra["rates"])
        self._progress.restore(of_json(extra["progress"]))
        if self._interval is not None and "failures" in extra:
            self._interval.restore(extra["failures"], setup.clock(), has_failed=was_cut_off)
        return found.step

    def check_new(self) -> None:
        """Refuse a URL that holds checkpoints, where a training begins.

        Raises:
            ConfigError: it does.
        """
        assert self._checkpoints is not None
        found = self._checkpoints.latest()
        if found is not None:
            raise errors.ConfigError(
                f"{self._checkpoints.url} holds a checkpoint of step {found.step}",
                remedy="go on from it by fit(..., resume=True) or --resume, or choose another URL",
            )

    def look(self) -> None:
        """Tell of saves that have ended."""
        ended = [saving for saving in self._savings if saving.is_done]
        self._savings = [saving for saving in self._savings if saving not in ended]
        for saving in ended:
            told = "saved" if saving.error is None else f"failed: {saving.error}"
            if saving.error is not None:
                _LOG.warning("the checkpoint of step %d %s", saving.step, told)
            self._tell(saving.step, told)

    def finish(self) -> None:
        """Wait for the last save.

        Raises:
            SaveFailed: it failed; those before it stay.
            SaveUnfinished: it still runs.
        """
        try:
            for saving in self._savings[-1:]:
                saving.wait(_LIMIT_S)
        finally:
            self.look()

    def close(self, *, at_once: bool, cut_off: bool = False) -> None:
        """Give the URL free; `at_once` leaves a save that runs, `cut_off` tells of a lost rank."""
        if self._checkpoints is not None and self._checkpoints is not self._setup.checkpoint:
            self._checkpoints.close(0 if at_once else None, cut_off=cut_off)
            self._checkpoints = None


def _settings(group: dict[str, Any]) -> dict[str, Any]:
    """Learning rate, momentum and the like; not whose they are, or how torch computes."""
    return {name: value for name, value in group.items() if name not in _NO_SETTINGS}


def _check_order(extra: Any, setup: Setup) -> None:
    if not {"progress", "order", "rates", "groups", "optimizer"} <= set(extra):
        raise StateMismatch(
            "this checkpoint was not saved by a trainer",
            remedy="load it by Checkpoints.load, or choose another URL",
        )
    type(setup.order).resumed(extra["order"], setup.order.length)
    if extra["order"] != setup.order.state():
        raise StateMismatch(
            f"samples came by {extra['order']} and would come by {setup.order.state()} now",
            remedy="give the seed and the shuffle of the run that saved it",
        )


def _check_optimizer(extra: Any, part: Part) -> None:
    mine = type(part.optimizer).__name__
    if extra["optimizer"] != mine:
        raise StateMismatch(
            f"this checkpoint has the state of {extra['optimizer']}, and this is {mine}",
            remedy="give the optimizer of the run that saved it, compressed if that was",
        )
