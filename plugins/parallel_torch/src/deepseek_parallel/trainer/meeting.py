"""Ranks that begin, or meet again after one was lost or has joined: all get one state."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from typing import Any

import attrs
from torch import nn

from deepseek_parallel.elastic.share import share
from deepseek_parallel.errors import StateMismatch
from deepseek_parallel.ranks import Ranks
from deepseek_parallel.sgd import CompressedSGD
from deepseek_parallel.states import resharded
from deepseek_parallel.trainer.descent import Descent, Largest, descent_of, settle
from deepseek_parallel.trainer.part import Part
from deepseek_parallel.trainer.progress import Progress
from deepseek_parallel.trainer.replica import Replica
from deepseek_parallel.trainer.setup import Setup
from deepseek_parallel.trainer.sharing import Shares
from deepseek_parallel.trainer.together import gathered, told


@attrs.frozen
class _Told:
    """What a rank tells: how far it is, of what model, which rank it was, and what waits there."""

    turns: int
    model: int
    rank: int | None
    compressed: Mapping[str, Any] | None


class Meeting:
    """Brings the ranks of a setup together, again and again.

    `divide` gives the part of a model that is divided over them, which they can't do without.
    """

    def __init__(
        self, setup: Setup, progress: Progress, divide: Callable[[], Part] | None = None
    ) -> None:
        self._setup, self._progress, self._divide = setup, progress, divide
        self._rank: int | None = None
        self._descent: Descent | None = None
        self._shares: Shares | None = None

    def hold(self, ranks: Ranks) -> Part:
        """Bring all to the state of the one that is farthest; what each trains from now on.

        A rank that was lost in the middle of a step may have left one that has taken it and one
        that has not. Ranks that all begin take the parameters of rank 0.

        Raises:
            StateMismatch: they have other models, data or settings.
            RankLost: another rank does not answer.
        """
        old = self._descent
        waits = old.optimizer.state_dict() if isinstance(old, Largest) else None
        mine = _Told(self._progress.turns, _checksum(self._setup), self._rank, waits)
        all_told = gathered(mine, ranks)
        _check_same(all_told)
        learned = self._give(all_told, ranks)
        setup = self._setup
        if self._divide is not None:
            return self._divide()
        descent = descent_of(
            setup.optimizer, setup.params, ranks, ratio=setup.ratio, clip=setup.clip
        )
        if isinstance(old, Largest) and not isinstance(descent, Largest):
            settle(setup.optimizer, waits, setup.params)
        if isinstance(descent, Largest):
            most = max(one.turns for one in all_told)
            held = [one.compressed for one in all_told if one.turns == most and one.compressed]
            _hand_over(held, descent.optimizer, ranks)
        shares = Shares(ranks.size, is_balanced=setup.is_balanced)
        self._shares = shares.renewed(learned, [one.rank for one in all_told])
        self._rank, self._descent = ranks.rank, descent
        return Replica(setup, ranks, descent, self._shares)

    def _give(self, all_told: list[_Told], ranks: Ranks) -> Any:
        """Hand the state of who is farthest to all others; what its shares have learned."""
        setup, turns = self._setup, [one.turns for one in all_told]
        most = max(turns)
        first = turns.index(most)
        if min(turns) < most or most == 0:
            state, _ = share(_state(setup, self._progress), self._progress.turns, ranks)
            if self._progress.turns < most or (most == 0 and ranks.rank != first):
                _restore(state, setup, self._progress)
        learned = self._shares.state() if self._shares is not None else None
        return told(learned, first, ranks) if setup.is_balanced else None


def _hand_over(states: list[Any], optimizer: CompressedSGD, ranks: Ranks) -> None:
    """Let what waited at the ranks that were there wait on; what a lost rank held back is lost."""
    if not states:
        return
    numbered = [
        {**state, "compression": {**state["compression"], "rank": n, "ranks": len(states)}}
        for n, state in enumerate(states)
    ]
    optimizer.load_state_dict(resharded(numbered, ranks.size)[ranks.rank])


def _state(setup: Setup, progress: Progress) -> dict[str, Any]:
    # What a CompressedSGD of the user's own holds is of its rank.
    is_of_rank = isinstance(setup.optimizer, CompressedSGD)
    return {
        "model": setup.model.state_dict(),
        "optimizer": None if is_of_rank else setup.optimizer.state_dict(),
        "rates": setup.rates.state(),
        "progress": progress.state(),
    }


def _restore(state: Mapping[str, Any], setup: Setup, progress: Progress) -> None:
    setup.model.load_state_dict(state["model"])
    if state["optimizer"] is not None:
        setup.optimizer.load_state_dict(state["optimizer"])
    setup.rates.restore(state["rates"])
    progress.restore(state["progress"])


def _checksum(setup: Setup) -> int:
    """Equal where model, data and settings are."""
    shapes = [(name, tuple(value.shape), str(value.dtype)) for name, value in _values(setup.model)]
    names = [name for name, _ in setup.params]
    settings = (
        setup.order.state(), setup.batch, setup.microbatch, setup.seed, setup.ratio,
        setup.precision.kind, repr(setup.choice),
    )  # fmt: skip
    return zlib.crc32(repr((shapes, names, settings)).encode())


def _values(model: nn.Module) -> list[tuple[str, Any]]:
    return [*model.named_parameters(), *model.named_buffers()]


def _check_same(all_told: list[_Told]) -> None:
    others = [rank for rank, one in enumerate(all_told) if one.model != all_told[0].model]
    if others:
        raise StateMismatch(
            f"ranks {', '.join(map(str, others))} have another model, dataset or settings than "
            "rank 0",
            remedy="build the same on all ranks, of the same files and versions",
        )
