"""A row of unequal layers on a mesh: seconds, memory and bytes of a step, by a model.

The parts are those of the planner of transformers (layer.py, estimate.py, memory.py), with figures
that were counted on a module. A zero-bubble schedule is idle a third of the time that 1F1B is (Qi
et al., arXiv 2401.10241, ZB-H1).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import attrs

from deepseek_core import training
from deepseek_parallel.errors import MeshMismatch
from deepseek_parallel.planning.cluster import Cluster, Group
from deepseek_parallel.planning.cut import cut
from deepseek_parallel.planning.grid import ORDERS, Grid, grid, slowest
from deepseek_parallel.planning.layer import all_reduce_s
from deepseek_parallel.planning.memory import in_flight
from deepseek_parallel.planning.mesh import Mesh
from deepseek_parallel.planning.training import ASSUMED
from deepseek_parallel.shares import Affine, allocate

SCHEDULES: Final = ("1f1b", "interleaved", "zero_bubble")
_IDLE: Final = {"1f1b": 1.0, "interleaved": 1.0, "zero_bubble": 1 / 3}
_GRADIENT_NBYTES: Final = 4


@attrs.frozen(kw_only=True)
class RowEstimate:
    """What a mesh would take: layers by stage, microbatches by replica, and figures of a model."""

    mesh: Mesh
    schedule: str
    cut: tuple[int, ...]
    shares: tuple[int, ...]
    step_s: float
    memory_nbytes: float
    wire_nbytes: float


@attrs.frozen(kw_only=True)
class _Row:
    """One profile on one mesh; `sharded`: a rank keeps a part of its replica's parameters."""

    profile: training.Profile
    cluster: Cluster
    mesh: Mesh
    placed: Grid
    sharded: bool

    @property
    def chunks(self) -> int:
        """Stages, of which each rank of the pipeline has `interleave`."""
        return self.mesh.pp * self.mesh.interleave

    def layer_s(self, layer: training.Layer, group: Group) -> float:
        """Seconds of a microbatch on a layer, forward and backward, sums of `tp` among them."""
        tp, micro = self.mesh.tp, self.mesh.micro
        flops = micro * layer.flops * (1 - layer.split_share * (1 - 1 / tp))
        # The gradient of each microbatch is added to those before it: read and written.
        touched = 2 * _GRADIENT_NBYTES * self.held(layer) + 3 * micro * layer.kept_nbytes
        sums_s = all_reduce_s(micro * layer.summed_nbytes, tp, group.inside, ASSUMED.link)
        return (
            flops / (group.peak(self.profile.dtype) * ASSUMED.matmul * group.speed)
            + touched / (group.memory_bytes_per_s * ASSUMED.memory * group.speed)
            + (sums_s if layer.split else 0.0)
        )

    def held(self, layer: training.Layer) -> float:
        """Parameters of a layer on one rank, all of its replica's shards together."""
        return layer.parameters - layer.split_parameters * (1 - 1 / self.mesh.tp)


def estimate_row(
    profile: training.Profile,
    cluster: Cluster,
    mesh: Mesh,
    *,
    schedule: str = "1f1b",
    sharded: bool = False,
) -> RowEstimate:
    """Estimate a mesh.

    Raises:
        MeshMismatch: it does not fit the model or the cluster, or a rank has too little memory.
    """
    _check(profile, cluster, mesh, schedule)
    row = _Row(
        profile=profile, cluster=cluster, mesh=mesh, sharded=sharded,
        placed=grid(cluster, mesh, ORDERS[0]),
    )  # fmt: skip
    parts = _cut(row)
    replicas = [
        _replica(row, [cluster.groups[number] for number in groups], parts, schedule)
        for groups, count in row.placed.rows
        for _ in range(count)
    ]
    shares = _shares(replicas, profile.batch // mesh.micro, 1 if mesh.pp == 1 else mesh.pp)
    last_s = max(cost.of(share) for cost, share in zip(replicas, shares, strict=True))
    layers = _by_rank(row, parts)
    data_s, data_nbytes = _data(row, layers)
    memory = max(_memory(row, held, rank, max(shares)) for rank, held in enumerate(layers))
    _check_memory(row, memory)
    return RowEstimate(
        mesh=mesh,
        schedule=schedule,
        cut=tuple(parts),
        shares=tuple(shares),
        step_s=last_s + data_s + _optimizer_s(row, layers),
        memory_nbytes=memory,
        wire_nbytes=data_nbytes + _passed_nbytes(row, parts),
    )


def _check(profile: training.Profile, cluster: Cluster, mesh: Mesh, schedule: str) -> None:
    layers, batch = profile.layers, profile.batch
    chunks = mesh.pp * mesh.interleave
    widths = sorted({width for layer in layers for width in layer.widths})
    bad = [width for width in widths if width % mesh.tp]
    microbatches = batch // mesh.micro
    least = mesh.dp * mesh.pp
    rules = [
        ("world", mesh.ranks != cluster.world,
         f"dp {mesh.dp} x tp {mesh.tp} x pp {mesh.pp} are {mesh.ranks} ranks, and there are "
         f"{cluster.world}", "choose sizes whose product is the number of ranks"),
        ("tp", mesh.tp > 1 and not widths, f"no layer can be divided over tp {mesh.tp}",
         "use dp or pp, or give a model with pairs of linear layers"),
        ("tp", bool(bad), f"tp {mesh.tp} does not divide {bad[0] if bad else 0}, over which a "
         "layer's pair was proven to be divisible", "choose a tp that divides it"),
        ("tp", any(group.gpus_per_node % mesh.tp for group in cluster.groups),
         f"tp {mesh.tp} does not divide the ranks of a node", "choose a tp that does"),
        ("layers", chunks > len(layers),
         f"pp {mesh.pp} x interleave {mesh.interleave} are more stages than the model's "
         f"{len(layers)} layers", "choose a smaller pp, or name more layers"),
        ("batch", batch % mesh.micro != 0,
         f"micro {mesh.micro} does not divide the batch of {batch}", "choose a micro that does"),
        ("batch", microbatches < least,
         f"{microbatches} microbatches are less than dp {mesh.dp} x pp {mesh.pp}",
         "choose a larger batch, or fewer ranks"),
        ("interleave", schedule != "1f1b" and microbatches % least != 0,
         f"{schedule} needs {microbatches} microbatches to be a multiple of dp x pp {least}",
         "choose another micro, or 1f1b"),
    ]  # fmt: skip
    for dimension, is_broken, why, remedy in rules:
        if is_broken:
            raise MeshMismatch(why, dimension=dimension, remedy=remedy)


def _cut(row: _Row) -> list[int]:
    """Layers by stage, by the slowest ranks that hold it."""
    layers = row.profile.layers
    by_stage = []
    for stage in range(row.chunks):
        groups = [row.cluster.groups[i] for i in row.placed.groups_of(stage % row.mesh.pp)]
        by_stage.append([max(row.layer_s(layer, group) for group in groups) for layer in layers])
    return cut(by_stage)


def _replica(row: _Row, groups: Sequence[Group], parts: Sequence[int], schedule: str) -> Affine:
    """Seconds of microbatches: the pipeline fills, then its slowest rank sets the pace."""
    by_rank = [0.0] * row.mesh.pp
    begin = 0
    for stage, count in enumerate(parts):
        layers = row.profile.layers[begin : begin + count]
        rank = stage % row.mesh.pp
        by_rank[rank] += sum(row.layer_s(layer, groups[rank]) for layer in layers)
        by_rank[rank] += _hop_s(row, layers[-1]) if stage < row.chunks - 1 else 0.0
        begin += count
    fill_s = (sum(by_rank) - max(by_rank)) / row.mesh.interleave * _IDLE[schedule]
    return Affine(fill_s, max(by_rank))


def _hop_s(row: _Row, layer: training.Layer) -> float:
    """Seconds in which a stage hands a microbatch on and gets its gradient."""
    if row.mesh.pp == 1:
        return 0.0
    groups = sorted({group for groups, _ in row.placed.rows for group in groups})
    link = slowest(row.cluster, groups, inside=row.placed.pp_inside)
    share = ASSUMED.link if row.placed.pp_inside else ASSUMED.network
    sent = row.mesh.micro * layer.output_nbytes
    return 2 * (sent / (link.bytes_per_s * share) + link.latency_s)


def _shares(replicas: Sequence[Affine], microbatches: int, unit: int) -> list[int]:
    """Microbatches by replica, in multiples of what a pipeline takes at once where that divides."""
    if microbatches % unit:
        return allocate(replicas, microbatches, least=unit)
    costs = [Affine(cost.fixed_s, cost.each_s * unit) for cost in replicas]
    return [share * unit for share in allocate(costs, microbatches // unit, least=1)]


def _by_rank(row: _Row, parts: Sequence[int]) -> list[list[training.Layer]]:
    """The layers of each rank of a pipeline."""
    found: list[list[training.Layer]] = [[] for _ in range(row.mesh.pp)]
    begin = 0
    for stage, count in enumerate(parts):
        found[stage % row.mesh.pp] += row.profile.layers[begin : begin + count]
        begin += count
    return found


def _data(row: _Row, layers: Sequence[Sequence[training.Layer]]) -> tuple[float, float]:
    """Seconds and bytes of the gradients' sum over replicas.

    Shards are gathered twice and summed once: one and a half times the bytes of an all-reduce.
    """
    if row.mesh.dp == 1:
        return 0.0, 0.0
    times = 1.5 if row.sharded else 1.0
    share = ASSUMED.link if row.placed.dp_inside else ASSUMED.network
    worst_s = nbytes = 0.0
    for rank, held in enumerate(layers):
        gradient = sum(map(row.held, held)) * _GRADIENT_NBYTES
        link = slowest(row.cluster, row.placed.groups_of(rank), inside=row.placed.dp_inside)
        worst_s = max(worst_s, times * all_reduce_s(gradient, row.mesh.dp, link, share))
        nbytes += times * row.mesh.tp * 2 * (row.mesh.dp - 1) * gradient
    return worst_s, nbytes


def _optimizer_s(row: _Row, layers: Sequence[Sequence[training.Layer]]) -> float:
    """A pass over the memory of the slowest rank."""
    shards = row.mesh.dp if row.sharded else 1
    slow = min(
        group.memory_bytes_per_s * ASSUMED.memory * group.speed for group in row.cluster.groups
    )
    held = max(sum(map(row.held, of_rank)) for of_rank in layers)
    return held / shards * ASSUMED.optimizer_traffic_nbytes / slow


def _passed_nbytes(row: _Row, parts: Sequence[int]) -> float:
    """Bytes between stages and over tensor-parallel ranks, of all samples."""
    layers, tp = row.profile.layers, row.mesh.tp
    ends = [sum(parts[: stage + 1]) - 1 for stage in range(len(parts) - 1)]
    handed = sum(2 * layers[end].output_nbytes for end in ends) * tp
    summed = 2 * (tp - 1) * sum(layer.summed_nbytes for layer in layers if layer.split)
    return row.profile.batch * (handed + summed)


def _memory(row: _Row, held: Sequence[training.Layer], rank: int, microbatches: int) -> float:
    """Bytes of a rank: parameters, gradients, the optimizer's, and activations in flight."""
    profile, mesh = row.profile, row.mesh
    parameters = sum(map(row.held, held))
    shards = mesh.dp if row.sharded else 1
    kept = sum(layer.kept_nbytes for layer in held) * mesh.micro
    flying = in_flight(mesh, rank, microbatches)
    state = profile.element_nbytes + _GRADIENT_NBYTES + profile.optimizer_nbytes
    gathered = profile.element_nbytes * max(map(row.held, held)) if row.sharded else 0.0
    return parameters * state / shards + gathered + kept * flying


def _check_memory(row: _Row, memory: float) -> None:
    usable = min(group.memory_nbytes for group in row.cluster.groups) * ASSUMED.usable
    if memory > usable:
        raise MeshMismatch(
            f"a rank needs {memory:.4g} bytes, and {usable:.4g} may be planned for",
            dimension="memory",
            remedy="use more ranks, tp, pp or fsdp, or a smaller batch",
        )
