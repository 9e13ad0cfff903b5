"""What `ds-sdk train run --dry-run` says: what would be done, without a step."""

from __future__ import annotations

from typing import Any

from deepseek_core import console


def print_plan(recipe: Any, ranks: int, *, link: str | None, as_json: bool) -> int:
    """Print it; everything that the recipe names is made and checked.

    Raises:
        ConfigError: something in the recipe that can't be, or a `link` that is none.
    """
    from deepseek_parallel.cli.links import read_link
    from deepseek_parallel.trainer.planned import planned
    from deepseek_parallel.trainer.recipe.build import build

    job = build(recipe)
    given = None if link is None else read_link(link)
    facts = planned(job.trainer, ranks, link=given, **job.length)
    if as_json:
        console.print_json(facts, indent=1)
    else:
        console.print_table(("WHAT", "VALUE"), [(k, str(v)) for k, v in facts.items()])
        console.print_text("nothing was trained")
    return 0
