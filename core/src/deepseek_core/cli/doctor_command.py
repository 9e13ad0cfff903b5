"""`ds-sdk doctor`: checks of this installation, each with what to do about it."""

from __future__ import annotations

import argparse
import sys

import attrs

from deepseek_core.cli.doctor_checks import Check, installation_checks
from deepseek_core.cli.table import print_table

NAME = "doctor"
SUMMARY = "check this installation and say what to fix"
EXAMPLES = """examples:
  ds-sdk doctor
  ds-sdk doctor --no-load                      import no plugin
  ds-sdk doctor --json"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--json", action="store_true", help="print JSON, schema 1")
    parser.add_argument("--no-load", action="store_true", help="load no plugin")


def run(args: argparse.Namespace) -> int:
    """Print the checks; 1 when one failed."""
    checks = list(installation_checks())
    if not args.no_load and all(check.name != "config" or check.status == "ok" for check in checks):
        from deepseek_core.cli.doctor_plugins import plugin_checks

        checks += plugin_checks()
    if args.json:
        _print_json(checks)
    else:
        print_table(("CHECK", "STATUS", "WHAT / FIX"), [_cells(check) for check in checks])
    return int(any(check.status == "fail" for check in checks))


def _print_json(checks: list[Check]) -> None:
    import json

    answer = {"schema": 1, "checks": [attrs.asdict(check) for check in checks]}
    json.dump(answer, sys.stdout, indent=2)
    print()


def _cells(check: Check) -> tuple[str, ...]:
    what = " -> ".join(part for part in (check.message, check.remedy) if part)
    return check.name, check.status, what
