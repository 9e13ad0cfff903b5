"""Which rank writes which tensor: DCP's plans, made again only where a state looks different."""

from __future__ import annotations

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
        self._looks: Any = None
        self._kept: dict[str, Planned] = {}

    def are_for(self, parts: Mapping[str, Tensors]) -> bool:
        """Whether the plans that are kept are for a state of this rank that looks like that."""
        return bool(self._kept) and self._looks == _looks(parts)

    def made(self, parts: Mapping[str, Tensors], *, again: bool) -> dict[str, Planned]:
        """The plan of each part; all ranks call it and `again` where one has to.

        Raises:
            StateMismatch: ranks have tensors of one name and other shapes.
            RankLost: a rank does not answer.
        """
        if again:
            self._kept = self._planned({part: _local_plan(one) for part, one in parts.items()})
            self._looks = _looks(parts)
        return self._kept

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


def _looks(parts: Mapping[str, Tensors]) -> Any:
    """All of a state that a plan depends on: cheaper than the plan."""
    return {
        part: [
            (name, tensor.shape, tensor.dtype, getattr(tensor, "placements", None),
             getattr(tensor, "device_mesh", None))
            for name, tensor in tensors.items()
        ]
        for part, tensors in parts.items()
    }  # fmt: skip


def plans_of_ranks(
    tensors: Sequence[Tensors],
) -> tuple[list[planner.SavePlan], metadata.Metadata]:
    """What each rank writes of the tensors that it has, and what all write together."""
    return _global_plan([_local_plan(one) for one in tensors])


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
                raise errors.InputError(f"{item.index.fqn} is not a tensor")
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
