"""What strategies would make of a model, as a table and as JSON."""

from __future__ import annotations

from typing import Any, Final

from deepseek_core import console, training

_HEADER: Final = ("STRATEGY", "STEP", "MESH", "MICRO", "MEMORY", "ON THE WIRE")


def print_ranking(ranking: training.Ranking) -> None:
    """The fastest plan of each strategy, and why others have none."""
    console.print_lines()
    console.print_table(_HEADER, [_row(plan) for plan in ranking.plans])
    for name, why in ranking.refusals.items():
        console.print_text(f"{name}: {why}")


def ranking_facts(ranking: training.Ranking) -> dict[str, Any]:
    """All that the table says, in seconds and bytes."""
    return {
        "strategies": [
            {
                "evidence": plan.evidence,
                "strategy": plan.strategy,
                "mesh": dict(plan.mesh.sizes),
                "micro": plan.micro,
                "step_s": plan.step_s,
                "memory_nbytes": plan.memory_nbytes,
                "wire_nbytes": plan.wire_nbytes,
                "layers_by_stage": list(plan.cut),
                "microbatches_by_replica": list(plan.shares),
            }
            for plan in ranking.plans
        ],
        "strategies_refused": dict(ranking.refusals),
    }


def _row(plan: training.TrainingPlan) -> tuple[str, ...]:
    return (
        plan.strategy,
        f"{plan.step_s:.3f} s",
        " x ".join(f"{axis} {size}" for axis, size in plan.mesh.sizes.items()),
        str(plan.micro),
        console.format_bytes(plan.memory_nbytes),
        console.format_bytes(plan.wire_nbytes),
    )
