"""`ds-sdk compress compare`: two runs side by side."""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from deepseek_compress.cli.common import add_json, read_report
from deepseek_compress.recipe.workspace import LOCK
from deepseek_compress.report.rows import score
from deepseek_core import compression, console, errors

EXAMPLES: Final = """examples:
  ds-sdk compress compare out other
  ds-sdk compress compare out other --json

A difference in accuracy is called one only where the intervals do not overlap, and the runs were
judged on the same test samples."""

_OTHER_SAMPLES: Final = "accuracies can't be compared: the runs were judged on other test samples"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("one", metavar="A", type=Path, help="what `compress run` left")
    parser.add_argument("other", metavar="B", type=Path, help="and another one")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print both."""
    one, other = read_report(args.one), read_report(args.other)
    same = _test_of(args.one) == _test_of(args.other)
    if args.json:
        console.print_json(
            {"a": one.to_json(), "b": other.to_json(), "same_test_samples": same}, indent=2
        )
        return 0
    rows = list(_rows(one, other))
    console.print_table(("FIGURE", str(args.one), str(args.other), "B / A"), rows)
    console.print_text(_accuracy_sentence(one, other) if same else _OTHER_SAMPLES)
    return 0


def _test_of(folder: Path) -> str | None:
    """The hash of the test samples on which a run was judged.

    Raises:
        ArtifactError: its locked recipe is missing or damaged.
    """
    path = folder / LOCK
    try:
        locked = tomllib.loads(path.read_text(encoding="utf-8")).get("locked", {})
    except (OSError, ValueError) as error:
        raise errors.ArtifactError(
            f"{path} can't be read: {error}", remedy="run the recipe again"
        ) from error
    found: str | None = locked.get("data_sha256", {}).get("test")
    return found


def _rows(
    one: compression.CompressionReport, other: compression.CompressionReport
) -> Iterator[tuple[str, ...]]:
    a, b = _figures(one), _figures(other)
    for name in a:
        ratio = "-" if not a[name] or b[name] is None else f"{b[name] / a[name]:.2f}"
        yield name, _text(name, a[name]), _text(name, b[name]), ratio
    scores = [score(_shipped(report).accuracy, report.metric) for report in (one, other)]
    yield " / ".join(dict.fromkeys((one.metric.name, other.metric.name))), *scores, ""


def _shipped(report: compression.CompressionReport) -> compression.Variant:
    return next(v for v in report.variants if v.shipped)


def _figures(report: compression.CompressionReport) -> dict[str, Any]:
    profile, shipped = report.steps[-1].profile, _shipped(report)
    return {
        "parameters": profile.parameters,
        "macs": profile.macs,
        "nbytes": shipped.nbytes,
        "latency_s": shipped.latency_s,
    }


def _text(name: str, value: float | None) -> str:
    if value is None:
        return "-"
    if name == "latency_s":
        return console.format_seconds(value)
    return console.format_bytes(value) if name == "nbytes" else f"{value:,.0f}"


def _accuracy_sentence(
    one: compression.CompressionReport, other: compression.CompressionReport
) -> str:
    if one.metric != other.metric:
        return f"judged by two metrics: A by {one.metric.name}, B by {other.metric.name}"
    a, b = _shipped(one).accuracy, _shipped(other).accuracy
    if a is None or b is None:
        return f"{one.metric.name} was not measured in both"
    if a.overlaps(b):
        return f"no significant difference in {one.metric.name}: the 95 % intervals overlap"
    better = "B" if b.value > a.value else "A"
    return f"{better} is better in {one.metric.name}: the 95 % intervals do not overlap"
