"""A report's lines as cells of tables, for terminals and pages alike."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from deepseek_core import compression, console


def percent(interval: compression.Interval | None) -> str:
    """`90.12 % (89.5 to 90.7)`."""
    if interval is None:
        return "-"
    low, high = interval.low * 100, interval.high * 100
    return f"{interval.value * 100:.2f} % ({low:.1f} to {high:.1f})"


def verdict_rows(
    verdict: Iterable[compression.BudgetRow], metric: str = "accuracy"
) -> Iterator[tuple[str, ...]]:
    """Lines of the budget as cells; what is kept as accuracy goes by the metric's own name."""
    for row in verdict:
        got = "-" if row.got is None else figure(row.name, row.got)
        if row.low is not None and row.high is not None:
            got = f"{got} ({row.low:.2f} to {row.high:.2f})"
        wanted = row.wanted
        if wanted.startswith("/") and row.bound is not None:
            wanted = f"{wanted}: <= {figure(row.name, row.bound)}"
        yield row_name(row, metric), wanted, got, row.outcome


def row_name(row: compression.BudgetRow, metric: str) -> str:
    """What a line of the budget is called: `latency`, `recall_drop`."""
    return own_name(row.name, metric).removesuffix("_s")


def own_name(name: str, metric: str) -> str:
    """A line's name, with that of the metric where it is of accuracy."""
    return {"accuracy": metric, "accuracy_drop": f"{metric}_drop"}.get(name, name)


def figure(name: str, value: float) -> str:
    """A figure of a budget with its unit."""
    if name == "latency_s":
        return console.format_seconds(value)
    if name == "accuracy":
        return f"{value:.2%}"
    if name == "accuracy_drop":
        return f"{value:.2f} points"
    return console.format_bytes(value) if name == "nbytes" else f"{value:,.0f}"


def step_rows(steps: Iterable[compression.StepRow]) -> Iterator[tuple[str, ...]]:
    """Lines of steps as cells."""
    for row in steps:
        yield (
            row.step,
            f"{row.profile.parameters:,}",
            "-" if row.profile.macs is None else f"{row.profile.macs / 1e6:,.2f} M",
            percent(row.accuracy),
            "-" if row.seconds is None else console.format_seconds(row.seconds),
            "; ".join(row.notes),
        )


VERDICT_HEADER: Final = ("BUDGET", "WANTED", "GOT", "VERDICT")


def step_header(metric: str) -> tuple[str, ...]:
    """Names of the columns of `step_rows`."""
    return ("STEP", "PARAMETERS", "MACS", metric.upper(), "TIME", "NOTES")


def file_table(
    variants: Iterable[compression.Variant], metric: str
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Names of columns, and lines of files as cells; thresholds where there are some."""
    files = list(variants)
    header = ("FILE", "SIZE", metric.upper(), "INT8", "LATENCY", "SHIPPED")
    rows = [_file_row(v) for v in files]
    if all(v.threshold is None for v in files):
        return header, rows
    values = ("-" if v.threshold is None else f"{v.threshold:.4g}" for v in files)
    whole = [(*row[:3], value, *row[3:]) for row, value in zip(rows, values, strict=True)]
    return (*header[:3], "THRESHOLD", *header[3:]), whole


def _file_row(v: compression.Variant) -> tuple[str, ...]:
    latency = "-" if v.latency_s is None else console.format_seconds(v.latency_s)
    if v.device:
        latency = f"{latency} on {v.device} ({v.evidence})"
    if v.predicted_s is not None:
        latency = f"{latency}, {console.format_seconds(v.predicted_s)} predicted"
    return (
        v.file,
        console.format_bytes(v.nbytes),
        percent(v.accuracy),
        "-" if v.int8_coverage is None else f"{v.int8_coverage:.0%} of MACs",
        latency,
        "yes" if v.shipped else "",
    )
