"""Ranks that torchrun started, and what all of them say."""

from __future__ import annotations

import os
from datetime import timedelta

from deepseek_core import errors
from deepseek_observe.tune.errors import TrialFailed
from deepseek_observe.tune.fits import Fits, Verdict

_FAILED, _TOO_LARGE, _FITS = -1, 0, 1


class Ranks:
    """The ranks of torchrun's variables, or this process alone.

    A rank waits `limit_s` at most for the others.

    Raises:
        ConfigError: the variables are wrong, or the others do not come.
    """

    def __init__(self, limit_s: float) -> None:
        self.rank, self.size, self.local = 0, 1, 1
        if os.environ.get("WORLD_SIZE", "1") == "1":
            return
        import torch.distributed as dist

        try:
            dist.init_process_group("gloo", timeout=timedelta(seconds=limit_s))
            self.local = int(os.environ.get("LOCAL_WORLD_SIZE", os.environ["WORLD_SIZE"]))
        except (RuntimeError, ValueError, KeyError) as error:
            raise errors.ConfigError(
                f"the ranks do not meet: {str(error).splitlines()[0]}",
                remedy="start it by torchrun, or unset WORLD_SIZE",
            ) from error
        self.rank, self.size = dist.get_rank(), dist.get_world_size()

    def together(self, fits: Fits) -> Fits:
        """The same question to all ranks at once; a batch fits where it fits on all."""
        return fits if self.size == 1 else lambda batch: self._asked(fits, batch)

    def _asked(self, fits: Fits, batch: int) -> Verdict:
        try:
            mine = fits(batch)
        except BaseException:
            self._least(_FAILED)
            raise
        least = self._least(_FITS if mine.fits else _TOO_LARGE)
        if least == _FAILED:
            raise TrialFailed(
                f"a batch of {batch}: it fails on another rank", remedy="see what that one says"
            )
        if mine.fits and least == _TOO_LARGE:
            return Verdict(fits=False, why="it does not fit on another rank", peak=mine.peak)
        return mine

    def _least(self, mine: int) -> int:
        import torch
        import torch.distributed as dist

        held = torch.tensor([mine])
        try:
            dist.all_reduce(held, op=dist.ReduceOp.MIN)
        except RuntimeError as error:
            raise TrialFailed(
                f"another rank does not answer: {str(error).splitlines()[0]}",
                remedy="see what ended it",
            ) from error
        return int(held)

    def leave(self) -> None:
        """End the process group."""
        if self.size > 1:
            import torch.distributed as dist

            dist.destroy_process_group()
