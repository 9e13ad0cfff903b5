"""Which strategy trains a model soonest."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import attrs

from deepseek_core.contracts.cluster import Cluster
from deepseek_core.contracts.errors import DeepSeekError
from deepseek_core.contracts.training import Profile, TrainingPlan


@attrs.frozen(kw_only=True)
class Ranking:
    """Plans, the soonest step first; and why others made none, by name."""

    plans: tuple[TrainingPlan, ...]
    refusals: Mapping[str, str]


Planner = Callable[[Profile, Cluster], TrainingPlan]


def rank(planners: Mapping[str, Planner], profile: Profile, cluster: Cluster) -> Ranking:
    """Let each strategy plan, and put the plans in the order of their seconds; then of memory.

    A plan that contradicts what was asked is a refusal: the others are still ranked.
    """
    plans: list[TrainingPlan] = []
    refusals: dict[str, str] = {}
    for name, planner in planners.items():
        try:
            plan = planner(profile, cluster)
        except DeepSeekError as refusal:
            refusals[name] = str(refusal)
            continue
        wrong = contradiction(plan, profile, cluster)
        if wrong is None:
            plans.append(plan)
        else:
            refusals[name] = f"it planned {wrong}"
    plans.sort(key=_order)
    return Ranking(plans=tuple(plans), refusals=refusals)


def contradiction(plan: TrainingPlan, profile: Profile, cluster: Cluster) -> str | None:
    """What of a plan can't be true of this model on this cluster, or None."""
    figures = plan.step_s, plan.memory_nbytes, plan.wire_nbytes
    if plan.mesh.num_ranks != cluster.world:
        return f"{plan.mesh.num_ranks} ranks for a cluster of {cluster.world}"
    if sum(plan.cut) != len(profile.layers) or min(plan.cut) < 1:
        return f"stages of {list(plan.cut)} layers for a model of {len(profile.layers)}"
    if min(plan.shares) < 1 or sum(plan.shares) * plan.micro != profile.batch:
        return f"{list(plan.shares)} microbatches of {plan.micro} for a batch of {profile.batch}"
    if not all(math.isfinite(figure) and figure >= 0 for figure in figures) or not plan.step_s:
        return f"{plan.step_s} s, {plan.memory_nbytes} bytes a rank, {plan.wire_nbytes} on the wire"
    return None


def _order(plan: TrainingPlan) -> tuple[float, float, int, str]:
    """What plans are sorted by; of equal ones the simpler comes first."""
    return plan.step_s, plan.memory_nbytes, len(plan.mesh.sizes), plan.strategy
