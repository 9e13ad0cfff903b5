"""The fastest plan of a strategy: all of its meshes, microbatches and schedules are tried."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import attrs

from deepseek_core import Mesh, training
from deepseek_parallel.errors import MeshMismatch
from deepseek_parallel.planning import checks
from deepseek_parallel.planning import mesh as planned
from deepseek_parallel.planning.row import SCHEDULES, RowEstimate, estimate_row
from deepseek_parallel.planning.search import Wanted, divisors

_MOST_MICROS: Final = 12
"""Microbatch sizes that are tried: the largest divisors of a replica's part of the batch."""


@attrs.frozen(kw_only=True)
class Wish:
    """What a user wants of a plan: sizes of the mesh, and a schedule; None leaves it open.

    Raises:
        InputError: an unknown schedule, or a size that is not a whole number of 1 or more.
    """

    sizes: Wanted = attrs.field(factory=Wanted)
    schedule: str | None = None

    def __attrs_post_init__(self) -> None:
        for name, size in attrs.asdict(self.sizes).items():
            if size is not None:
                checks.counted(size, name)
        if self.schedule is not None:
            checks.one_of(self.schedule, SCHEDULES, "schedule")


def fastest(
    strategy: str,
    axes: Sequence[str],
    profile: training.Profile,
    cluster: training.Cluster,
    *,
    sharded: bool = False,
    wish: Wish | None = None,
) -> training.TrainingPlan:
    """The fastest plan on meshes of these axes, which are 1 elsewhere.

    Raises:
        MeshMismatch: none fits; says why the last one that was tried does not.
    """
    best: RowEstimate | None = None
    refusal: MeshMismatch | None = None
    for mesh, schedule in _meshes(axes, profile, cluster.world, wish or Wish()):
        try:
            found = estimate_row(profile, cluster, mesh, schedule=schedule, sharded=sharded)
        except MeshMismatch as mismatch:
            refusal = _nearer(refusal, mismatch)
            continue
        if best is None or (found.step_s, found.memory_nbytes) < (best.step_s, best.memory_nbytes):
            best = found
    if best is not None:
        return _plan(strategy, axes, profile, best)
    raise refusal or MeshMismatch(
        f"no mesh of {cluster.world} ranks and a batch of {profile.batch} has what is wanted",
        dimension="world",
        remedy="give sizes whose product is the number of ranks, or leave one out",
    )


def _nearer(one: MeshMismatch | None, other: MeshMismatch) -> MeshMismatch:
    """The refusal to tell: memory lacks only where all else fits."""
    return one if one is not None and other.dimension != "memory" else other


def _meshes(
    axes: Sequence[str], profile: training.Profile, world: int, wish: Wish
) -> Iterator[tuple[planned.Mesh, str]]:
    for dp, tp, pp in _sizes(axes, world, wish.sizes):
        micros = divisors(max(1, profile.batch // (dp * pp)))[-_MOST_MICROS:]
        for micro in [wish.sizes.micro] if wish.sizes.micro else micros:
            for schedule in SCHEDULES if pp > 1 else SCHEDULES[:1]:
                if pp > 1 and wish.schedule not in (None, schedule):
                    continue
                interleave = _interleave(schedule, pp, len(profile.layers), wish.sizes)
                mesh = planned.Mesh(dp=dp, tp=tp, pp=pp, micro=micro, interleave=interleave)
                yield mesh, schedule


def _interleave(schedule: str, pp: int, num_layers: int, wanted: Wanted) -> int:
    """Chunks of layers on a rank: of two, a pipeline is idle half as long."""
    if schedule == SCHEDULES[0]:
        return 1
    return wanted.interleave or (2 if 2 * pp <= num_layers else 1)


def _sizes(axes: Sequence[str], world: int, wanted: Wanted) -> Iterator[tuple[int, int, int]]:
    """What is wanted whole, whatever it makes: it is refused by its dimension."""
    if wanted.dp and wanted.tp and wanted.pp:
        yield wanted.dp, wanted.tp, wanted.pp
        return
    for tp in divisors(world):
        for pp in divisors(world // tp):
            sizes = {"dp": world // tp // pp, "tp": tp, "pp": pp}
            if all(size == 1 or axis in axes for axis, size in sizes.items()) and all(
                map(wanted.takes, sizes, sizes.values())
            ):
                yield sizes["dp"], tp, pp


def _plan(
    strategy: str, axes: Sequence[str], profile: training.Profile, found: RowEstimate
) -> training.TrainingPlan:
    mesh = found.mesh
    options: dict[str, object] = {"layers": [layer.name for layer in profile.layers]}
    if mesh.tp > 1:
        options["split"] = {k: how for layer in profile.layers for k, how in layer.split.items()}
    if mesh.pp > 1:
        options["schedule"] = found.schedule
    sizes = {axis: getattr(mesh, axis) for axis in ("pp", "dp", "tp") if axis in axes}
    return training.TrainingPlan(
        strategy=strategy,
        mesh=Mesh(sizes=sizes),
        cut=found.cut,
        shares=found.shares,
        micro=mesh.micro,
        step_s=found.step_s,
        memory_nbytes=found.memory_nbytes,
        wire_nbytes=found.wire_nbytes,
        options=options,
    )
