"""Asking for devices: one child process for each spec, with limits.

Drivers abort, hang, fork and print; in a process of its own each of these becomes a row.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs

from deepseek_core.contracts.device import DeviceSpec
from deepseek_core.discovery import probe_cache
from deepseek_core.discovery.installing import (
    disable_setting,
    remedy_for_missing,
    remove_command,
    update_command,
)
from deepseek_core.discovery.probe_result import (
    ProbeResult,
    ended,
    failed,
    judged,
    to_rows,
    unique_ids,
)
from deepseek_core.discovery.registry import Registered, Registry
from deepseek_core.discovery.status import Status

if TYPE_CHECKING:
    from deepseek_core.discovery.isolated import Children, Outcome

_HUNG_FOR_S: Final = 60.0


def probe_devices(
    registry: Registry, *, timeout_s: float, cache_dir: Path, refresh: bool = False
) -> tuple[ProbeResult, ...]:
    """Ask each device spec for its devices, at most `timeout_s` seconds each.

    Takes results that are still valid from the cache, unless `refresh`; one that complains is
    asked for again, so that a remedy which was followed counts at once. That the machine has no
    such hardware is no complaint. The order is that of `registry.devices`. A device id that two
    specs report is available in neither.
    """
    devices = registry.devices
    known = [None if refresh else _recall(device, timeout_s, cache_dir) for device in devices]
    todo = [device for device, result in zip(devices, known, strict=True) if result is None]
    fresh = iter(_ask_all(registry, todo, timeout_s))
    results = [next(fresh) if result is None else result for result in known]
    for device, result in zip(devices, results, strict=True):
        if not result.cached:
            probe_cache.write(device, result, cache_dir)
    return unique_ids(results)


def _ask_all(
    registry: Registry, todo: Sequence[Registered[DeviceSpec]], timeout_s: float
) -> Sequence[ProbeResult]:
    if not todo:
        return ()
    from deepseek_core.discovery.isolated import Children  # what a child process needs

    children = Children(registry.switches, timeout_s=timeout_s, resolved=registry.resolved)
    return children.each(lambda device: _asked(device, children), todo)


def _recall(
    device: Registered[DeviceSpec], timeout_s: float, cache_dir: Path
) -> ProbeResult | None:
    result = probe_cache.read(device, cache_dir)
    if result is None or not result.complains or result.is_absent:
        return result
    # Each time again, what hangs would cost all of its time; for a moment it is believed.
    hung = result.status is Status.BROKEN and result.seconds >= timeout_s
    return result if hung and time.time() - result.checked_at < _HUNG_FOR_S else None


def _asked(device: Registered[DeviceSpec], children: Children) -> ProbeResult:
    if not device.usable:
        found = ended(device, Status.UNAVAILABLE, device.reason, device.remedy)
        return attrs.evolve(found, checked_at=time.time())
    told = dict(device.settings)
    outcome = children.ask("probe", locator=device.record.probe, settings=told)
    result = _with_leftovers(_interpreted(device, outcome, children.timeout_s), outcome)
    return attrs.evolve(result, seconds=outcome.seconds, checked_at=time.time())


def _interpreted(device: Registered[DeviceSpec], outcome: Outcome, timeout_s: float) -> ProbeResult:
    answer = outcome.answer
    if answer is None:
        disable = disable_setting(device.plugin)
        longer = f"DEEPSEEK_PROBE_TIMEOUT={3 * timeout_s:g} (or {disable})"
        hung = outcome.code is None and not outcome.nbytes
        reason = outcome.ending("the probe", timeout_s)
        return failed(device, reason, longer if hung else None)
    try:
        if "error" in answer:
            return _raised(device, answer["error"])
        return judged(device, to_rows(answer["rows"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return failed(device, f"the probe's answer does not fit: {error}")


def _raised(device: Registered[DeviceSpec], error: Mapping[str, Any]) -> ProbeResult:
    reason = " ".join(error["text"].split()).removesuffix(":")
    remedy = error["remedy"]
    if error.get("module"):
        help_ = remedy_for_missing([error["module"]], device.dist)
        remedy = f"{help_} (or {remove_command(device.dist)})"
    broken = failed(device, reason, remedy)
    return attrs.evolve(broken, status=Status.UNAVAILABLE) if error["expected"] else broken


def _with_leftovers(result: ProbeResult, outcome: Outcome) -> ProbeResult:
    """A probe that works but leaves processes behind: they are gone, and its author is told."""
    if not outcome.left or result.reason is not None:
        return result
    count = "a process" if outcome.left == 1 else f"{outcome.left} processes"
    reason = f"its probe left {count} behind, which was ended"
    return attrs.evolve(result, reason=reason, remedy=update_command(result.dist))
