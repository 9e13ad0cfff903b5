"""The fastest plan of a strategy: all of its meshes, microbatches and schedules are tried."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from deepseek_core import Mesh, training
from deepseek_parallel.errors import MeshMismatch
from deepseek_parallel.planning import mesh as planned
from deepseek_parallel.planning.row import SCHEDULES, RowEstimate, estimate_row
from deepseek_parallel.planning.search import divisors

_MOST_MICROS: Final = 12
"""Microbatch sizes that are tried: the largest divisors of a replica's part of the batch."""


def fastest(
    strategy: str,
    axes: Sequence[str],
    profile: training.Profile,
    cluster: training.Cluster,
    *,
    sharded: bool = False,
) -> training.TrainingPlan:
    """The fastest plan on meshes of these axes, which are 1 elsewhere.

    Raises:
        MeshMismatch: none fits; says why the last one that was tried does not.
    """
    best: RowEstimate | None = None
    refusal: MeshMismatch | None = None
    for mesh, schedule in _meshes(axes, profile, cluster.world):
        try:
            found = estimate_row(profile, cluster, mesh, schedule=schedule, sharded=sharded)
        except MeshMismatch as mismatch:
            refusal = _nearer(refusal, mismatch)
            continue
        if best is None or (found.step_s, found.memory_nbytes) < (best.step_s, best.memory_nbytes):
            best = found
    if best is None:
        assert refusal is not None, "each axis alone may have all ranks"
        raise refusal
    return _plan(strategy, axes, profile, best)


def _nearer(one: MeshMismatch | None, other: MeshMismatch) -> MeshMismatch:
    """Of two refusals the one to tell: memory lacks only where all else fits."""
    return one if one is not None and other.dimension != "memory" else other


def _meshes(
    axes: Sequence[str], profile: training.Profile, world: int
) -> Iterator[tuple[planned.Mesh, str]]:
    for dp, tp, pp in _sizes(axes, world):
        micros = divisors(max(1, profile.batch // (dp * pp)))[-_MOST_MICROS:]
        for micro in micros:
            yield planned.Mesh(dp=dp, tp=tp, pp=pp, micro=micro), SCHEDULES[0]
            for schedule in SCHEDULES[1:] if pp > 1 else ():
                interleave = 2 if 2 * pp <= len(profile.layers) else 1
                mesh = planned.Mesh(dp=dp, tp=tp, pp=pp, micro=micro, interleave=interleave)
                yield mesh, schedule


def _sizes(axes: Sequence[str], world: int) -> Iterator[tuple[int, int, int]]:
    if len(axes) == 1:
        (axis,) = axes
        yield (
            world if axis == "dp" else 1,
            world if axis == "tp" else 1,
            world if axis == "pp" else 1,
        )
        return
    for tp in divisors(world):
        for pp in divisors(world // tp):
            yield world // tp // pp, tp, pp


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
