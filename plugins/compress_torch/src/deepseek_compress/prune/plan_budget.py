"""From a budget to a plan: how many channels each group keeps."""

from __future__ import annotations

import numpy as np

from deepseek_compress.errors import CannotPrune
from deepseek_compress.prune.budget import PruneBudget
from deepseek_compress.prune.budget_search import BudgetSearch
from deepseek_compress.prune.layer_times import Latency
from deepseek_compress.prune.plan import PrunePlan
from deepseek_compress.prune.pruner import Pruner


def plan_budget(
    pruner: Pruner,
    unit_scores: np.ndarray,
    budget: PruneBudget,
    *,
    allocate: str = "uniform",
    latency: Latency | None = None,
) -> PrunePlan:
    """A plan that meets the budget and takes the least valuable channels.

    Args:
        pruner: of the model.
        unit_scores: one figure for each unit (`score_units`), larger for what should stay.
        budget: what has to be met.
        allocate: "uniform" takes the same share of every group, "global" the least scores
            wherever they are, "latency" what saves most for the score that it costs.
        latency: milliseconds of a layer of so many input and output channels, measured elsewhere.

    Raises:
        BudgetUnmet: no plan meets it; the tightest constraint and the closest figures are named.
        CannotPrune: nothing can be pruned, or the arguments say nothing.
    """
    scores = np.asarray(unit_scores, dtype=float)
    if scores.shape != (pruner.structure.unit_count,) or not np.isfinite(scores).all():
        raise CannotPrune(
            f"one finite score is needed for each of {pruner.structure.unit_count} units",
            operation="budget",
        )
    _check(pruner, budget, latency)
    search = BudgetSearch(pruner, scores, budget, latency)
    ways = {"uniform": search.uniform, "global": search.by_score, "latency": search.greedy}
    if allocate not in ways:
        raise CannotPrune(
            f"there is no allocation {allocate!r}",
            operation="budget",
            remedy=f"one of {', '.join(ways)}",
        )
    if not search.met(search.least):
        raise search.unmet()
    kept = search.give_back(ways[allocate]())
    return search.plan(kept)


def _check(pruner: Pruner, budget: PruneBudget, latency: Latency | None) -> None:
    if budget.params is budget.macs is budget.latency_ms is None:
        raise CannotPrune(
            "the budget says nothing", operation="budget", remedy="give params, macs or latency_ms"
        )
    if (budget.latency_ms is None) != (latency is None):
        raise CannotPrune("latency_ms and the latency function go together", operation="budget")
    if not any(group.blocks and not group.reason for group in pruner.structure.groups):
        first = next((group for group in pruner.structure.groups if group.reason), None)
        reason = f"{first.name}: {first.reason}" if first else "it has no layers with channels"
        raise CannotPrune(
            f"nothing can be pruned ({reason})",
            operation="budget",
            layer=first.name if first else "",
        )
