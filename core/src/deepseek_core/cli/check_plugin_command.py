"""`ds-sdk check-plugin`: does a plugin keep what plugins promise?"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from deepseek_core.cli.answer import flush, print_json, print_lines
from deepseek_core.contracts.errors import ConfigError
from deepseek_core.contracts.files import whole_file

if TYPE_CHECKING:
    from deepseek_core.discovery.scan import EntryPoint
    from deepseek_core.testing.report import Report, Verdict

SUMMARY = "run the conformance rules on a plugin"
EXAMPLES = """examples:
  ds-sdk check-plugin null
  ds-sdk check-plugin null --group device_life
  ds-sdk check-plugin null --report out.html   a page; out.json for a script
  ds-sdk check-plugin null --json

Outcomes: passed, failed, crashed, hung, skipped (with the reason), and not implemented, where
a rule needs what the plugin does not ship: name a module with test classes in its hooks, as in
conformance = "acme_npu.conformance". Exit code 1 if a rule failed, crashed or hung.
It needs pytest and numpy."""

_MARKS: Final = {
    "passed": "ok",
    "failed": "FAILED",
    "crashed": "CRASHED",
    "hung": "HUNG",
    "skipped": "skipped",
    "not implemented": "not implemented",
}
_NEEDED: Final = ("pytest", "numpy")
_SUFFIXES: Final = (".json", ".html")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("plugin", metavar="NAME", help="entry point or distribution of the plugin")
    parser.add_argument("--report", metavar="FILE", type=Path, help="write out.json or out.html")
    parser.add_argument("--json", action="store_true", help="print the report as JSON, schema 1")
    parser.add_argument(
        "--timeout", metavar="S", type=float, default=60.0, help="seconds for one rule (60)"
    )
    parser.add_argument(
        "--group", metavar="G", action="append", default=[], help="only these groups of rules"
    )


def run(args: argparse.Namespace) -> int:
    """Check the plugin; 1 if a rule failed, crashed or hung."""
    point = _entry_point(args.plugin)
    _check_arguments(args)
    from deepseek_core.testing.checking import check

    progress = _quiet if args.json else _Lines(lambda text: print_lines(text, end=""))
    report = check(point, timeout_s=args.timeout, groups=args.group, progress=progress)
    if args.report is not None:
        _write(report, args.report)
    if args.json:
        print_json(report.to_json(), indent=2)
    else:
        print_lines(_summary(report, args.report))
    return int(not report.passed)


def _entry_point(name: str) -> EntryPoint:
    from deepseek_core.discovery.scan import scan
    from deepseek_core.discovery.switches import matches, suggestion

    points = scan()
    found = [point for point in points if matches(name, point)]
    if not found:
        close = suggestion(name, {word for p in points for word in (p.name, p.dist)})
        raise ConfigError(
            f"no plugin {name!r} is installed", remedy=close or "ds-sdk list-plugins shows them"
        )
    if len({point.name for point in found}) > 1:
        names = ", ".join(sorted({point.name for point in found}))
        raise ConfigError(f"{name!r} has several plugins", remedy=f"name one of {names}")
    return found[0]


def _check_arguments(args: argparse.Namespace) -> None:
    from deepseek_core.discovery.installed import CORE
    from deepseek_core.discovery.installing import install_command
    from deepseek_core.discovery.modules import missing

    lacking = missing(_NEEDED)
    if lacking:
        raise ConfigError(
            f"check-plugin needs {' and '.join(lacking)}",
            remedy=f"pip install {' '.join(lacking)} (or {install_command(CORE, 'testing')})",
        )
    if not args.timeout > 0:
        raise ConfigError(f"--timeout must be more than 0 seconds, got {args.timeout:g}")
    if args.report is None:
        return
    if args.report.suffix not in _SUFFIXES:
        raise ConfigError(
            f"--report {args.report}: a report is JSON or HTML", remedy="end it in .json or .html"
        )
    if not args.report.parent.is_dir():
        raise ConfigError(f"--report {args.report}: there is no folder {args.report.parent}")


class _Lines:
    """Prints each verdict as it comes, under the name of its group."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write
        self._group = ("", "")

    def __call__(self, verdict: Verdict) -> None:
        group = (verdict.group, verdict.subject)
        if group != self._group:
            self._group = group
            self._write(f"{' of '.join(filter(None, group))}\n")
        self._write(f"  {_MARKS[verdict.outcome]:<16}{verdict.sentence}\n")
        self._write("".join(f"{'':18}{line}\n" for line in _lines(verdict.text)))
        flush()


def _lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()][:12]


def _quiet(_verdict: Verdict) -> None:
    """Print nothing: stdout is for the JSON."""


def _summary(report: Report, file: Path | None) -> str:
    counts = ", ".join(f"{count} {outcome}" for outcome, count in report.counts.items() if count)
    verdict = "conforms" if report.passed else "does not conform"
    text = f"{report.plugin} ({report.dist} {report.version}) {verdict}: {counts}"
    return f"{text}\nreport: {file}" if file else text


def _write(report: Report, file: Path) -> None:
    if file.suffix == ".html":
        from deepseek_core.cli.check_page import write_page

        write_page(file, report)
    else:
        with whole_file(file) as partial:
            partial.write_text(json.dumps(report.to_json(), indent=2) + "\n", encoding="utf-8")
