"""One self-contained page: jobs side by side, each with its figures and what they rest on."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Final

from deepseek_apps.report.drawing import charts_of, curves, intervals
from deepseek_apps.report.record import Report
from deepseek_core import applications, console

_TONES: Final = {"better": "good", "no gain": "soft", "worse": "bad"}
_HEAD: Final = (
    "model",
    "kind",
    "score (95 %)",
    "interval by",
    "seeds",
    "parameters",
    "CPU s",
    "note",
)


def write_page(path: Path, reports: Sequence[Report]) -> None:
    """Write the page whole or not at all.

    Raises:
        WriteError: it can't be written.
    """
    names = list(dict.fromkeys(report.application for report in reports))
    body = "\n".join(_job(report, number, len(reports)) for number, report in enumerate(reports, 1))
    console.write_html(path, f"Report: {', '.join(names)}", body)


def _job(report: Report, number: int, count: int) -> str:
    title = report.application if count == 1 else f"{number}. {report.application}"
    evaluation = report.evaluation
    parts = [
        f"<h2>{escape(title)}</h2>",
        f'<p class="soft">{escape(report.card.source)}; license: {escape(report.card.license)}</p>',
        _figures(report),
        *(f'<p class="bad">Warning: {escape(text)}</p>' for text in report.card.warnings),
        *map(_sentence, evaluation.differences),
        *(_measure(evaluation, measure) for measure in evaluation.measures),
        _curves(evaluation),
        *(f"<p>{escape(note)}</p>" for note in (*evaluation.notes, *report.card.notes)),
        _basis(report),
    ]
    return "\n".join(filter(None, parts))


def _figures(report: Report) -> str:
    """What to see first: our score, the best baseline, the data."""
    main = report.evaluation.measures[0]
    rows = [s for s in report.evaluation.scores if s.measure.name == main.name]
    shown = []
    for kind, text in (("ours", "ours"), ("baseline", "best baseline")):
        of_kind = [score for score in rows if score.kind == kind]
        if of_kind:
            best = _best(of_kind)
            shown.append(
                (best.measure.text(best.interval.value), f"{main.name}, {text}: {best.model}")
            )
    counts = report.card.parts
    shown.append((f"{sum(counts.values()):,}", f"items: {_counts(report)}"))
    cpu_s = sum(report.cpu_s.values())
    shown.append(
        (
            console.format_seconds(cpu_s),
            f"CPU time, {len(report.seeds)} seed{'s' * (len(report.seeds) != 1)}",
        )
    )
    cells = "".join(f"<div><b>{escape(v)}</b><span>{escape(t)}</span></div>" for v, t in shown)
    return f'<div class="figures">{cells}</div>'


def _best(scores: Sequence[applications.Score]) -> applications.Score:
    sign = 1 if scores[0].measure.higher_is_better else -1
    return max(scores, key=lambda score: sign * score.interval.value)


def _sentence(difference: applications.Difference) -> str:
    text = difference.sentence
    tone = _TONES[difference.outcome]
    return f'<p class="{tone}">{escape(text[:1].upper() + text[1:])}.</p>'


def _measure(evaluation: applications.Evaluation, measure: applications.Measure) -> str:
    scores = [score for score in evaluation.scores if score.measure.name == measure.name]
    better = "higher" if measure.higher_is_better else "lower"
    rows = [_row(score) for score in scores]
    ours = [n for n, score in enumerate(scores) if score.kind == "ours"]
    return (
        f'<h3>{escape(measure.name)} <span class="soft">{better} is better</span></h3>'
        f"{intervals(scores, measure)}"
        f"{console.table(_HEAD, rows, chosen=ours, name=f'Scores: {measure.name}')}"
    )


def _row(score: applications.Score) -> tuple[str, ...]:
    return (
        score.model,
        score.kind,
        score.text,
        score.basis,
        ", ".join(map(str, score.seeds)) or "-",
        "-" if score.parameters is None else f"{score.parameters:,}",
        "-" if score.cpu_s is None else f"{score.cpu_s:,.1f}",
        score.note,
    )


def _curves(evaluation: applications.Evaluation) -> str:
    drawn = [
        f"<div>{curves(chart, lines)}</div>"
        for chart, lines in charts_of(evaluation.curves).items()
    ]
    return f'<div class="charts">{"".join(drawn)}</div>' if drawn else ""


def _counts(report: Report) -> str:
    return ", ".join(f"{count:,} {part}" for part, count in report.card.parts.items())


def _basis(report: Report) -> str:
    """What the figures rest on: split, options, machine, versions."""
    rows = [
        ("split", report.card.split),
        ("split hash (SHA-256)", report.card.split_hash),
        ("seeds", ", ".join(map(str, report.seeds))),
        ("CPU seconds by step", _pairs(report.cpu_s)),
        ("options", _pairs(report.options)),
        ("machine", "; ".join(report.machines)),
        ("versions", _pairs({report.application: report.version, **report.versions})),
        ("made", report.made),
    ]
    inside = console.table(("what", "value"), rows, name="What the figures rest on")
    return f"<details><summary>What the figures rest on</summary>{inside}</details>"


def _pairs(values: object) -> str:
    assert isinstance(values, dict)
    return ", ".join(f"{name} {value}" for name, value in values.items()) or "-"
