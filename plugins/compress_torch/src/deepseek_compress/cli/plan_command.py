"""`ds-sdk compress plan`: what each step of a recipe would do."""

from __future__ import annotations

import argparse
from typing import Final

from deepseek_compress.cli.common import add_json, add_recipe
from deepseek_compress.report.rows import VERDICT_HEADER, verdict_rows
from deepseek_core import console

EXAMPLES: Final = """examples:
  ds-sdk compress plan recipe.toml
  ds-sdk compress plan recipe.toml --json      with the channels that would go

Nothing is trained and no file is written. Lines of the budget that only a run can tell are
"not measured": bytes and accuracy are those of its file. Limits that the steps do not meet are an
error, with the figures that they have."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_recipe(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print the plans."""
    from deepseek_compress.recipe.job import Job
    from deepseek_compress.recipe.plan import outlook

    with (
        Job.read(args.recipe) as job,
        console.ProgressReporter("plan", quiet=args.json) as progress,
    ):
        found = outlook(job, progress)
    if args.json:
        facts = {
            "plans": [plan.to_json() for plan in found.plans],
            "unplanned": list(found.unplanned),
            "budget": [row.to_json() for row in found.verdict],
            "notes": list(found.notes),
        }
        console.print_json(facts, indent=2)
        return 0
    rows = [
        (plan.step, f"{plan.before.parameters:,}", f"{plan.after.parameters:,}",
         _macs(plan.before.macs), _macs(plan.after.macs), "; ".join(plan.notes))
        for plan in found.plans
    ]  # fmt: skip
    console.print_table(("STEP", "PARAMETERS", "AFTER", "MACS", "AFTER", "NOTES"), rows)
    for line in found.unplanned:
        console.print_text(f"not planned: {line}")
    if found.verdict:
        console.print_lines()
        metric = job.recipe.budget.metric
        console.print_table(VERDICT_HEADER, list(verdict_rows(found.verdict, metric)))
    for line in found.notes:
        console.print_text(line)
    return 0


def _macs(macs: int | None) -> str:
    return "-" if macs is None else f"{macs / 1e6:,.2f} M"
