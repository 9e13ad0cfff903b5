"""Which rank writes which tensor: DCP's plans, made anew only where a state looks different."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import torch
from torch.distributed.checkpoint import metadata, planner
from torch.distributed.checkpoint.default_planner import DefaultSavePlanner

from deepseek_core import errors
from deepseek_parallel.checkpoint.dcp_files import PartWriter
from deepseek_parallel.checkpoint.peers import Peers
from deepseek_parallel.checkpoint.place import Place
from deepseek_parallel.errors import StateMismatch

Tensors = Mapping[str, torch.Tensor]


@attrs.frozen(kw_only=True)
class Planned:
    """What this rank writes of a part, and what all write together (on rank 0 only)."""

    mine: planner.SavePlan
    all: metadata.Metadata | None


class Plans:
    """The plans of the parts of a state; kept while every rank's state looks as it did."""

    def __init__(self, peers: Peers) -> None:
        self._peers = peers
        self._kept: tuple[bytes, dict[str, Planned]] | None = None

    def of(self, parts: Mapping[str, Tensors]) -> dict[str, Planned]:
        """The plan of each part; all ranks call it.

        Raises:
            StateMismatch: ranks have tensors of one name and other shapes.
            RankLost: a rank does not answer.
        """
        local = {part: _local_plan(tensors) for part, tensors in parts.items()}
        seen = hashlib.sha256(pickle.dumps(local)).digest()
        is_new = self._kept is None or self._kept[0] != seen
        if any(self._peers.gather(is_new)):
            self._kept = seen, self._planned(local)
        assert self._kept is not None
        return self._kept[1]

    def _planned(self, local: Mapping[str, planner.SavePlan]) -> dict[str, Planned]:
        told = self._peers.gather(local)
        made = self._peers.agreed(
            lambda: {part: _global_plan([one[part] for one in told]) for part in local}
        )
        mine = self._peers.rank
        return {
            part: Planned(mine=plans[mine], all=found if mine == 0 else None)
            for part, (plans, found) in made.items()
        }


def _local_plan(tensors: Tensors) -> planner.SavePlan:
    made = DefaultSavePlanner()
    made.set_up_planner(dict(tensors), None, False)
    return made.create_local_plan()


def _global_plan(
    plans: Sequence[planner.SavePlan],
) -> tuple[list[planner.SavePlan], metadata.Metadata]:
    _check_shapes(plans)
    try:
        found, whole = DefaultSavePlanner().create_global_plan(list(plans))
    except (ValueError, AssertionError) as error:
        raise StateMismatch(
            f"the ranks' tensors do not make one state: {error}",
            remedy="give each tensor one name, and the same one on all ranks that share it",
        ) from error
    return PartWriter(Place("memory://")).prepare_global_plan(found), whole


def _check_shapes(plans: Sequence[planner.SavePlan]) -> None:
    """DCP would take one of two tensors of a name without a word."""
    seen: dict[str, tuple[int, Any]] = {}
    for rank, plan in enumerate(plans):
        for item in plan.items:
            data = item.tensor_data
            if data is None:
                raise errors.InputError(f"{item.index.fqn} is no tensor")
            first, looks = seen.setdefault(
                item.index.fqn, (rank, (tuple(data.size), data.properties.dtype))
            )
            mine = tuple(data.size), data.properties.dtype
            if mine != looks:
                raise StateMismatch(
                    f"{item.index.fqn} is {mine[1]} {mine[0]} on rank {rank}, and {looks[1]} "
                    f"{looks[0]} on rank {first}",
                    remedy="name parameters by the whole model, as "
                    "torch.distributed.checkpoint.state_dict.get_optimizer_state_dict does",
                )
