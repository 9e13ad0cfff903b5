"""What a budget makes of a run: lines that hold or fail, the tightest, and what comes nearest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import ceil, floor

from deepseek_compress.errors import BudgetUnmet
from deepseek_compress.report.rows import figure, own_name
from deepseek_core import compression, console

_SAME_SPEED = 1.05
_SMALLER = 'add [[step]] use = "prune", which meets it or says why it can\'t'


def figures(
    profile: compression.ModelProfile, accuracy: compression.Interval | None
) -> dict[str, float]:
    """What is known of a model, as `Budget.rows` takes it."""
    known = {**profile.to_json(), "accuracy": accuracy.value if accuracy else None}
    return {name: float(value) for name, value in known.items() if value is not None}


def figures_of(variant: compression.Variant, profile: compression.ModelProfile) -> dict[str, float]:
    """What is known of a file of a model of that size."""
    found = figures(profile, variant.accuracy) | {"nbytes": float(variant.nbytes)}
    return found | ({} if variant.latency_s is None else {"latency_s": variant.latency_s})


def predicted_s(plans: Sequence[compression.StepPlan]) -> float | None:
    """What the last plan that follows a latency budget says of the file that ships."""
    told = [plan.choices.get("latency_s") for plan in plans]
    return next((seconds for seconds in reversed(told) if seconds is not None), None)


def excess(row: compression.BudgetRow, metric: compression.Metric) -> float:
    """By how much a line fails, as a share of what it allows; 0 where it holds or is not known.

    A share counts by its errors: 90 % where 95 % is wanted has twice those that are allowed.
    """
    if row.outcome != "fails" or row.got is None or row.bound is None:
        return 0.0
    got, bound = row.got, row.bound
    if row.name == "accuracy":
        got, bound = (1 - got, 1 - bound) if metric.is_share else (-got, -bound)
    return (got - bound) / max(abs(bound), 1e-9)


def tightest(
    rows: Iterable[compression.BudgetRow], metric: compression.Metric
) -> compression.BudgetRow | None:
    """The line that fails by most of what it allows; None if none fails."""
    failing = [row for row in rows if row.outcome == "fails"]
    return max(failing, key=lambda row: excess(row, metric), default=None)


def refuse_unmet(
    rows: Sequence[compression.BudgetRow], metric: compression.Metric, *, shrinks: bool
) -> None:
    """Refuse a budget that the planned steps can't meet; `shrinks`: they make the model smaller.

    Raises:
        BudgetUnmet: names the tightest line, and the figures that the plan has.
    """
    row = tightest(rows, metric)
    if row is None or row.got is None:
        return
    closest = {each.name: each.got for each in rows if each.got is not None}
    wanted = row.wanted
    if wanted.startswith("/"):
        wanted = f"{wanted}: {said(row.name, row.bound, metric)}"
    ask = f"ask for {asked(row.name, row.got, metric)}"
    raise BudgetUnmet(
        f"the budget can't be met: {row.name} ({wanted}); the steps leave "
        f"{', '.join(f'{name} {said(name, got, metric)}' for name, got in closest.items())}",
        constraint=row.name,
        closest=closest,
        remedy=ask if shrinks else f"{_SMALLER}; or {ask}",
    )


def nearest(
    verdict: Sequence[compression.BudgetRow],
    shipped: compression.Variant,
    others: Mapping[str, Sequence[compression.BudgetRow]],
    metric: compression.Metric,
) -> tuple[str, ...]:
    """Sentences on a verdict that fails: the tightest line, and which file comes nearest.

    `others` are verdicts on the other files of the run, by their names; accuracy is called by the
    name of its `metric`.
    """
    row = tightest(verdict, metric)
    if row is None or row.got is None:
        return ()
    found = (
        f"the tightest line is {own_name(row.name, metric)}: {said(row.name, row.got, metric)} "
        f"where {said(row.name, row.bound, metric)} is allowed; "
        f"{asked(row.name, row.got, metric)} would hold",
    )
    unknown = {each.name for each in verdict if each.outcome == "not measured"}
    worst = {
        name: max((excess(row, metric) for row in rows), default=0.0)
        for name, rows in others.items()
        if {each.name for each in rows if each.outcome == "not measured"} <= unknown
    }
    best = min(worst, key=lambda name: worst[name], default=None)
    if best is None or worst[best] >= excess(row, metric):
        return (*found, f"no other file of the run comes nearer than {shipped.file}")
    fails = tightest(others[best], metric)
    if fails is None:
        return (*found, f"{best} holds")
    name = own_name(fails.name, metric)
    return (*found, f"{best} fails by less: {name} {said(fails.name, fails.got, metric)}")


def slower(variant: compression.Variant, floats: compression.Variant) -> tuple[str, ...]:
    """A sentence on an int8 file that takes longer than the float file on the same device.

    Within `_SAME_SPEED` the two are as fast as two runs of one file.
    """
    mine, other = variant.latency_s, floats.latency_s
    if variant.int8_coverage is None or mine is None or other is None:
        return ()
    if variant.device != floats.device or mine <= _SAME_SPEED * other:
        return ()
    took, instead = console.format_seconds(mine), console.format_seconds(other)
    return (
        f"int8 is slower than float here: {took} against {instead}; "
        f"ship {floats.file}, unless size counts more",
    )


def said(name: str, value: float | None, metric: compression.Metric) -> str:
    """A figure as people read it."""
    return "-" if value is None else figure(name, value, metric)


def asked(name: str, value: float, metric: compression.Metric) -> str:
    """The line of a recipe that this figure would meet."""
    if name == "latency_s":
        return f"a latency of {value * 1e3:.3g} ms"
    if name == "accuracy":
        return f"{metric.name} = {floor(value * 1e4) / 1e4}"
    if name == "accuracy_drop":
        return f"{metric.name}_drop = {ceil(value * 100) / 100:g}"
    return f"{name} = {ceil(value)}"
