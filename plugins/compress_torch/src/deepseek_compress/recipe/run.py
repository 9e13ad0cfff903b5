"""Runs a recipe: its steps on a copy of the model, one file for each target, the verdict."""

from __future__ import annotations

import platform
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs

from deepseek_compress.recipe.chain import EXPORTED, Link, provided_names
from deepseek_compress.recipe.fingerprints import fingerprints, not_unseen
from deepseek_compress.recipe.finish import write_results
from deepseek_compress.recipe.forms import form_of, profile_of
from deepseek_compress.recipe.identity import model_hashes
from deepseek_compress.recipe.job import Job
from deepseek_compress.recipe.lock import locked, versions_of
from deepseek_compress.recipe.plan import outlook
from deepseek_compress.recipe.told import Which, tell_ended, told
from deepseek_compress.recipe.verdict import figures, figures_of, nearest, predicted_s, slower
from deepseek_compress.recipe.workspace import WEIGHTS, Done, Workspace, disk_errors
from deepseek_core import Artifact, compression

if TYPE_CHECKING:
    from deepseek_compress.train.evaluate import Evaluation

_THRESHOLD: Final = "threshold"
Progress = Callable[[int, int, str], None]


def run(
    job: Job, output: Path, *, resume: bool, progress: Progress
) -> compression.CompressionReport:
    """Run all of it into a new folder, or go on in one; the user's model stays as it is.

    Raises:
        ConfigError: a recipe whose steps do not fit, or a folder that is taken.
        BudgetUnmet: the steps as planned do not meet the budget; nothing was done.
        DeepSeekError: a step refused, or failed; what was done before is kept for `resume`.
    """
    workspace = Workspace(output)
    data = fingerprints(job.data.parts())
    recipe_locked = locked(
        job.recipe,
        job.chain,
        data={name: found.sha256 for name, found in data.items()},
        model=model_hashes(job.source, job.data.functions),
    )
    if not workspace.check(recipe_locked, resume=resume):
        outlook(job, progress)  # what can't be met is told before hours of training
    with workspace.begun(recipe_locked, resume=resume):
        job.set_threads()
        runner = _Runner(job, workspace, progress)
        runner.run_steps()
        with disk_errors(output):
            files = runner.run_targets()
            report = runner.report(files, not_unseen(data, job.recipe.budget.metric.name))
            write_results(output, recipe_locked, runner.plans, report, runner.extra())
            workspace.close()
    return report


class _Runner:
    """The state of one run: the model as it is now, and what was said of it."""

    def __init__(self, job: Job, workspace: Workspace, progress: Progress) -> None:
        self._job, self._workspace, self._progress = job, workspace, progress
        self._model, self._form = job.source.start, job.source.form
        self._provided: dict[str, Any] = {}  # what steps provided for later ones, by name
        self.plans: list[compression.StepPlan] = []
        self._rows: list[compression.StepRow] = []  # the report's row of each step
        self._unseen: list[str] = []  # what could not be measured, and why

    def run_steps(self) -> None:
        """Every step of the recipe, those that ended before from what they left."""
        progress = self._progress
        progress(0, len(self._job.chain.steps), "original: its size, and how good it is")
        source = self._job.source
        self._rows.append(self._first_row("original", source.model))
        if source.student is not None:
            self._rows.append(self._first_row("student", source.student))
        for number, link in enumerate(self._job.chain.steps):
            model = self._in_form(link.opened.spec.takes)
            self._take(link, self._done(number, link, model), model)

    def _first_row(self, name: str, model: Any) -> compression.StepRow:
        """A row on a model that the recipe names."""
        form = self._job.source.form
        profile = profile_of(model, form, self._job.example)
        limit = self._job.recipe.budget.nbytes
        if profile.nbytes is None and limit is not None and limit.divisor is not None:
            # A part of the original's bytes is a part of the file that it would be itself.
            profile = attrs.evolve(profile, nbytes=self._bytes_of_file(model))
        judged = self._judged(model, form)
        return compression.StepRow(
            step=name,
            profile=profile,
            accuracy=_score(judged),
            figures=_threshold(judged),
            notes=_notes(judged),
        )

    def _bytes_of_file(self, model: Any) -> int:
        if model is self._model:
            return len(self._exported().read())
        path = self._workspace.scratch("original.onnx")
        with self._workspace.whole(path) as partial:
            self._job.export(model, partial)
        return path.stat().st_size

    def _done(self, number: int, link: Link, model: Any) -> Done:
        """What a step left, whether it ended before or does so now: one way for both."""
        done = self._workspace.done(number, link.name)
        if done is None:
            which = self._which(number, link)
            with told(which), self._workspace.step(number, link.name) as folder:
                self._apply(number, link, model, folder)
            done = self._workspace.done(number, link.name)
            assert done is not None
            tell_ended(which, done.row, self._job.recipe.budget.metric.name)
        self.plans.append(done.plan)
        return done

    def _which(self, number: int, link: Link) -> Which:
        chain = self._job.chain
        steps = len(chain.steps) + len(chain.targets)
        recipe = str(self._workspace.output)
        return Which(recipe=recipe, step=link.name, number=number + 1, steps=steps)

    def _apply(self, number: int, link: Link, model: Any, folder: Path) -> None:
        context = self._job.context(folder, link, self._provided, self._progress)
        started_s = time.monotonic()
        self._job.seed(number)
        plan = link.step.plan(model, context)
        result = link.step.apply(model, plan, context)
        form = link.gives
        form_of(form).save(result.model, folder / WEIGHTS)
        judged = self._judged(result.model, form)
        row = compression.StepRow(
            step=link.name,
            profile=result.profile,
            accuracy=_score(judged),
            seconds=time.monotonic() - started_s,
            figures={**result.figures, **_threshold(judged)},
            notes=tuple(dict.fromkeys((*plan.notes, *result.notes, *_notes(judged)))),
            warnings=result.warnings,
        )
        self._workspace.keep(folder, plan, row, provided_names(link, dict(result.provided)))

    def _take(self, link: Link, done: Done, model: Any) -> None:
        shaped = link.step.reshape(model, done.plan)
        self._form = link.gives
        self._model = form_of(self._form).load(shaped, done.weights)
        self._provided.update(done.provided)
        self._rows.append(done.row)

    def _in_form(self, form: str) -> Any:
        """The model as it is now, as a step takes it."""
        return self._model if form == self._form else self._exported()

    def _exported(self) -> Artifact:
        """The model as it is now as an ONNX file; made once after each step."""
        if self._form == "onnx":
            found: Artifact = self._model
            return found
        path = self._workspace.scratch(f"after-{len(self.plans):02d}.onnx")
        if not path.exists():
            self._progress(0, 1, "exporting to ONNX")
            with self._workspace.whole(path) as partial:
                self._job.export(self._model, partial)
        return Artifact.from_path(path)

    def run_targets(self) -> list[compression.Variant]:
        """The float file, and one for each target, in the order of the recipe."""
        exported = self._exported()
        path = self._workspace.output / f"model.{EXPORTED}.onnx"
        path.write_bytes(exported.read())
        variants = [self._float(path)]
        files = {EXPORTED: exported}
        for number, link in enumerate(self._job.chain.targets, len(self._job.chain.steps)):
            variants.append(self._lowered(number, link, files[link.of or EXPORTED]))
            file = self._workspace.output / variants[-1].file
            files[link.name] = Artifact.from_path(file, format=link.gives)
        return self._timed(variants, {name: made.format for name, made in files.items()})

    def _lowered(self, number: int, link: Link, model: Artifact) -> compression.Variant:
        done = self._done(number, link, model)
        form = form_of(link.gives)
        path = self._workspace.output / f"model.{link.name}.{form.suffix}"
        shutil.copyfile(done.weights, path)
        for beside in done.provided.values():
            if isinstance(beside, Path):
                shutil.copyfile(beside, path.with_name(f"model.{link.name}.{beside.name}"))
        if form.unseen:
            metric = self._job.recipe.budget.metric.name
            self._unseen.append(f"{metric} and latency of {path.name}: {form.unseen}")
        row = done.row
        return compression.Variant(
            name=link.name,
            file=path.name,
            target=link.name,
            nbytes=path.stat().st_size,
            accuracy=row.accuracy,
            int8_coverage=row.figures.get("int8_coverage"),
            threshold=row.figures.get(_THRESHOLD),
            notes=row.notes,
            warnings=row.warnings,
            shipped=True,
        )

    def _float(self, path: Path) -> compression.Variant:
        judged = self._judged(Artifact.from_path(path), "onnx")
        return compression.Variant(
            name=EXPORTED,
            file=path.name,
            target="any runtime",
            nbytes=path.stat().st_size,
            accuracy=_score(judged),
            threshold=_threshold(judged).get(_THRESHOLD),
            shipped=not self._job.chain.targets,
            notes=_notes(judged),
        )

    def _timed(
        self, variants: Sequence[compression.Variant], forms: Mapping[str, str]
    ) -> list[compression.Variant]:
        """The variants with what they take on the device of the budget, those that are measured."""
        budget = self._job.recipe.budget.latency
        if budget is None:
            return list(variants)
        from deepseek_compress.measure.latency import measure_latency

        inputs = self._job.example(budget.batch)
        files = {
            v.name: self._workspace.output / v.file
            for v in variants
            if not form_of(forms[v.name]).unseen
        }
        found = measure_latency(files, budget, inputs, self._progress)
        shipped = next(v for v in variants if v.shipped)
        timed = [
            attrs.evolve(
                v,
                predicted_s=predicted_s(self.plans) if v is shipped else None,
                device=found[v.name].device,
                latency_s=found[v.name].quantiles_s[budget.quantile],
                evidence=found[v.name].evidence,
            )
            if v.name in found
            else v
            for v in variants
        ]
        floats = next(v for v in timed if v.name == EXPORTED)
        return [attrs.evolve(v, warnings=(*v.warnings, *slower(v, floats))) for v in timed]

    def report(
        self, variants: Sequence[compression.Variant], known: Sequence[str] = ()
    ) -> compression.CompressionReport:
        """What was wanted beside what came out; the first shipped file is held to the budget.

        `known` says which test samples are not unseen.
        """
        shipped = next(v for v in variants if v.shipped)
        first, last = self._rows[0], self._rows[-1]
        original = figures(first.profile, first.accuracy)
        judged = {
            v.file: self._job.recipe.budget.rows(original, figures_of(v, last.profile))
            for v in variants
        }
        verdict = judged.pop(shipped.file)
        return compression.CompressionReport(
            model=self._job.source.name,
            metric=self._job.recipe.budget.metric,
            verdict=tuple(self._with_interval(row, shipped) for row in verdict),
            steps=tuple(self._rows),
            variants=tuple(variants),
            layers=tuple(_layers(self.plans)),
            closest=nearest(verdict, shipped, judged, self._job.recipe.budget.metric),
            not_measured=(*self._job.not_measured(), *known, *self._unseen),
            machine={
                "processor": platform.processor() or platform.machine(),
                "threads": self._job.recipe.run.threads,
            },
            versions=versions_of(self._job.chain),
        )

    def _with_interval(
        self, row: compression.BudgetRow, shipped: compression.Variant
    ) -> compression.BudgetRow:
        """The line on the drop, with the interval of a comparison sample by sample."""
        if row.name != "accuracy_drop" or row.got is None:
            return row
        found = self._job.drop(Artifact.from_path(self._workspace.output / shipped.file))
        return row if found is None else attrs.evolve(row, low=found.low, high=found.high)

    def extra(self) -> Mapping[str, Path]:
        """Files that steps provided, by the name under which the run leaves them."""
        return {p.name: p for p in self._provided.values() if isinstance(p, Path)}

    def _judged(self, model: Any, form: str) -> Evaluation | None:
        return None if form_of(form).unseen else self._job.evaluate(model, form)


def _score(judged: Evaluation | None) -> compression.Interval | None:
    return None if judged is None else judged.score


def _threshold(judged: Evaluation | None) -> dict[str, float]:
    found = None if judged is None else judged.threshold
    return {} if found is None else {_THRESHOLD: found}


def _notes(judged: Evaluation | None) -> tuple[str, ...]:
    return () if judged is None else judged.notes


def _layers(plans: Sequence[compression.StepPlan]) -> list[Mapping[str, Any]]:
    """The rows on layers of the last plan that has some."""
    for plan in reversed(plans):
        if "layers" in plan.choices:
            return list(plan.choices["layers"])
    return []
