"""The open device that the rules of devices work on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from inspect import signature
from pathlib import Path
from typing import Any, ClassVar

import pytest

from deepseek_core.contracts.device import Device, DeviceInfo, Executable, LoadOptions, OpenOptions
from deepseek_core.contracts.task import LatencyClass
from deepseek_core.discovery.registry import Registered
from deepseek_core.testing.device_case import DeviceCase
from deepseek_core.testing.plugin import PluginConformance
from deepseek_core.testing.subject import load


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
        probe = load(spec, spec.record.probe)
        wants = "settings" in signature(probe).parameters
        return list(probe(settings=dict(spec.settings)) if wants else probe())

    @pytest.fixture
    def info(self, rows: list[DeviceInfo]) -> DeviceInfo:
        """The row of `device_id`, or the first that is available."""
        mine = [r for r in rows if r.id == self.device_id or not self.device_id]
        mine.sort(key=lambda row: row.status != "available")
        if not mine and any(row.status != "available" for row in rows):
            pytest.skip(f"no hardware: {rows[0].reason} -> {rows[0].remedy}")
        assert mine, f"the probe finds {[r.id for r in rows]}, not {self.device_id!r}"
        if mine[0].status != "available":
            pytest.skip(f"no hardware: {mine[0].reason} -> {mine[0].remedy}")
        return mine[0]

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
