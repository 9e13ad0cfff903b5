"""A model split over the ranks of this run in one call: counted, planned and applied."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import attrs
import torch
import torch.distributed as dist
from torch import nn

from deepseek_core import errors, training
from deepseek_parallel.lost import rank_errors
from deepseek_parallel.strategies.batches import given_by, loss_of
from deepseek_parallel.strategies.measuring import measured_cluster
from deepseek_parallel.strategies.profiling import Profiled, at_rest, profile

AUTO: Final = "auto"


@attrs.frozen(kw_only=True)
class Splitting:
    """The `model` as this rank holds it, by a `plan`; `ranking` tells what else was planned.

    `whole` are layers that are not divided, with why. `replica` is whose microbatches this rank
    gets: `plan.shares[replica]` of `plan.micro` samples, after those of the replicas before.
    """

    model: training.SplitModel
    plan: training.TrainingPlan
    ranking: training.Ranking
    whole: Mapping[str, str]
    replica: int


def split(
    model: nn.Module,
    loss: training.Loss,
    sample: Any,
    *,
    batch: int,
    strategy: str = AUTO,
    options: Mapping[str, Any] | None = None,
    layers: Sequence[str] | None = None,
    cluster: training.Cluster | None = None,
) -> Splitting:
    """Split a model over all ranks, which call this at once; the model is taken apart for it.

    `batch` samples are in a step, on all ranks; `sample` is a small batch as `loss(model, batch)`
    takes it. `strategy` is a name of `ds-sdk list-plugins --kind strategy`, or "auto" for the
    soonest step of all; `options` are its own, as {"dp": 2, "tp": 2}. `layers` name modules that
    are called one after the other, which a pipeline needs of what is no `nn.Sequential`. The
    `cluster` is measured where none is given.

    Raises:
        ConfigError: no process group, an unknown strategy or option.
        InputError: the loss, the sample or the layers do not fit the model.
        MeshMismatch: no mesh fits, by its dimension.
        RankLost: another rank does not answer.
    """
    if not dist.is_initialized():
        raise errors.ConfigError(
            "no process group: the ranks do not know each other",
            remedy="call torch.distributed.init_process_group() first, under torchrun",
        )
    if strategy == AUTO and options:
        raise errors.ConfigError(
            "options are of one strategy, and none is named",
            remedy=f'name it: strategy="hybrid", options={dict(options)!r}',
        )
    counted = profile(model, loss, sample, batch=batch, layers=layers)
    device = next(model.parameters()).device.type
    ranking = _agreed(counted, cluster or measured_cluster(device), strategy, options or {})
    if not ranking.plans:
        why = "; ".join(f"{name}: {reason}" for name, reason in ranking.refusals.items())
        raise errors.InputError(f"no strategy has a plan: {why}", remedy="see each one's reason")
    plan = _usable(ranking, lambda: _check_call(model, loss, sample), is_free=strategy == AUTO)
    held = training.open_strategy(plan.strategy, options).apply(plan, model)
    return Splitting(
        model=held,
        plan=plan,
        ranking=ranking,
        whole=counted.whole,
        replica=plan.mesh.coordinates(dist.get_rank()).get("dp", 0),
    )


def _usable(
    ranking: training.Ranking, check: Callable[[], None], *, is_free: bool
) -> training.TrainingPlan:
    """The first plan; with stages, if the loss is such as they take, else a later one is free."""
    for plan in ranking.plans:
        try:
            if plan.mesh.sizes.get("pp", 1) > 1:
                check()
        except errors.InputError:
            if not is_free or plan is ranking.plans[-1]:
                raise
            continue
        return plan
    raise AssertionError("no plan")


def _check_call(model: nn.Module, loss: training.Loss, sample: Any) -> None:
    """See that the loss calls the model once, before ranks wait for each other in it."""
    with at_rest(model), torch.no_grad():
        loss_of(loss, given_by(loss, sample).to(model), sample)


def _agreed(
    counted: Profiled, cluster: training.Cluster, strategy: str, options: Mapping[str, Any]
) -> training.Ranking:
    """What rank 0 planned: libraries may differ in what they count."""
    if strategy == AUTO:
        ranking = training.ranked(counted.profile, cluster)
    else:
        plan = training.open_strategy(strategy, options).plan(counted.profile, cluster)
        ranking = training.Ranking(plans=(plan,), refusals={})
    told = [ranking]
    with rank_errors("agreeing on a plan"):
        dist.broadcast_object_list(told, src=0)
    return told[0]
