"""`ds-sdk devices`: what the plugins' probes find on this machine."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from deepseek_core.cli.answer import print_json, print_lines, print_note
from deepseek_core.cli.executor_options import add_executor_arguments, with_address
from deepseek_core.cli.table import print_table
from deepseek_core.contracts.device import DeviceInfo
from deepseek_core.contracts.units import format_bytes
from deepseek_core.discovery.folders import cache_dir
from deepseek_core.discovery.loader import discover
from deepseek_core.discovery.probe import probe_devices
from deepseek_core.discovery.probe_result import ProbeResult
from deepseek_core.discovery.status import Status

if TYPE_CHECKING:
    from deepseek_core.discovery.registry import Registry
    from deepseek_core.runtime.readings import Readings

SUMMARY = "list the devices that plugins find"
EXAMPLES = """examples:
  ds-sdk devices
  ds-sdk devices --refresh --json
  ds-sdk devices --telemetry                   temperatures, loads, free memory
  ds-sdk devices --executor ray                those of every node of a cluster"""

_HEADER = ("ID", "KIND", "NAME", "EVIDENCE", "MEMORY", "DRIVER", "STATUS", "WHY / FIX")
_READINGS = ("ID", "READING", "VALUE")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_executor_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print JSON, schema 1")
    parser.add_argument("--refresh", action="store_true", help="ask again instead of the cache")
    parser.add_argument(
        "--telemetry", action="store_true", help="open each device and show what it reads now"
    )


def run(args: argparse.Namespace) -> int:
    """Print the devices; none at all is no failure of this command."""
    settings = with_address(args, {})
    results, readings = _here(args) if args.executor is None else _elsewhere(args, settings)
    if args.json:
        _print_json(results, readings)
    elif readings:
        print_table(_READINGS, [cells for found in readings for cells in _told(found)])
    elif results:
        print_table(_HEADER, [cells for result in results for cells in _cells(result)])
    else:
        print_lines("no plugin offers devices; ds-sdk list-plugins shows what is installed")
    return 0


Found = tuple[Sequence[ProbeResult], list["Readings"] | None]


def _here(args: argparse.Namespace) -> Found:
    registry = discover()
    for row in registry.plugins:
        if row.status is Status.UNAVAILABLE:  # its devices have no row of their own
            told = f"plugin {row.name} is {row.status}: {_why(row.reason, row.remedy)}"
            print_note(told)
    results = probe_devices(
        registry,
        timeout_s=registry.switches.probe_timeout_s,
        cache_dir=cache_dir(),
        refresh=args.refresh,
    )
    return results, _readings(registry) if args.telemetry else None


def _elsewhere(args: argparse.Namespace, settings: dict[str, dict[str, object]]) -> Found:
    """What a session with that executor has."""
    from deepseek_core.runtime.readings import readings
    from deepseek_core.runtime.session import Session

    with Session(executor=args.executor, settings=settings, refresh_probes=args.refresh) as session:
        pool = session.planner.pool
        results = [
            ProbeResult(
                spec=offer.spec,
                plugin=offer.plugin,
                dist=offer.dist,
                rows=(offer.info,),
                status=Status(offer.info.status),
                reason=offer.info.reason,
                remedy=offer.info.remedy,
                checked_at=time.time(),
            )
            for offer in pool.offers
        ]
        return results, readings(pool, pool.present_ids()) if args.telemetry else None


def _readings(registry: Registry) -> list[Readings]:
    from deepseek_core.runtime.readings import readings
    from deepseek_core.runtime.session import Session

    limit_s = registry.switches.probe_timeout_s
    with Session(registry=registry, limits={"ask_s": limit_s, "open_s": limit_s}) as session:
        pool = session.planner.pool
        return readings(pool, pool.present_ids())


def _told(found: Readings) -> Iterator[tuple[str, ...]]:
    for name, value in found.values.items():
        yield found.device_id, name, "not observable" if value is None else f"{value:.6g}"
    if not found.values:
        yield found.device_id, "-", found.reason or "it offers no readings"


def _print_json(results: Sequence[ProbeResult], readings: Sequence[Readings] | None) -> None:

    devices = [entry for result in results for entry in _entries(result)]
    read = {found.device_id: found for found in readings or ()}
    for entry in devices if readings is not None else ():
        found = read.get(str(entry["id"]))
        entry["telemetry"] = dict(found.values) if found and not found.reason else None
        entry["telemetry_reason"] = found.reason if found else entry["reason"]
    print_json({"schema": 1, "devices": devices}, indent=2)


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
