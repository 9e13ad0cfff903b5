"""The catalog page: reviewed rows of catalog.toml beside the reports of `check-plugin`.

    python sdk_docs/_made/catalog.py

checks each plugin of the catalog that is installed and leaves a report for the next build.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, Final

import attrs

_DOCS: Final = Path(__file__).resolve().parents[1]
REPORTS: Final = _DOCS.parent / "out" / "conformance"
_FIELDS: Final = {"name", "dist", "kinds", "summary", "reviewed-on"}
_OPTIONAL: Final = {"url"}


@attrs.frozen(kw_only=True)
class Entry:
    """One reviewed plugin; `reviewed_on` is a date as TOML has it."""

    name: str
    dist: str
    kinds: tuple[str, ...]
    summary: str
    reviewed_on: str
    url: str | None = None


def entries(path: Path = _DOCS / "catalog.toml") -> list[Entry]:
    """The rows of the catalog.

    Raises:
        ValueError: a row has other fields, or a plugin is there twice.
    """
    rows = tomllib.loads(path.read_text(encoding="utf-8"))["plugin"]
    for row in rows:
        if row.keys() - _OPTIONAL != _FIELDS:
            raise ValueError(
                f"{path.name}: a plugin has the fields {sorted(row)}, not {sorted(_FIELDS)}"
            )
    found = [_entry(row) for row in rows]
    if len({entry.name for entry in found}) < len(found):
        raise ValueError(f"{path.name}: a plugin is there twice")
    return found


def _entry(row: dict[str, Any]) -> Entry:
    fields = {key.replace("-", "_"): value for key, value in row.items()}
    fields |= {"kinds": tuple(row["kinds"]), "reviewed_on": row["reviewed-on"].isoformat()}
    return Entry(**fields)


def page() -> str:
    """A section for each plugin."""
    return "\n\n".join(section(entry, report_of(entry.name)) for entry in entries())


def report_of(name: str, folder: Path = REPORTS) -> dict[str, Any] | None:
    """The last report of `check-plugin`, or None if it did not run before this build."""
    path = folder / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def section(entry: Entry, report: dict[str, Any] | None) -> str:
    """What the catalog says of a plugin, and what the conformance kit found."""
    facts = [
        f"## {entry.name}",
        f"{entry.summary}",
        f"- distribution: `{entry.dist}`\n- offers: {', '.join(entry.kinds)}\n"
        f"- project: {f'<{entry.url}>' if entry.url else 'this repository'}\n"
        f"- reviewed on: {entry.reviewed_on}\n"
        f"- conformance: {verdict(report)}",
    ]
    return "\n\n".join(facts + ([table(report)] if report else []))


def verdict(report: dict[str, Any] | None) -> str:
    """The outcomes of a report in numbers."""
    if report is None:
        return "not checked in this build; `ds-sdk check-plugin` does it"
    counts = ", ".join(
        f"{number} {outcome}" for outcome, number in report["counts"].items() if number
    )
    return f"{counts} (version {report['version']}, {report['system']}, Python {report['python']})"


def table(report: dict[str, Any]) -> str:
    """A row for each group of rules; a rule that did not pass is named with its reason."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for rule in report["rules"]:
        groups.setdefault((rule["group"], rule["subject"]), []).append(rule)
    rows = [f"| {' of '.join(key)} | {_tally(rules)} |" for key, rules in groups.items()]
    return "\n".join(["| rules | outcome |", "|---|---|", *rows])


def _tally(rules: list[dict[str, Any]]) -> str:
    passed = sum(rule["outcome"] == "passed" for rule in rules)
    others = [
        f"{rule['outcome']}: `{rule['rule']}`, {_one_line(rule['text'])}"
        for rule in rules
        if rule["outcome"] != "passed"
    ]
    return "<br>".join([f"{passed} passed", *others])


def _one_line(text: str) -> str:
    return " ".join(text.split())[:200].replace("|", "\\|").replace("<", "&lt;")


def main() -> None:
    """Check the plugins and leave their reports."""
    REPORTS.mkdir(parents=True, exist_ok=True)
    for entry in entries():
        command = [sys.executable, "-m", "deepseek_core", "check-plugin", entry.name]
        report = REPORTS / f"{entry.name}.json"
        subprocess.run([*command, "--report", str(report)], check=True)


if __name__ == "__main__":
    main()
