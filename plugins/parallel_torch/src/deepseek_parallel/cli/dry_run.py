"""What `ds-sdk train run --dry-run` says: what would be done, without a step."""

from __future__ import annotations

from typing import Any

from deepseek_core import console


def print_plan(recipe: Any, ranks: int, *, as_json: bool) -> int:
    """Print it; everything that the recipe names is made and checked."""
    from deepseek_parallel.trainer.planned import planned
    from deepseek_parallel.trainer.recipe.build import build

    job = build(recipe)
    facts = planned(job.trainer, ranks, **job.length)
    if as_json:
        console.print_json(facts, indent=1)
    else:
        console.print_table(("WHAT", "VALUE"), [(k, str(v)) for k, v in facts.items()])
        console.print_text("nothing was trained")
    return 0
