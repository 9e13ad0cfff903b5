"""A row of `ds-sdk doctor`: whether PoCL's private structure is patched on this CPU."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from deepseek_core import Finding
from deepseek_fpga.opening import PATCH_REMEDY, UNPATCHED
from deepseek_fpga.platforms import DeviceRecord, vendor_devices
from deepseek_fpga.pocl_target import (
    OTHER_POCL,
    SWITCH,
    UNKNOWN_CPU,
    ensure_known_cpu,
    is_unknown_cpu,
)
from deepseek_fpga.settings import Settings


def check_pocl(settings: Mapping[str, object]) -> Iterable[Finding]:
    """A finding for each PoCL device; it is patched here as an open device would be."""
    switched_on = Settings.of(settings).pocl_patch
    found = list(_findings(switched_on))
    return found or [Finding(status="ok", text="no PoCL here, so nothing of it is patched")]


def _findings(switched_on: bool) -> Iterator[Finding]:
    for record, device in vendor_devices():
        if "PoCL" not in record.platform_version:
            continue
        if not is_unknown_cpu(record.platform_version, record.device_version):
            text = f"{record.id}: PoCL knows this CPU; nothing of it is patched"
            yield Finding(status="ok", text=text)
        else:
            yield _of_unknown_cpu(record, device, switched_on)


def _of_unknown_cpu(record: DeviceRecord, device: Any, switched_on: bool) -> Finding:
    if not switched_on:
        text = f"{record.id}: {UNPATCHED}: it builds nothing"
        return Finding(status="warn", text=text, remedy=PATCH_REMEDY)
    target = ensure_known_cpu(device, record.platform_version, record.device_version)
    if target is None:
        text = f"{record.id}: {UNKNOWN_CPU}, and its structure is not as expected: left untouched"
        return Finding(status="warn", text=text, remedy=OTHER_POCL)
    text = f"{record.id}: {UNKNOWN_CPU}; patched in memory, code is compiled for {target}"
    return Finding(status="ok", text=text, remedy=f"{SWITCH}=false turns that off")
