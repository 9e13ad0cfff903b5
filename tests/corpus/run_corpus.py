"""Runs the corpus and prints a table: each model, and the ways to run it that passed.

python tests/corpus/run_corpus.py --json out/corpus.json
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import attrs
import pytest

_HERE: Final = Path(__file__).parent
_WORDS: Final = {"passed": "ok", "failed": "FAIL", "skipped": "-"}


@attrs.define
class Row:
    """A model: outcome and reason by way."""

    model: str
    package: str
    domain: str
    outcomes: dict[str, str] = attrs.field(factory=dict)
    reasons: dict[str, str] = attrs.field(factory=dict)

    @property
    def passed(self) -> int:
        """How many ways passed."""
        return sum(outcome == "passed" for outcome in self.outcomes.values())


class Rows:
    """A plugin of pytest: notes what became of each model and way."""

    def __init__(self) -> None:
        self.by_model: dict[str, Row] = {}
        self.others: dict[str, str] = {}  # what failed beside the ways: test and reason

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a test that has run, or that could not begin."""
        told = dict(report.user_properties).get("corpus")
        if report.when != "call" and report.outcome == "passed":
            return
        if told is None:
            self.others |= {report.nodeid: _reason(report)} if report.failed else {}
            return
        key = f"{told['package']} {told['model']}"
        row = self.by_model.setdefault(key, Row(told["model"], told["package"], told["domain"]))
        row.outcomes[told["way"]] = report.outcome
        if report.outcome != "passed":
            row.reasons[told["way"]] = _reason(report)


def _reason(report: pytest.TestReport) -> str:
    if isinstance(report.longrepr, tuple):  # a skip: file, line, reason
        return report.longrepr[2].removeprefix("Skipped: ")
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash is not None else str(report.longrepr)
    return " ".join(text.split())[:500]


def as_table(rows: Iterable[Row]) -> str:
    """A line for each model of a package, and one for each kind of our own."""
    rows = list(rows)
    real = [row for row in rows if row.package != "own"]
    ways = list(dict.fromkeys(way for row in rows for way in row.outcomes))
    lines = [("model", "package", "domain", *ways)]
    lines += [
        (
            _short(row),
            row.package,
            row.domain,
            *(_WORDS[row.outcomes.get(w, "skipped")] for w in ways),
        )
        for row in real
    ]
    lines += _by_kind([row for row in rows if row.package == "own"], ways)
    return _aligned(lines)


def _short(row: Row) -> str:
    return row.model.removeprefix(f"{row.package}/")


def _by_kind(rows: list[Row], ways: Sequence[str]) -> list[tuple[str, ...]]:
    kinds = {
        kind: [r for r in rows if r.domain == kind]
        for kind in dict.fromkeys(r.domain for r in rows)
    }
    return [
        (f"{len(of)} small models", "own", kind, *(_share(of, way) for way in ways))
        for kind, of in kinds.items()
    ]


def _share(rows: list[Row], way: str) -> str:
    found = [row.outcomes.get(way) for row in rows]
    tried = len(found) - found.count("skipped")
    passed = found.count("passed")
    return "ok" if passed == tried else f"{passed}/{tried}"


def _aligned(lines: list[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def failures(rows: Iterable[Row]) -> list[str]:
    """A line for each way that failed: model, way, reason; one reason for several ways."""
    lines = []
    for row in rows:
        failed = {way: row.reasons[way] for way, o in row.outcomes.items() if o == "failed"}
        for reason in dict.fromkeys(failed.values()):
            ways = ", ".join(way for way, text in failed.items() if text == reason)
            lines.append(f"{row.model} ({ways}): {reason}")
    return lines


def as_json(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Every model with outcome and reason by way."""
    return [attrs.asdict(row) for row in rows]


def summary(rows: Iterable[Row]) -> str:
    """How much of it passed."""
    rows = list(rows)
    outcomes = [outcome for row in rows for outcome in row.outcomes.values()]
    ran = len(outcomes) - outcomes.count("skipped")
    whole = sum(row.passed > 0 and "failed" not in row.outcomes.values() for row in rows)
    return (
        f"{len(rows)} models, {whole} of them by every way that was tried; "
        f"{outcomes.count('passed')} of {ran} runs passed, {outcomes.count('skipped')} were skipped"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run pytest on this folder, print the table, and return pytest's exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", metavar="FILE", type=Path, help="write every outcome there, too")
    options, more = parser.parse_known_args(arguments)
    rows = Rows()
    code = pytest.main([str(_HERE), "-q", "-r", "N", "--tb=no", *more], plugins=[rows])
    print("\n".join(["", *failures(rows.by_model.values())]))
    print("\n".join(f"{test}: {reason}" for test, reason in rows.others.items()))
    print(f"\n{as_table(rows.by_model.values())}\n\n{summary(rows.by_model.values())}")
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(as_json(rows.by_model.values()), indent=1) + "\n")
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
