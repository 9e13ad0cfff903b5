"""Plans a recipe without training: what each step would do, and its cost."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs

from deepseek_compress.recipe.chain import EXPORTED, Chain, Link
from deepseek_compress.recipe.forms import profile_of
from deepseek_compress.recipe.job import Job
from deepseek_compress.recipe.verdict import figures, predicted_s, refuse_unmet
from deepseek_compress.report.rows import row_name
from deepseek_core import compression, errors


@attrs.frozen(kw_only=True)
class Outlook:
    """What a run would do: the steps' plans, and why the others could not be planned.

    `notes` say what the plan rests on, and which lines of the budget only a run can tell.
    """

    plans: tuple[compression.StepPlan, ...]
    unplanned: tuple[str, ...]
    verdict: tuple[compression.BudgetRow, ...]
    notes: tuple[str, ...] = ()


def outlook(job: Job, progress: Callable[[int, int, str], None]) -> Outlook:
    """Plan every step on the structure that the steps before it would leave.

    Steps of files that only a run makes (after the export) are named and not planned.

    Raises:
        BudgetUnmet: a limit that the planned steps do not meet.
        DeepSeekError: a step refuses the model.
    """
    job.set_threads()
    job.check_outputs()
    plans: list[compression.StepPlan] = []
    unplanned: list[str] = []
    model: Any = job.source.start
    with tempfile.TemporaryDirectory(prefix="ds-compress-") as folder:
        for number, link in enumerate((*job.chain.steps, *job.chain.targets)):
            why = _unmade(link, job.source.form, unplanned)
            if not why:
                context = job.context(Path(folder), link, {}, progress)
                job.seed(number)
                try:
                    plan = link.step.plan(model, context)
                except Exception:
                    why = _waits(link, job.chain)
                    if not why:
                        raise
            if why:
                unplanned.append(f"{link.where} {link.name}: {why}")
                continue
            plans.append(plan)
            if link.where.startswith("step"):
                model = _shaped(link.step, model, plan)
    verdict = _verdict(job, plans)
    if not _steps_of(unplanned):
        shrinks = any(plan.after.parameters < plan.before.parameters for plan in plans)
        refuse_unmet(verdict, job.recipe.budget.metric, shrinks=shrinks)
    return Outlook(
        plans=tuple(plans),
        unplanned=tuple(unplanned),
        verdict=verdict,
        notes=tuple(_notes(job, plans, verdict)),
    )


def _notes(
    job: Job, plans: Sequence[compression.StepPlan], verdict: Sequence[compression.BudgetRow]
) -> Iterator[str]:
    metric = job.recipe.budget.metric
    later = [row_name(row, metric) for row in verdict if row.outcome == "not measured"]
    if later:
        yield f"judged when the run has ended, on the file of the first target: {', '.join(later)}"
    if predicted_s(plans) is not None and job.chain.targets and not job.ships_int8:
        yield (
            f"latency is predicted of float layers: those of {job.chain.targets[0].name} in int8 "
            "are not measured alone"
        )


def _unmade(link: Link, form: str, unplanned: Sequence[str]) -> str:
    """Why a step can't be planned: only a run makes what it works on; empty if it can."""
    if link.of not in ("", EXPORTED):
        return f"it works on the file of {link.of}"
    if link.opened.spec.takes != form:
        return "it works on the exported file"
    return "a step before it is not planned" if _steps_of(unplanned) else ""


def _waits(link: Link, chain: Chain) -> str:
    """What an earlier step gives that a step may have missed in its plan; empty if nothing."""
    given = {name for other in chain.steps for name in other.opened.spec.provides}
    missed = [name for name in link.opened.spec.needs if name in given]
    return f"it needs {', '.join(missed)}, which only a run makes" if missed else ""


def _steps_of(unplanned: Sequence[str]) -> list[str]:
    """Steps that change the model; a target changes a file of its own."""
    return [line for line in unplanned if line.startswith("step")]


def _shaped(step: compression.ModelCompressor, model: Any, plan: compression.StepPlan) -> Any:
    try:
        return step.reshape(model, plan)
    except NotImplementedError as error:
        raise errors.PluginError(f"step {plan.step} can't make its structure: {error}") from error


def _verdict(job: Job, plans: list[compression.StepPlan]) -> tuple[compression.BudgetRow, ...]:
    """The lines of the budget that a plan can tell; without one, of the model as it is."""
    source, budget = job.source, job.recipe.budget
    if budget == attrs.evolve(compression.Budget(), metric=budget.metric):
        return ()  # no line
    before = plans[0].before if plans else profile_of(source.start, source.form, job.example)
    left = plans[-1].after if plans else attrs.evolve(before, nbytes=None)
    if source.student is not None:
        before = profile_of(source.model, source.form, job.example)
    planned = figures(left, None)
    seconds = predicted_s(plans)
    if seconds is not None:
        planned["latency_s"] = seconds
    return budget.rows(figures(before, None), planned)
