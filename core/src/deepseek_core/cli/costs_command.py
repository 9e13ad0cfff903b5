"""`ds-sdk costs`: what was measured here, as a file for other machines."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

import attrs

from deepseek_core.cli.answer import print_json, print_lines
from deepseek_core.cli.table import print_table
from deepseek_core.contracts.errors import ConfigError
from deepseek_core.contracts.units import format_seconds
from deepseek_core.discovery.folders import cache_dir
from deepseek_core.runtime.cost_file import Difference, differences, read_costs, write_costs
from deepseek_core.runtime.history import History

SUMMARY: Final = "export, import or compare measured costs"
EXAMPLES: Final = """examples:
  ds-sdk costs export costs.json               write what this machine measured
  ds-sdk costs import costs.json               start warm with what a like machine measured
  ds-sdk costs diff before.json after.json     what became slower
  ds-sdk costs diff before.json                against this machine's own history"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `costs`."""
    parser.add_argument("action", choices=["export", "import", "diff"])
    parser.add_argument("files", nargs="+", metavar="FILE", help="one file; two for diff")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Do one of the three."""
    if len(args.files) > (2 if args.action == "diff" else 1):
        raise ConfigError(f"costs {args.action} takes fewer files", remedy="ds-sdk costs --help")
    files = [Path(name) for name in args.files]
    history = History(cache_dir() / "history.sqlite")
    try:
        return _ACTIONS[args.action](history, files, args.json)
    finally:
        history.close()


def _export(history: History, files: list[Path], as_json: bool) -> int:
    records = history.records()
    write_costs(files[0], records)
    _tell({"written": len(records), "file": str(files[0])}, as_json)
    return 0


def _import(history: History, files: list[Path], as_json: bool) -> int:
    records = read_costs(files[0])
    _tell({"read": len(records), "new": history.merge(records)}, as_json)
    return 0


def _diff(history: History, files: list[Path], as_json: bool) -> int:
    after = read_costs(files[1]) if len(files) > 1 else history.records()
    rows = differences(read_costs(files[0]), after)
    if as_json:
        _tell({"differences": [attrs.asdict(row) | {"ratio": row.ratio} for row in rows]}, True)
        return 0
    print_table(
        ("DEVICE", "STAGE", "CLASS", "BATCH", "BEFORE", "AFTER", "RATIO"),
        [_cells(row) for row in rows],
    )
    return 0


def _cells(row: Difference) -> tuple[str, ...]:
    before, after = (
        "-" if seconds is None else format_seconds(seconds)
        for seconds in (row.before_s, row.after_s)
    )
    ratio = "-" if row.ratio is None else f"{row.ratio:.2f}"
    device = row.device.split("|")[0]
    return device, row.stage[:12], row.latency, str(row.batch), before, after, ratio


def _tell(facts: dict[str, object], as_json: bool) -> None:
    if as_json:
        print_json(facts)
    else:
        print_lines(", ".join(f"{key}: {value}" for key, value in facts.items()))


_ACTIONS: Final = {"export": _export, "import": _import, "diff": _diff}
