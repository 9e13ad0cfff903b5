"""`ds-sdk doctor`: checks of this installation, each with what to do about it."""

from __future__ import annotations

import argparse

import attrs

from deepseek_core.cli.answer import print_json
from deepseek_core.cli.doctor_checks import installation_checks
from deepseek_core.cli.doctor_hardware import Check
from deepseek_core.cli.table import print_table
from deepseek_core.contracts.errors import ConfigError

SUMMARY = "check this installation and say what to fix"
EXAMPLES = """examples:
  ds-sdk doctor
  ds-sdk doctor --no-load                      import no plugin
  ds-sdk doctor --strict --json                for CI: a plugin's fault is one, too

A plugin that is broken does no harm to the others: without --strict it is reported, and
the exit code stays 0. What is wrong with the installation itself is always 1."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--json", action="store_true", help="print JSON, schema 1")
    parser.add_argument("--no-load", action="store_true", help="load no plugin")
    parser.add_argument(
        "--strict", action="store_true", help="exit 1 if a plugin fails, too, or a check of one"
    )


def run(args: argparse.Namespace) -> int:
    """Print the checks; 1 when one of the installation failed, or in strict mode any."""
    own, of_plugins = list(installation_checks()), []
    readable = all(check.name != "config" or check.status == "ok" for check in own)
    if not args.no_load and readable:
        from deepseek_core.cli.doctor_plugins import plugin_checks

        of_plugins = list(plugin_checks())
    checks = own + of_plugins
    if args.json:
        _print_json(checks)
    else:
        print_table(("CHECK", "STATUS", "WHAT / FIX"), [_cells(check) for check in checks])
    counted = checks if args.strict or _strict() else own
    return int(any(check.status == "fail" for check in counted))


def _strict() -> bool:
    from deepseek_core.discovery.switches import Switches

    try:
        return Switches.resolve().strict
    except ConfigError:  # the check of the configuration has failed already
        return True


def _print_json(checks: list[Check]) -> None:

    answer = {"schema": 1, "checks": [attrs.asdict(check) for check in checks]}
    print_json(answer, indent=2)


def _cells(check: Check) -> tuple[str, ...]:
    what = " -> ".join(part for part in (check.message, check.remedy) if part)
    return check.name, check.status, what
