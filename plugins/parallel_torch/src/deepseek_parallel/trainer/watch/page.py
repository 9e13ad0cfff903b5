"""The report of a training as one page that needs nothing else."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Final

from deepseek_core import console
from deepseek_parallel.trainer.report import Report

_MOST_POINTS: Final = 400
_STEPS: Final = console.Axis(title="step", shown="{:.0f}".format)


def write_page(path: Path, report: Report, facts: Sequence[tuple[str, object]]) -> None:
    """Write the page whole or not at all; `facts` are what was trained, and how.

    Raises:
        WriteError: no space, or no permission.
    """
    console.write_html(path, "Training report", "".join(_parts(report, facts)))


def _parts(report: Report, facts: Sequence[tuple[str, object]]) -> Iterator[str]:
    yield f"<p>{escape(_sentence(report))}</p>"
    yield _tiles(report)
    yield "<h2>Loss of each step</h2>"
    yield _chart(report, "loss")
    for name in report.evaluations[0][1] if report.evaluations else ():
        yield f"<h2>Evaluated: {escape(name)}</h2>"
        points = [(float(step), found[name]) for step, found in report.evaluations]
        yield _line(points, f"Evaluated {name} over the steps", name)
    if report.evaluations:
        yield "<h2>Evaluations</h2>"
        names = list(report.evaluations[0][1])
        rows = [
            (step, *(f"{found[name]:.5g}" for name in names)) for step, found in report.evaluations
        ]
        yield console.table(("step", *names), rows, name="Evaluations")
    yield "<h2>Changes of the membership</h2>"
    yield _recoveries(report)
    yield "<h2>What was trained</h2>"
    yield console.table(("what", "value"), [*facts, *_more(report)], name="What was trained")


def _sentence(report: Report) -> str:
    ranks = f"{report.ranks} ranks" if report.ranks > 1 else "one rank"
    resumed = f", resumed at step {report.resumed}" if report.resumed is not None else ""
    return (
        f"{report.steps} steps, {report.samples:,} samples, {report.epochs:.3g} epochs on "
        f"{ranks}{resumed}. It ended by: {report.stopped}."
    )


def _tiles(report: Report) -> str:
    figures = [
        (f"{report.loss:.4g}", "loss of the last step"),
        (f"{report.samples_per_s:,.0f}", "samples a second"),
        (console.format_seconds(report.seconds), "in all"),
        (f"{report.imbalance:.1%}", "imbalance (slowest / mean - 1)"),
        (console.format_bytes(report.wire_nbytes), "gradients on the wire, by count"),
        (f"{report.saved:.1%}", "of the bytes of an all-reduce saved"),
        (console.format_seconds(report.stalls_s), "kept waiting by saves and evaluations"),
        (str(len(report.recoveries)), "changes of the membership"),
    ]
    inside = "".join(f"<div><b>{escape(a)}</b><span>{escape(b)}</span></div>" for a, b in figures)
    return f'<div class="figures">{inside}</div>'


def _chart(report: Report, name: str) -> str:
    first = report.steps - len(report.losses) + 1
    return _line(
        [(float(first + n), value) for n, value in enumerate(report.losses)],
        "Loss over the steps of this run",
        name,
    )


def _line(points: Sequence[tuple[float, float]], title: str, name: str) -> str:
    """At most 400 points, each the mean of its neighbors."""
    fine = [(x, y) for x, y in points if math.isfinite(y)]
    every = -(-len(fine) // _MOST_POINTS) or 1
    means = [
        (part[-1][0], sum(y for _, y in part) / len(part))
        for part in (fine[n : n + every] for n in range(0, len(fine), every))
    ]
    drawn = console.line_chart(means, name=title, x=_STEPS, y=console.Axis(title=f"{name}, up to"))
    if every == 1:
        return drawn
    return f'{drawn}<p class="soft">Each point is the mean of {every} steps.</p>'


def _recoveries(report: Report) -> str:
    if not report.recoveries:
        return "<p>None: the same ranks trained from the beginning to the end.</p>"
    head = ("step", "ranks before", "lost", "joined", "ranks after", "took")
    rows = [
        (r.step, r.before, r.lost, r.joined, r.after, console.format_seconds(r.seconds))
        for r in report.recoveries
    ]
    return console.table(head, rows, name="Recoveries")


def _more(report: Report) -> list[tuple[str, object]]:
    saved = ", ".join(map(str, report.checkpoints)) or "none"
    return [("checkpoints at steps", saved), ("ended by", report.stopped)]
