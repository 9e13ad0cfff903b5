"""A report's lines as cells of tables, for terminals and pages alike."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from deepseek_core import compression, console


def score(interval: compression.Interval | None, metric: compression.Metric) -> str:
    """`90.12 % (89.5 to 90.7)`, or as the metric's unit has it."""
    if interval is None:
        return "-"
    return metric.between(interval.value, interval.low, interval.high)


def verdict_rows(
    verdict: Iterable[compression.BudgetRow], metric: compression.Metric
) -> Iterator[tuple[str, ...]]:
    """Lines of the budget as cells; what is kept as accuracy goes by the metric's own name."""
    for row in verdict:
        got = "-" if row.got is None else figure(row.name, row.got, metric)
        if row.name == "accuracy_drop" and row.got is not None:
            got = metric.difference(row.got, row.low, row.high)
        wanted = row.wanted
        if wanted.startswith("/") and row.bound is not None:
            wanted = f"{wanted}: <= {figure(row.name, row.bound, metric)}"
        yield row_name(row, metric), wanted, got, row.outcome


def row_name(row: compression.BudgetRow, metric: compression.Metric) -> str:
    """What a line of the budget is called: `latency`, `recall_drop`."""
    return own_name(row.name, metric).removesuffix("_s")


def own_name(name: str, metric: compression.Metric) -> str:
    """A line's name, with that of the metric where it is of accuracy."""
    return {"accuracy": metric.name, "accuracy_drop": f"{metric.name}_drop"}.get(name, name)


def figure(name: str, value: float, metric: compression.Metric) -> str:
    """A figure of a budget with its unit."""
    if name == "latency_s":
        return console.format_seconds(value)
    if name == "accuracy":
        return metric.text(value)
    if name == "accuracy_drop":
        return metric.difference(value)
    return console.format_bytes(value) if name == "nbytes" else f"{value:,.0f}"


def step_rows(
    steps: Iterable[compression.StepRow], metric: compression.Metric
) -> Iterator[tuple[str, ...]]:
    """Lines of steps as cells."""
    for row in steps:
        yield (
            row.step,
            f"{row.profile.parameters:,}",
            "-" if row.profile.macs is None else f"{row.profile.macs / 1e6:,.2f} M",
            score(row.accuracy, metric),
            "-" if row.seconds is None else console.format_seconds(row.seconds),
            "; ".join(row.notes),
        )


def warnings(report: compression.CompressionReport) -> Iterator[str]:
    """What is to be known of steps and files before one is used, each with its name."""
    for step in report.steps:
        yield from (f"{step.step}: {line}" for line in step.warnings)
    for variant in report.variants:
        yield from (f"{variant.file}: {line}" for line in variant.warnings)


VERDICT_HEADER: Final = ("BUDGET", "WANTED", "GOT", "VERDICT")


def step_header(metric: compression.Metric) -> tuple[str, ...]:
    """Names of the columns of `step_rows`."""
    return ("STEP", "PARAMETERS", "MACS", metric.name.upper(), "TIME", "NOTES")


def file_table(
    variants: Iterable[compression.Variant], metric: compression.Metric
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Names of columns, and lines of files as cells; thresholds where there are some."""
    files = list(variants)
    header = ("FILE", "SIZE", metric.name.upper(), "INT8", "LATENCY", "SHIPPED")
    rows = [_file_row(v, metric) for v in files]
    if all(v.threshold is None for v in files):
        return header, rows
    values = ("-" if v.threshold is None else f"{v.threshold:.4g}" for v in files)
    whole = [(*row[:3], value, *row[3:]) for row, value in zip(rows, values, strict=True)]
    return (*header[:3], "THRESHOLD", *header[3:]), whole


def _file_row(v: compression.Variant, metric: compression.Metric) -> tuple[str, ...]:
    latency = "-" if v.latency_s is None else console.format_seconds(v.latency_s)
    if v.device:
        latency = f"{latency} on {v.device} ({v.evidence})"
    if v.predicted_s is not None:
        latency = f"{latency}, {console.format_seconds(v.predicted_s)} predicted"
    return (
        v.file,
        console.format_bytes(v.nbytes),
        score(v.accuracy, metric),
        "-" if v.int8_coverage is None else f"{v.int8_coverage:.0%} of MACs",
        latency,
        "yes" if v.shipped else "",
    )
