"""One mesh in one order: where a step's seconds, bytes and memory go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import attrs

from deepseek_parallel.exchange import Layout
from deepseek_parallel.planning.cluster import Cluster
from deepseek_parallel.planning.grid import Grid, grid, slowest
from deepseek_parallel.planning.layer import (
    LayerCost,
    all_reduce_s,
    boundary_nbytes,
    layer_cost,
    num_all_reduces,
)
from deepseek_parallel.planning.memory import Memory, stage_parameters, tightest
from deepseek_parallel.planning.mesh import Mesh, Refused
from deepseek_parallel.planning.model import Transformer
from deepseek_parallel.planning.training import Assumed, Training
from deepseek_parallel.shares import Affine, allocate, imbalance

EVIDENCE: Final = "model"


@attrs.frozen(kw_only=True)
class Problem:
    """What is planned: all that does not depend on the mesh."""

    model: Transformer
    cluster: Cluster
    training: Training
    assumed: Assumed


@attrs.frozen(kw_only=True)
class Seconds:
    """Parts of a step, of the replica that is done last; nothing overlaps."""

    compute: float
    tensor: float
    pipeline: float
    bubble: float
    data: float
    optimizer: float

    @property
    def total(self) -> float:
        """The step."""
        return float(sum(attrs.astuple(self)))


@attrs.frozen(kw_only=True)
class Wire:
    """Bytes that all GPUs together send in a step."""

    tensor: float
    pipeline: float
    data: float

    @property
    def total(self) -> float:
        """All of them."""
        return self.tensor + self.pipeline + self.data


@attrs.frozen(kw_only=True)
class Estimate:
    """What a mesh would take; a figure of a model, not of a measurement.

    `cut` are layers by stage, `shares` microbatches by replica. The two imbalances are
    largest over mean less 1, and the least there can be: no other division into whole microbatches
    ends sooner, nor one into whole layers; interleaved stages have equally many.
    """

    mesh: Mesh
    order: str
    cut: tuple[int, ...]
    shares: tuple[int, ...]
    seconds: Seconds
    memory: Memory
    wire: Wire
    stage_imbalance: float
    share_imbalance: float


def estimate(problem: Problem, mesh: Mesh, order: str) -> Estimate | Refused:
    """Estimate a mesh that fits in all dimensions; refuse it if a GPU has too little memory."""
    placed = grid(problem.cluster, mesh, order)
    costs = _costs(problem, mesh)
    cut = _cut(problem, mesh, placed, costs)
    hop_s = _hop_s(problem, mesh, placed)
    stages = [_stage_s(groups, cut, costs, hop_s) for groups, _ in placed.rows]
    replicas = [
        Affine((sum(stage_s) - max(stage_s)) / mesh.interleave, max(stage_s))
        for stage_s, (_, count) in zip(stages, placed.rows, strict=True)
        for _ in range(count)
    ]
    shares = allocate(replicas, problem.training.batch // mesh.micro, least=1)
    memory = tightest(
        problem.model, mesh, problem.training,
        cut=cut, microbatches=max(shares), usable=_usable(problem, placed, mesh.pp),
    )  # fmt: skip
    if memory.lacking > 0:
        return Refused(
            mesh=mesh,
            dimension="memory",
            why=f"stage {memory.stage} needs {memory.total:.4g} bytes a GPU of {memory.usable:.4g}",
            remedy="use more GPUs or a larger tp or pp, a smaller micro, or recompute more",
            lacking_nbytes=memory.lacking,
        )
    ends = [cost.of(share) for cost, share in zip(replicas, shares, strict=True)]
    last = ends.index(max(ends))
    kind = _kind_of(placed, last)
    parameters = [stage_parameters(problem.model, mesh, cut[i], i) for i in range(mesh.pp)]
    data_s, data_nbytes = _data(problem, mesh, placed, parameters)
    return Estimate(
        mesh=mesh,
        order=order,
        cut=tuple(cut),
        shares=tuple(shares),
        seconds=_seconds(
            placed.rows[kind][0], cut, costs, hop_s,
            share=shares[last], fill_s=replicas[last].fixed_s, data_s=data_s,
            optimizer_s=_optimizer_s(problem, placed, parameters),
        ),
        memory=memory,
        wire=_wire(problem, mesh, data_nbytes),
        stage_imbalance=max(map(imbalance, stages)),
        share_imbalance=imbalance(ends),
    )  # fmt: skip


def _costs(problem: Problem, mesh: Mesh) -> list[LayerCost]:
    return [
        layer_cost(problem.model, group, mesh, problem.training, problem.assumed)
        for group in problem.cluster.groups
    ]


def _cut(problem: Problem, mesh: Mesh, placed: Grid, costs: Sequence[LayerCost]) -> list[int]:
    """Layers by stage, by the slowest GPUs of each; the last one also has the output layer."""
    layers, pp = problem.model.layers, mesh.pp
    if pp == 1 or mesh.interleave > 1:
        return [layers // pp] * pp
    found = []
    for stage in range(pp):
        held = [costs[group] for group in placed.groups_of(stage)]
        head_s = max(cost.head_s for cost in held) if stage == pp - 1 else 0.0
        found.append(Affine(head_s, max(cost.layer_s for cost in held)))
    return allocate(found, layers, least=1)


def _hop_s(problem: Problem, mesh: Mesh, placed: Grid) -> float:
    """Seconds of a microbatch on each stage: each chunk is handed on forward and backward.

    Each of the tensor-parallel ranks sends its part.
    """
    if mesh.pp == 1:
        return 0.0
    groups = sorted({group for row, _ in placed.rows for group in row})
    link = slowest(problem.cluster, groups, inside=placed.pp_inside)
    share = problem.assumed.link if placed.pp_inside else problem.assumed.network
    sent = boundary_nbytes(problem.model, mesh, problem.training) / mesh.tp
    return 2 * mesh.interleave * (sent / (link.bytes_per_s * share) + link.latency_s)


def _stage_s(
    groups: Sequence[int], cut: Sequence[int], costs: Sequence[LayerCost], hop_s: float
) -> list[float]:
    """Seconds of a microbatch by stage."""
    found = [
        layers * costs[group].layer_s + hop_s for group, layers in zip(groups, cut, strict=True)
    ]
    found[-1] += costs[groups[-1]].head_s
    return found


def _usable(problem: Problem, placed: Grid, pp: int) -> list[float]:
    """Bytes by stage that may be planned for."""
    usable = [group.memory_nbytes * problem.assumed.usable for group in problem.cluster.groups]
    return [min(usable[group] for group in placed.groups_of(stage)) for stage in range(pp)]


def _kind_of(placed: Grid, replica: int) -> int:
    for kind, (_, count) in enumerate(placed.rows):
        if replica < count:
            return kind
        replica -= count
    raise AssertionError("a replica beyond the mesh")


def _seconds(
    groups: Sequence[int],
    cut: Sequence[int],
    costs: Sequence[LayerCost],
    hop_s: float,
    *,
    share: int,
    fill_s: float,
    data_s: float,
    optimizer_s: float,
) -> Seconds:
    """One replica: its slowest stage works without a pause, and waits while the rest fill."""
    stage_s = _stage_s(groups, cut, costs, hop_s)
    slow = stage_s.index(max(stage_s))
    cost = costs[groups[slow]]
    head_s = cost.head_s if slow == len(cut) - 1 else 0.0
    return Seconds(
        compute=share * (cut[slow] * cost.compute_s + head_s),
        tensor=share * cut[slow] * cost.tensor_s,
        pipeline=share * hop_s,
        bubble=fill_s,
        data=data_s,
        optimizer=optimizer_s,
    )


def _data(
    problem: Problem, mesh: Mesh, placed: Grid, parameters: Sequence[float]
) -> tuple[float, float]:
    """Seconds of the slowest stage's gradient exchange, and bytes of all ranks.

    First and last stage also add up the gradient of the embedding that both hold.
    """
    training, assumed, cluster = problem.training, problem.assumed, problem.cluster
    share = assumed.link if placed.dp_inside else assumed.network
    worst_s = nbytes = 0.0
    for stage, owned in enumerate(parameters if mesh.dp > 1 else ()):
        link = slowest(cluster, placed.groups_of(stage), inside=placed.dp_inside)
        if training.compress is None:
            # Shards are gathered twice and summed once.
            gradient = owned * training.gradient_nbytes * (1.5 if training.sharded else 1.0)
            stage_s = all_reduce_s(gradient, mesh.dp, link, share)
            nbytes += mesh.tp * 2 * (mesh.dp - 1) * gradient
        else:
            layout = Layout(
                length=round(owned), ranks=mesh.dp,
                ratio=training.compress, ratio_of_sum=training.compress,
            )  # fmt: skip
            sent = layout.wire_nbytes
            stage_s = sent / mesh.dp / (link.bytes_per_s * share)
            stage_s += 2 * (mesh.dp - 1) * link.latency_s
            nbytes += mesh.tp * sent
        worst_s = max(worst_s, stage_s)
    if mesh.pp > 1:
        shared = problem.model.embedding_parameters(mesh.tp) * training.gradient_nbytes
        ends = sorted({*placed.groups_of(0), *placed.groups_of(mesh.pp - 1)})
        link = slowest(cluster, ends, inside=placed.pp_inside)
        share = assumed.link if placed.pp_inside else assumed.network
        worst_s += all_reduce_s(shared, 2, link, share)
        nbytes += mesh.dp * mesh.tp * 2 * shared
    return worst_s, nbytes


def _optimizer_s(problem: Problem, placed: Grid, parameters: Sequence[float]) -> float:
    """A pass over the memory of the slowest stage."""
    assumed, groups = problem.assumed, problem.cluster.groups
    rate = [group.memory_bytes_per_s * assumed.memory * group.speed for group in groups]
    shards = placed.num_replicas if problem.training.sharded else 1
    return max(
        owned
        / shards
        * assumed.optimizer_traffic_nbytes
        / min(rate[i] for i in placed.groups_of(stage))
        for stage, owned in enumerate(parameters)
    )


def _wire(problem: Problem, mesh: Mesh, data_nbytes: float) -> Wire:
    handed = boundary_nbytes(problem.model, mesh, problem.training)
    microbatches = problem.training.batch // mesh.micro
    reduced = num_all_reduces(problem.training.recompute) * 2 * (mesh.tp - 1) * handed
    borders = mesh.pp * mesh.interleave - 1 if mesh.pp > 1 else 0
    return Wire(
        tensor=microbatches * problem.model.layers * reduced,
        pipeline=microbatches * borders * 2 * handed,
        data=data_nbytes,
    )
