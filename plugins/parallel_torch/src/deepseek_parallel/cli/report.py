"""Plans as tables and as JSON."""

from __future__ import annotations

from itertools import groupby
from typing import Any, Final

import attrs

from deepseek_core import console
from deepseek_parallel.planning.estimate import EVIDENCE, Estimate, Problem
from deepseek_parallel.planning.mesh import Mesh
from deepseek_parallel.planning.search import Plans
from deepseek_parallel.planning.training import Assumed

_HEADER: Final = ("STEP", "DP", "TP", "PP", "MICRO", "INTERLEAVE", "MEMORY", "ON THE WIRE", "RANKS")
_MEMORY: Final = ("weights", "gradients", "optimizer", "activations", "working")


def print_plans(problem: Problem, plans: Plans, top: int) -> None:
    """The fastest meshes, where the time of the first one goes, and what was refused."""
    console.print_text(f"evidence: {EVIDENCE}; nothing was measured. {_assumed(problem.assumed)}")
    console.print_lines()
    if plans.fitting:
        console.print_table(_HEADER, [_row(one) for one in plans.fitting[:top]])
        console.print_lines()
        _print_first(plans.fitting[0])
    counts = ", ".join(f"{name} {count}" for name, count in plans.counts.items())
    console.print_text(f"{len(plans.fitting)} meshes fit; refused: {counts or 'none'}")
    nearest = plans.nearest
    if nearest is not None:
        lacking = console.format_bytes(nearest.lacking_nbytes)
        console.print_text(
            f"nearest without enough memory: {_named(nearest.mesh)}, {lacking} a GPU are missing"
        )
        if not plans.fitting:
            console.print_text(f"no mesh fits: {nearest.remedy}")


def facts(problem: Problem, plans: Plans, top: int) -> dict[str, Any]:
    """All that the tables say, in seconds and bytes, and one refusal of each kind."""
    first = {one.dimension: one for one in reversed(plans.refused)}
    if plans.nearest is not None:
        first["memory"] = plans.nearest
    return {
        "schema": 1,
        "evidence": EVIDENCE,
        "assumed": attrs.asdict(problem.assumed),
        "model": attrs.asdict(problem.model) | {"parameters": problem.model.parameters},
        "gpus": problem.cluster.world,
        "training": attrs.asdict(problem.training),
        "num_fitting": len(plans.fitting),
        "meshes": [_fact(one) for one in plans.fitting[:top]],
        "num_refused": plans.counts,
        "refused": [attrs.asdict(first[name]) for name in sorted(first)],
    }


def _fact(one: Estimate) -> dict[str, Any]:
    return {
        "evidence": EVIDENCE,
        "mesh": attrs.asdict(one.mesh),
        "order": one.order,
        "step_s": one.seconds.total,
        "seconds": attrs.asdict(one.seconds),
        "memory_nbytes": attrs.asdict(one.memory) | {"total": one.memory.total},
        "wire_nbytes": attrs.asdict(one.wire) | {"total": one.wire.total},
        "layers_by_stage": list(one.cut),
        "microbatches_by_replica": list(one.shares),
        "stage_imbalance": one.stage_imbalance,
        "share_imbalance": one.share_imbalance,
    }


def _assumed(assumed: Assumed) -> str:
    return (
        f"Assumed: {assumed.matmul:.0%} of the peak for wide products and half of that at "
        f"{assumed.half_width:g} columns, {assumed.memory:.0%} of the memory's rate, "
        f"{assumed.link:.0%} of a node's links, {assumed.network:.0%} of the network, "
        f"{assumed.usable:.0%} of the memory to be planned for"
    )


def _row(one: Estimate) -> tuple[str, ...]:
    mesh = one.mesh
    sizes = (mesh.dp, mesh.tp, mesh.pp, mesh.micro, mesh.interleave)
    return (
        f"{one.seconds.total:.3f} s",
        *map(str, sizes),
        console.format_bytes(one.memory.total),
        console.format_bytes(one.wire.total),
        one.order,
    )


def _print_first(one: Estimate) -> None:
    seconds = one.seconds
    parts = (
        (seconds.compute, "computation, what is recomputed among it"),
        (seconds.tensor, "sums over tensor-parallel ranks"),
        (seconds.pipeline, "activations handed from stage to stage"),
        (seconds.bubble, "the pipeline fills and drains"),
        (seconds.data, "gradients exchanged between replicas"),
        (seconds.optimizer, "the optimizer's pass over memory"),
    )
    console.print_table(
        ("SECONDS", "STEP", "OF WHAT (THE FIRST MESH)"),
        [(f"{part_s:.3f}", f"{part_s / seconds.total:.1%}", what) for part_s, what in parts],
    )
    console.print_lines()
    console.print_table(
        ("MEMORY", f"OF A GPU OF STAGE {one.memory.stage}"),
        [(console.format_bytes(getattr(one.memory, name)), name) for name in _MEMORY],
    )
    console.print_lines()
    console.print_text(
        f"layers by stage: {_runs(one.cut)}; imbalance {one.stage_imbalance:.1%}. "
        f"Microbatches by replica: {_runs(one.shares)}; imbalance {one.share_imbalance:.1%}. No "
        "other division into whole microbatches, or whole layers where nothing is interleaved, "
        "ends sooner"
    )


def _runs(numbers: tuple[int, ...]) -> str:
    """Equal neighbors once: `4 x 16, 2 x 8` is 16 four times, then 8 twice."""
    runs = [(len(list(equal)), number) for number, equal in groupby(numbers)]
    return ", ".join(f"{count} x {number}" for count, number in runs)


def _named(mesh: Mesh) -> str:
    return f"dp {mesh.dp} x tp {mesh.tp} x pp {mesh.pp}, micro {mesh.micro}"
