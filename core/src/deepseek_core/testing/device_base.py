"""The open device that the rules of devices work on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from deepseek_core.contracts.device import Device, DeviceInfo, Executable, LoadOptions, OpenOptions
from deepseek_core.contracts.task import LatencyClass
from deepseek_core.discovery.registry import Registered
from deepseek_core.discovery.status import Status
from deepseek_core.testing.device_case import DeviceCase
from deepseek_core.testing.plugin import PluginConformance
from deepseek_core.testing.subject import ask, load, probed


class DeviceRules(PluginConformance):
    """Fixtures and helpers; the rules stand in the modules beside this one."""

    kind = "device"
    device_id: ClassVar[str] = ""

    def cases(self) -> Sequence[DeviceCase]:
        """Work that the device supports, with right answers."""
        raise NotImplementedError("return at least one DeviceCase from cases(self)")

    @pytest.fixture
    def rows(self, spec: Registered[Any]) -> list[DeviceInfo]:
        """What the probe finds."""
        return rows_of(spec)

    @pytest.fixture
    def info(self, rows: list[DeviceInfo]) -> DeviceInfo:
        """The row of `device_id`, or the first that is available."""
        return chosen(self.device_id, rows)

    @pytest.fixture
    def device(self, spec: Registered[Any], info: DeviceInfo, tmp_path: Path) -> Iterator[Device]:
        """The open device."""
        device = self._open(spec, info, tmp_path)
        yield device
        device.close()

    def _open(self, spec: Registered[Any], info: DeviceInfo, folder: Path) -> Device:
        factory = load(spec, spec.record.factory)
        options = OpenOptions(threads=1, cache_dir=folder, settings=dict(spec.settings))
        device: Device = factory(info.id, options)
        return device

    def _load(
        self, device: Device, case: DeviceCase, latency: LatencyClass = LatencyClass.OFFLINE
    ) -> Executable:
        return device.load(case.stage, LoadOptions(latency=latency))


def rows_of(spec: Registered[Any]) -> list[DeviceInfo]:
    """What the probe finds; a probe that gives no answer is asked in a process of its own only."""
    found = next(result for result in probed(spec.plugin) if result.spec == spec.record)
    if found.status is Status.BROKEN:
        pytest.skip(f"its probe gives no answer: {found.reason} -> {found.remedy}")
    return ask(spec)


def chosen(device_id: str, rows: list[DeviceInfo]) -> DeviceInfo:
    """The row of this id, or the first that is available; without hardware the rule is skipped."""
    mine = [row for row in rows if row.id == device_id or not device_id]
    mine.sort(key=lambda row: row.status != "available")
    if not mine and any(row.status != "available" for row in rows):
        pytest.skip(f"no hardware: {rows[0].reason} -> {rows[0].remedy}")
    assert mine, f"the probe finds {[r.id for r in rows]}, not {device_id!r}"
    if mine[0].status != "available":
        pytest.skip(f"no hardware: {mine[0].reason} -> {mine[0].remedy}")
    return mine[0]
