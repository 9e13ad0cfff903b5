"""`ds-sdk list-plugins`: every plugin with its status, the reason and the remedy."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import attrs

from deepseek_core.cli.answer import print_json, print_lines
from deepseek_core.cli.reporting import tell
from deepseek_core.cli.table import print_table, print_text
from deepseek_core.contracts.errors import ConfigError
from deepseek_core.contracts.units import printable
from deepseek_core.discovery.installed import core_version
from deepseek_core.discovery.scan import API, scan
from deepseek_core.discovery.status import FAULTS, KINDS, PluginRow, Status
from deepseek_core.discovery.switches import Switches, suggestion

if TYPE_CHECKING:
    from deepseek_core.discovery.notices import Notice
    from deepseek_core.discovery.registry import Registry

SUMMARY = "list plugins with status, reason and remedy"
EXAMPLES = """examples:
  ds-sdk list-plugins
  ds-sdk list-plugins --probe                  ask the devices now
  ds-sdk list-plugins --status broken --verbose
  ds-sdk list-plugins --hook ds_on_event       who listens to events
  ds-sdk list-plugins --json --strict          for a script or CI"""

_HEADER = ("NAME", "KIND", "DIST", "VERSION", "API", "STATUS", "LOAD", "PROVIDES", "WHY / FIX")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--json", action="store_true", help="print JSON, schema 1")
    parser.add_argument("--probe", action="store_true", help="ask the devices now, not the cache")
    parser.add_argument("--no-load", action="store_true", help="import no plugin")
    parser.add_argument("--status", choices=list(Status), help="only plugins with this status")
    parser.add_argument("--kind", choices=KINDS, help="only plugins that offer this")
    parser.add_argument("--hook", metavar="NAME", help="only plugins that implement this hook")
    parser.add_argument(
        "--strict",
        action="store_true",
        help="exit 1 if a plugin is at fault, or a switch names one that is not installed",
    )
    parser.add_argument("--verbose", action="store_true", help="more about each plugin")


def run(args: argparse.Namespace) -> int:
    """Print the list; 1 in strict mode when a plugin is at fault."""
    _check_hook(args)
    switches = Switches.resolve(strict=args.strict or None)
    rows, notices = _rows(args, attrs.evolve(switches, strict=False))
    shown = [row for row in rows if _is_wanted(row, args)]
    if args.json:
        _print_json(shown)
    else:
        _print_text(shown, verbose=args.verbose)
    tell(notices)
    at_fault = bool(notices) or any(row.status in FAULTS for row in rows)
    return int(switches.strict and at_fault)


def _check_hook(args: argparse.Namespace) -> None:
    if args.hook is None:
        return
    if args.no_load:
        raise ConfigError("--hook needs what plugins answer", remedy="leave out --no-load")
    from deepseek_core.discovery.hooks import HOOK_NAMES

    if args.hook not in HOOK_NAMES:
        close = suggestion(args.hook, HOOK_NAMES)
        raise ConfigError(
            f"there is no hook {args.hook!r}", remedy=close or f"one of {', '.join(HOOK_NAMES)}"
        )


def _rows(
    args: argparse.Namespace, switches: Switches
) -> tuple[tuple[PluginRow, ...], tuple[Notice, ...]]:
    if args.no_load:
        from deepseek_core.discovery.notices import unknown_names
        from deepseek_core.discovery.triage import triage

        points = scan()
        rows = tuple(row for _point, row in triage(points, switches))
        return rows, unknown_names(switches, points)
    from deepseek_core.discovery.loader import discover

    registry = discover(switches)
    rows = _probed(registry, probe=args.probe) if registry.devices else registry.plugins
    return rows, registry.notices


def _probed(registry: Registry, *, probe: bool) -> tuple[PluginRow, ...]:
    """The rows in the light of a probe, or of what an earlier one left in the cache."""
    from deepseek_core.discovery.folders import cache_dir, cache_to_read
    from deepseek_core.discovery.probe_cache import cached_probes
    from deepseek_core.discovery.probe_result import with_probes

    if not probe:
        folder = cache_to_read()
        known = () if folder is None else cached_probes(registry, folder)
        return with_probes(registry.plugins, known)
    from deepseek_core.discovery.probe import probe_devices

    timeout_s = registry.switches.probe_timeout_s
    results = probe_devices(registry, timeout_s=timeout_s, cache_dir=cache_dir(), refresh=True)
    return with_probes(registry.plugins, results)


def _is_wanted(row: PluginRow, args: argparse.Namespace) -> bool:
    if args.status is not None and row.status != args.status:
        return False
    if args.hook is not None and args.hook not in row.hooks:
        return False
    return args.kind is None or args.kind in row.kinds


def _print_json(rows: Iterable[PluginRow]) -> None:

    answer = {
        "schema": 1,
        "core": core_version(),
        "api": [API[0]],
        "plugins": [row.to_json() for row in rows],
    }
    print_json(answer, indent=2)


def _print_text(rows: Sequence[PluginRow], *, verbose: bool) -> None:
    if not rows:
        print_lines("no such plugins are installed")
    elif verbose:
        print_text("\n\n".join(_paragraph(row) for row in rows))
    else:
        print_table(_HEADER, [_cells(row) for row in rows])


def _cells(row: PluginRow) -> tuple[str, ...]:
    provides = ", ".join(row.provides)
    unusable = row.status not in (Status.AVAILABLE, None)
    return (
        row.name,
        ", ".join(row.kinds) or "-",
        row.dist,
        row.version,
        row.api,
        row.status or "-",
        "-" if row.load_ms is None else f"{row.load_ms:.1f}ms",
        (f"({provides})" if unusable and provides else provides) or "-",
        row.why or ("not loaded" if row.status is None else ""),
    )


def _paragraph(row: PluginRow) -> str:
    lines = [f"{row.name}: {row.status or 'not loaded'}"]
    for key, value in row.to_json().items():
        text = ", ".join(map(str, value)) if isinstance(value, list) else value
        if text not in (None, "") and key not in ("name", "status"):
            lines.append(f"  {key:<14}{printable(str(text))}")
    return "\n".join(lines)
