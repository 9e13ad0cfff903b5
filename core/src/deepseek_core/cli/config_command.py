"""`ds-sdk config`: each switch, its value, and where that came from."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence

from deepseek_core.cli.answer import print_json, print_lines
from deepseek_core.cli.table import print_table, print_text
from deepseek_core.contracts.units import printable
from deepseek_core.discovery.folders import config_file
from deepseek_core.discovery.notices import Notice, unknown_names, unknown_settings
from deepseek_core.discovery.scan import scan
from deepseek_core.discovery.switch_table import SWITCHES
from deepseek_core.discovery.switches import Switches, check_variables

SUMMARY = "show each switch, its value and where that came from"
EXAMPLES = """examples:
  ds-sdk config show
  ds-sdk --plugins cpu_onnx config show --json
  ds-sdk config path

A flag beats the environment, which beats [plugins] of the configuration file, which beats the
default. Settings of plugins stand in [plugin.NAME]; ds-sdk plugin-info NAME shows them."""

_HEADER = ("KEY", "VALUE", "FROM", "FLAG", "VARIABLE")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    deeds = parser.add_subparsers(dest="deed", required=True, metavar="show|path")
    show = deeds.add_parser("show", help="each value and where it came from")
    show.add_argument("--json", action="store_true", help="print JSON, schema 1")
    deeds.add_parser("path", help="where the configuration file is, or would be")


def run(args: argparse.Namespace) -> int:
    """Print it; no plugin is imported."""
    if args.deed == "path":
        print_lines(str(config_file()))
        return 0
    switches, points = Switches.resolve(), scan()
    check_variables()
    notices = unknown_names(switches, points) + unknown_settings(switches, points)
    if args.json:
        _print_json(switches, notices)
    else:
        _print_text(switches)
        for notice in notices:
            print_text(f"note: {notice}")
    return 0


def _print_json(switches: Switches, notices: Sequence[Notice]) -> None:

    answer = {
        "schema": 1,
        "file": str(switches.config),
        "exists": switches.config is not None and switches.config.exists(),
        "switches": list(_entries(switches)),
        # Their values may be secrets, which only the plugin's own class can tell.
        "settings": {name: sorted(table) for name, table in switches.settings.items()},
        "notices": [{"text": notice.text, "remedy": notice.remedy} for notice in notices],
    }
    print_json(answer, indent=2)


def _entries(switches: Switches) -> Iterator[dict[str, object]]:
    for names in SWITCHES:
        value = getattr(switches, names.name)
        yield {
            "key": names.name,
            "value": dict(value) if isinstance(value, Mapping) else value,
            "origin": switches.origin(names.name),
            "flag": names.flag,
            "variable": names.variable,
        }


def _print_text(switches: Switches) -> None:
    found = switches.config is not None and switches.config.exists()
    print_text(f"{switches.config}{'' if found else ' does not exist, which is fine'}")
    rows = [
        (names.name, _text(getattr(switches, names.name)), switches.origin(names.name),
         names.flag, names.variable)
        for names in SWITCHES
    ]  # fmt: skip
    print_table(_HEADER, rows)
    for plugin, table in switches.settings.items():
        name = printable(plugin)
        keys = ", ".join(sorted(table)) or "nothing"
        print_text(f"[plugin.{name}] sets {printable(keys)} (ds-sdk plugin-info {name} shows it)")


def _text(value: object) -> str:
    if value is None:
        return "all"
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={dist}" for name, dist in value.items()) or "none"
    if isinstance(value, tuple):
        return ", ".join(value) or "none"
    return str(value).lower() if isinstance(value, bool) else f"{value:g}"
