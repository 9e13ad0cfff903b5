"""`ds-sdk app NAME report`: one JSON file and one page."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from deepseek_apps.report.page import write_page
from deepseek_apps.report.record import Report, report_of
from deepseek_core import console

EXAMPLES: Final = """examples:
  ds-sdk app NAME report work                          work/report.json and work/report.html
  ds-sdk app NAME report work other/work -o side.html  several jobs side by side
  ds-sdk app NAME report work --json"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "folders", type=Path, nargs="+", metavar="FOLDER", help="work folders, or report.json files"
    )
    parser.add_argument(
        "-o", "--output", type=Path, metavar="PAGE.html",
        help="the page (default: report.html in the first folder)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print one JSON object, write no page")


def run(args: argparse.Namespace) -> int:
    """Write both, or print the JSON.

    Raises:
        ConfigError: nothing was evaluated, or data or options were changed since.
        ArtifactError: a report that can't be read.
    """
    reports = [report_of(path) for path in args.folders]
    if args.json:
        console.print_json({"schema": 1, "reports": [report.to_json() for report in reports]})
        return 0
    written = [_kept(path, report) for path, report in zip(args.folders, reports, strict=True)]
    first = args.folders[0]
    page = args.output or (first if first.is_dir() else first.parent) / "report.html"
    write_page(page, reports)
    for path in (*filter(None, written), page):
        console.print_text(f"wrote {path}")
    return 0


def _kept(path: Path, report: Report) -> Path | None:
    """Write the report of a work folder; what was given as a file stays as it is."""
    if not path.is_dir():
        return None
    report.write(path / "report.json")
    return path / "report.json"
