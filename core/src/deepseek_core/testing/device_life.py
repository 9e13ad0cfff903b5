"""Threads, closing and caches of devices: what outlasts a single run."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import attrs
import pytest

from deepseek_core.contracts.device import Device, DeviceInfo
from deepseek_core.contracts.errors import DeviceClosed, DeviceUnavailable
from deepseek_core.contracts.task import LatencyClass
from deepseek_core.discovery.registry import Registered
from deepseek_core.testing.device_base import DeviceRules
from deepseek_core.testing.leaks import check_releases


class LifeRules(DeviceRules):
    """Rules over the life of a device."""

    empty_batch: ClassVar[bool] = True

    def test_an_id_that_is_not_there_is_refused(
        self, spec: Registered[Any], info: DeviceInfo, tmp_path: Path
    ) -> None:
        """Opening it is `DeviceUnavailable`, not another device."""
        with pytest.raises(DeviceUnavailable):
            self._open(spec, _renamed(info), tmp_path)

    def test_other_threads_run_it(self, device: Device) -> None:
        """Threads run it, as many at once as it has slots, none of them the one that loaded it."""
        case = self.cases()[0]
        for latency in LatencyClass:
            run = self._load(device, case, latency).run
            with ThreadPoolExecutor(device.concurrency(latency).slots) as pool:
                for outputs in pool.map(run, [case.inputs] * 24):
                    case.check(outputs)

    def test_a_closed_executable_says_so(self, device: Device) -> None:
        """Closing twice is fine; running after it is `DeviceClosed`."""
        case = self.cases()[0]
        executable = self._load(device, case)
        executable.close()
        executable.close()
        with pytest.raises(DeviceClosed):
            executable.run(case.inputs)

    def test_executables_close_in_any_order(self, device: Device) -> None:
        """One that is closed takes none of the others with it."""
        case = self.cases()[0]
        first, second, third = (self._load(device, case) for _ in range(3))
        second.close()
        case.check(third.run(case.inputs))
        first.close()
        case.check(third.run(case.inputs))

    def test_a_closed_device_says_so(self, device: Device) -> None:
        """Closing twice is fine; loading after it is `DeviceClosed`, running too."""
        case = self.cases()[0]
        executable = self._load(device, case)
        device.close()
        device.close()
        with pytest.raises(DeviceClosed):
            self._load(device, case)
        with pytest.raises(DeviceClosed):
            executable.run(case.inputs)
        executable.close()

    def test_two_openings_do_not_disturb_each_other(
        self, spec: Registered[Any], info: DeviceInfo, tmp_path: Path
    ) -> None:
        """Two sessions may hold the device; the end of one is not the end of the other."""
        case = self.cases()[0]
        first, second = (self._open(spec, info, tmp_path) for _ in range(2))
        executable = self._load(second, case)
        self._load(first, case)
        first.close()
        case.check(executable.run(case.inputs))
        second.close()

    def test_closing_leaves_no_thread_and_no_file(
        self, spec: Registered[Any], info: DeviceInfo, tmp_path: Path
    ) -> None:
        """Sessions come and go in one process."""
        case = self.cases()[0]

        def use() -> None:
            device = self._open(spec, info, tmp_path)
            self._load(device, case).run(case.inputs)
            device.close()

        check_releases(use)

    def test_a_cache_gives_the_same_answers(
        self, spec: Registered[Any], info: DeviceInfo, tmp_path: Path
    ) -> None:
        """A second opening, which finds what the first one cached, computes the same."""
        for _ in range(2):
            self._answer_all(spec, info, tmp_path)

    def test_a_damaged_cache_is_built_again(
        self, spec: Registered[Any], info: DeviceInfo, tmp_path: Path
    ) -> None:
        """Files that were cut off, emptied or replaced cost time, never an answer."""
        self._answer_all(spec, info, tmp_path)
        if not _files(tmp_path):
            pytest.skip("not applicable: it caches nothing")
        for damage in (lambda content: content[: len(content) // 2], lambda _: b"", _junk):
            for file in _files(tmp_path):
                file.write_bytes(damage(file.read_bytes()))
            self._answer_all(spec, info, tmp_path)

    def _answer_all(self, spec: Registered[Any], info: DeviceInfo, folder: Path) -> None:
        device = self._open(spec, info, folder)
        try:
            for case in self.cases():
                case.check(self._load(device, case).run(case.inputs))
        finally:
            device.close()


def _renamed(info: DeviceInfo) -> DeviceInfo:
    return attrs.evolve(info, id="nobody:99")


def _junk(content: bytes) -> bytes:
    return b"\x00junk" * (len(content) // 5 + 1)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
