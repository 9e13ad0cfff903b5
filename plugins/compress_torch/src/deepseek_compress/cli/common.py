"""What the commands share: arguments, JSON, the tables of a report."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from deepseek_compress.report.rows import (
    VERDICT_HEADER,
    file_table,
    step_header,
    step_rows,
    verdict_rows,
    warnings,
)
from deepseek_core import compression, console, errors


def add_recipe(parser: argparse.ArgumentParser) -> None:
    """The recipe that a command reads."""
    parser.add_argument("recipe", metavar="RECIPE", type=Path, help="a TOML file")


def add_json(parser: argparse.ArgumentParser) -> None:
    """JSON instead of tables."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def read_report(folder: Path) -> compression.CompressionReport:
    """The report of a finished run.

    Raises:
        ArtifactError: there is none, or it can't be read.
    """
    path = folder / "report.json"
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise errors.ArtifactError(
            f"{folder} holds no finished run", remedy="ds-sdk compress run RECIPE -o FOLDER"
        ) from error
    except (OSError, ValueError) as error:
        raise errors.ArtifactError(f"{path}: {error}", remedy="run the recipe again") from error
    return compression.CompressionReport.from_json(kept)


def print_report(report: compression.CompressionReport) -> None:
    """The whole report as tables."""
    console.print_table(step_header(report.metric), list(step_rows(report.steps, report.metric)))
    console.print_lines()
    console.print_table(*file_table(report.variants, report.metric))
    if report.verdict:
        console.print_lines()
        console.print_table(VERDICT_HEADER, list(verdict_rows(report.verdict, report.metric)))
    for line in report.closest:
        console.print_text(line)
    for line in warnings(report):
        console.print_text(line)
    for line in report.not_measured:
        console.print_text(f"not measured: {line}")
