"""A transformer as the row of layers that any strategy plans, with all that is known of it."""

from __future__ import annotations

import attrs

from deepseek_core import Mesh, training
from deepseek_parallel.errors import MeshMismatch
from deepseek_parallel.planning import mesh as planned
from deepseek_parallel.planning.estimate import EVIDENCE, Estimate, Problem
from deepseek_parallel.planning.layer import boundary_nbytes, kept_nbytes, num_all_reduces
from deepseek_parallel.planning.search import Wanted, search

_ALONE = planned.Mesh(dp=1, tp=1, pp=1)


@attrs.frozen(kw_only=True)
class StackProfile(training.Profile):
    """Layers of a transformer; `problem` is what the planner of transformers knows beyond them."""

    problem: Problem


def stack_profile(problem: Problem) -> StackProfile:
    """The layers of a transformer: the first one with the embedding, the last with the output."""
    model, how = problem.model, problem.training
    s, h = model.sequence, model.hidden
    passes = 4 if how.recompute == "full" else 3
    extra = 4.0 * s * s * h if how.recompute == "selective" else 0.0
    embedding = model.embedding_parameters(1)
    layers = [
        training.Layer(
            name=f"layer {number}",
            flops=passes * (24.0 * s * h * h + 4.0 * s * s * h) + extra
            + (6.0 * s * embedding if number == model.layers - 1 else 0.0),
            parameters=model.layer_parameters
            + (embedding if number in (0, model.layers - 1) else 0),
            output_nbytes=boundary_nbytes(model, _ALONE, how),
            kept_nbytes=kept_nbytes(model, _ALONE, how, how.recompute),
            split={f"layer {number}": "column"},
            split_share=1.0,
            split_parameters=model.layer_parameters,
            summed_nbytes=num_all_reduces(how.recompute) * boundary_nbytes(model, _ALONE, how),
            widths=(model.heads,),
        )
        for number in range(model.layers)
    ]  # fmt: skip
    return StackProfile(
        layers=layers,
        batch=how.batch,
        dtype=how.dtype,
        element_nbytes=how.element_nbytes,
        optimizer_nbytes=how.optimizer_nbytes,
        problem=problem,
    )


def fastest_of_stack(
    strategy: str, axes: tuple[str, ...], profile: StackProfile, cluster: training.Cluster,
    *, sharded: bool, wanted: Wanted,
) -> training.TrainingPlan:  # fmt: skip
    """The fastest mesh of these axes, by the planner of transformers.

    Raises:
        MeshMismatch: none fits the model, the cluster or a GPU's memory.
    """
    how = attrs.evolve(profile.problem.training, sharded=sharded)
    problem = attrs.evolve(profile.problem, cluster=cluster, training=how)
    ones = {axis: 1 for axis in ("dp", "tp", "pp") if axis not in axes}
    plans = search(problem, attrs.evolve(wanted, **ones))
    if not plans.fitting:
        nearest = plans.nearest
        assert nearest is not None, "what does not fit otherwise was raised"
        raise MeshMismatch(nearest.why, dimension="memory", remedy=nearest.remedy)
    return _plan(strategy, axes, plans.fitting[0])


def _plan(strategy: str, axes: tuple[str, ...], found: Estimate) -> training.TrainingPlan:
    mesh = found.mesh
    slowest_first = ("pp", "dp", "tp") if found.order == "tp-dp-pp" else ("dp", "pp", "tp")
    chunks = [layers // mesh.interleave for layers in found.cut] * mesh.interleave
    return training.TrainingPlan(
        strategy=strategy,
        mesh=Mesh(sizes={axis: getattr(mesh, axis) for axis in slowest_first if axis in axes}),
        cut=chunks,
        shares=found.shares,
        micro=mesh.micro,
        step_s=found.seconds.total,
        memory_nbytes=found.memory.total,
        wire_nbytes=found.wire.total,
        evidence=EVIDENCE,
    )
