"""A report as one page that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import Path

from deepseek_compress.report.charts import layer_bars, scatter
from deepseek_compress.report.rows import (
    VERDICT_HEADER,
    file_table,
    row_name,
    step_header,
    step_rows,
    verdict_rows,
    warnings,
)
from deepseek_core import compression, console


def write_page(path: Path, report: compression.CompressionReport) -> None:
    """Write the page whole or not at all.

    Raises:
        WriteError: no space, or no permission.
    """
    console.write_html(path, f"Compression of {report.model}", "".join(_parts(report)))


def _parts(report: compression.CompressionReport) -> Iterator[str]:
    yield f"<p>{escape(_sentence(report))}</p>"
    if report.verdict:
        yield "<h2>Budget</h2>"
        rows = list(verdict_rows(report.verdict, report.metric))
        yield console.table(VERDICT_HEADER, rows)
        yield "".join(f"<p>{escape(line)}</p>" for line in report.closest)
    yield "<h2>Files</h2>"
    shipped = [n for n, v in enumerate(report.variants) if v.shipped]
    yield console.table(*file_table(report.variants, report.metric), chosen=shipped)
    yield "".join(f"<p>{escape(line)}</p>" for line in warnings(report))
    yield from _drawings(report)
    yield "<h2>Steps</h2>"
    yield console.table(step_header(report.metric), list(step_rows(report.steps, report.metric)))
    if report.layers:
        yield "<h2>Channels of each layer</h2>"
        yield layer_bars(report.layers)
    yield "<h2>What was not measured</h2>"
    lines = report.not_measured or ("nothing that this page speaks of",)
    yield f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"
    facts = {**report.machine, **report.versions}
    told = ", ".join(f"{name} {value}" for name, value in facts.items())
    yield f'<p class="soft">{escape(told)}</p>'


def _sentence(report: compression.CompressionReport) -> str:
    if not report.verdict:
        return "No budget was given."
    failed, unknown = (
        [row_name(row, report.metric) for row in report.verdict if row.outcome == outcome]
        for outcome in ("fails", "not measured")
    )
    if failed:
        return f"The budget does not hold: {', '.join(failed)}."
    if unknown:
        return f"The budget holds as far as it was measured; not measured: {', '.join(unknown)}."
    return "The budget holds."


def _drawings(report: compression.CompressionReport) -> Iterator[str]:
    metric = report.metric.name.capitalize()
    for cost in ("size", "latency"):
        drawn = scatter(report.variants, cost, report.metric)
        if drawn:
            yield f"<h2>{escape(metric)} against {cost}</h2>{drawn}"
