"""`ds-sdk devices`: what the plugins' probes find on this machine."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence

from deepseek_core.cli.table import print_table
from deepseek_core.contracts.device import DeviceInfo
from deepseek_core.contracts.units import format_bytes
from deepseek_core.discovery.folders import cache_dir
from deepseek_core.discovery.loader import discover
from deepseek_core.discovery.probe import probe_devices
from deepseek_core.discovery.probe_result import ProbeResult

SUMMARY = "list the devices that plugins find"
EXAMPLES = """examples:
  ds-sdk devices
  ds-sdk devices --refresh --json"""

_HEADER = ("ID", "KIND", "NAME", "EVIDENCE", "MEMORY", "DRIVER", "STATUS", "WHY / FIX")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--json", action="store_true", help="print JSON, schema 1")
    parser.add_argument("--refresh", action="store_true", help="ask again instead of the cache")


def run(args: argparse.Namespace) -> int:
    """Print the devices; none at all is no failure of this command."""
    registry = discover()
    results = probe_devices(
        registry,
        timeout_s=registry.switches.probe_timeout_s,
        cache_dir=cache_dir(),
        refresh=args.refresh,
    )
    if args.json:
        _print_json(results)
    elif results:
        print_table(_HEADER, [cells for result in results for cells in _cells(result)])
    else:
        print("no plugin offers devices; ds-sdk list-plugins shows what is installed")
    return 0


def _print_json(results: Sequence[ProbeResult]) -> None:
    import json

    devices = [entry for result in results for entry in _entries(result)]
    json.dump({"schema": 1, "devices": devices}, sys.stdout, indent=2)
    print()


def _entries(result: ProbeResult) -> Iterator[dict[str, object]]:
    origin = {
        "spec": result.spec.name,
        "plugin": result.plugin,
        "dist": result.dist,
        "cached": result.cached,
        "checked_at": result.checked_at,
        "seconds": result.seconds,
    }
    for row in result.rows:
        yield _entry(row) | origin
    if not result.rows:
        yield (
            _entry(None)
            | origin
            | {
                "kind": result.spec.kind,
                "status": result.status,
                "reason": result.reason,
                "remedy": result.remedy,
            }
        )


def _entry(row: DeviceInfo | None) -> dict[str, object]:
    """Every key of a device; None where a probe found none."""
    names = (
        "id", "kind", "name", "evidence", "fingerprint", "vendor", "driver", "mem_bytes",
        "uses_host_cores", "status", "reason", "remedy",
    )  # fmt: skip
    return {name: getattr(row, name, None) for name in names}


def _cells(result: ProbeResult) -> Iterator[tuple[str, ...]]:
    for row in result.rows:
        memory = "-" if row.mem_bytes is None else format_bytes(row.mem_bytes)
        driver, why = row.driver or "-", _why(row.reason, row.remedy)
        yield row.id, row.kind, row.name, row.evidence, memory, driver, row.status, why
    if not result.rows:
        why = _why(result.reason, result.remedy)
        yield f"({result.spec.name})", result.spec.kind, "-", "-", "-", "-", result.status, why


def _why(reason: str | None, remedy: str | None) -> str:
    return " -> ".join(part for part in (reason, remedy) if part)
