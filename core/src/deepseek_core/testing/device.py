"""What every device promises, as tests that a plugin inherits."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import attrs
import numpy as np
import pytest

from deepseek_core.contracts.device import Device, DeviceInfo, Executable, LoadOptions, OpenOptions
from deepseek_core.contracts.errors import DeviceClosed, Unsupported
from deepseek_core.contracts.graph import Array, Operation, Stage, Task
from deepseek_core.discovery.loader import discover
from deepseek_core.discovery.modules import HEAVY
from deepseek_core.discovery.registry import Registered, load_locator

_ESTIMATE_S = 2e-3  # generous: the contract says about 20 microseconds on a quiet machine


@attrs.frozen(kw_only=True, eq=False)
class DeviceCase:
    """A stage with inputs and the outputs that are right for them.

    `rtol` and `atol` bound the difference; zero for both asks for equal bits.
    """

    stage: Stage
    inputs: Mapping[str, Array]
    expected: Mapping[str, Array]
    rtol: float = 0.0
    atol: float = 0.0

    def check(self, outputs: Mapping[str, Array]) -> None:
        """Compare outputs by name, dtype, shape and value."""
        for name, right in self.expected.items():
            assert name in outputs, f"output {name!r} is missing"
            assert outputs[name].dtype == right.dtype, name
            assert outputs[name].shape == right.shape, name
            np.testing.assert_allclose(outputs[name], right, rtol=self.rtol, atol=self.atol)


class DeviceConformance:
    """Inherit it as `Test...`, set `plugin` and `device_id`, and return real `cases`."""

    __test__ = False
    plugin: ClassVar[str]
    device_id: ClassVar[str]

    def __init_subclass__(cls) -> None:
        cls.__test__ = True

    def cases(self) -> Sequence[DeviceCase]:
        """Work that the device supports, with right answers."""
        raise NotImplementedError("return at least one DeviceCase")

    @pytest.fixture
    def spec(self) -> Registered[Any]:
        """The device's record as discovery finds it."""
        found = [d for d in discover().devices if d.plugin == self.plugin]
        assert found, f"plugin {self.plugin!r} registers no device"
        return found[0]

    @pytest.fixture
    def device(self, spec: Registered[Any], tmp_path: Path) -> Iterator[Device]:
        """The open device."""
        factory = load_locator(spec.record.factory, plugin=self.plugin)
        device: Device = factory(self.device_id, OpenOptions(threads=1, cache_dir=tmp_path))
        yield device
        device.close()

    def _load(self, device: Device, case: DeviceCase) -> Executable:
        return device.load(case.stage, LoadOptions())

    def test_listing_imports_nothing_heavy(self, spec: Registered[Any]) -> None:
        """Naming the plugin in a fresh interpreter loads no heavy library and prints nothing."""
        code = (
            "import sys; from deepseek_core.discovery.loader import discover; discover();"
            f"print(*sorted(set({sorted(HEAVY)!r}) & set(sys.modules)), file=sys.stderr)"
        )
        run = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False
        )
        assert (run.stdout, run.stderr.strip(), run.returncode) == ("", "", 0), spec.plugin

    def test_the_probe_finds_the_device(self, spec: Registered[Any]) -> None:
        """Rows are records with unique ids and a fingerprint."""
        rows = list(load_locator(spec.record.probe, plugin=self.plugin)())
        assert all(isinstance(row, DeviceInfo) for row in rows)
        assert len({row.id for row in rows}) == len(rows)
        mine = {row.id: row for row in rows}[self.device_id]
        assert mine.fingerprint

    def test_a_refusal_has_a_reason(self, device: Device) -> None:
        """An operation that nobody knows is refused in words."""
        support = device.supports(Operation(name="Nonsense", domain="nobody.knows"))
        assert not support
        assert support.reason

    def test_it_supports_what_its_cases_need(self, device: Device) -> None:
        """Every operation of every case."""
        for case in self.cases():
            assert all(device.supports(op) for op in case.stage.operations)

    def test_estimates_are_quick_and_grow(self, device: Device) -> None:
        """Finite, positive, not shrinking with the batch."""
        for case in self.cases():
            small, large = (device.estimate(Task(stage=case.stage, batch=b)) for b in (1, 64))
            assert 0 < small.seconds <= large.seconds
            assert small.sigma >= 0
            start_s = time.perf_counter()
            for _ in range(50):
                device.estimate(Task(stage=case.stage, batch=8))
            assert (time.perf_counter() - start_s) / 50 < _ESTIMATE_S

    def test_answers_are_right(self, device: Device) -> None:
        """Names, dtypes, shapes, values; again on a second run."""
        for case in self.cases():
            executable = self._load(device, case)
            executable.warmup(len(next(iter(case.inputs.values()))))
            for _ in range(2):
                case.check(executable.run(case.inputs))
            assert executable.device_id == self.device_id

    def test_inputs_may_be_strided_and_read_only(self, device: Device) -> None:
        """A view with gaps gives the same answers and is not written to."""
        for case in self.cases():
            views = {name: _strided(array) for name, array in case.inputs.items()}
            case.check(self._load(device, case).run(views))

    def test_bound_calls_see_new_values(self, device: Device) -> None:
        """Write into the bound inputs, call, read the bound outputs."""
        for case in self.cases():
            inputs = {n: np.zeros_like(a) for n, a in case.inputs.items()}
            outputs = {n: np.zeros_like(a) for n, a in case.expected.items()}
            call = self._load(device, case).bind(inputs, outputs)
            call()
            for name, array in case.inputs.items():
                inputs[name][...] = array
            call()
            case.check(call.outputs)

    def test_eight_threads_submit_at_once(self, device: Device) -> None:
        """Jobs from many threads all come out right."""
        case = self.cases()[0]
        executable = self._load(device, case)
        with ThreadPoolExecutor(8) as pool:
            jobs = list(pool.map(lambda _: executable.submit(case.inputs), range(24)))
        for job in jobs:
            case.check(job.result(timeout_s=60))

    def test_a_closed_executable_says_so(self, device: Device) -> None:
        """Closing twice is fine; running after it is `DeviceClosed`."""
        case = self.cases()[0]
        executable = self._load(device, case)
        executable.close()
        executable.close()
        with pytest.raises(DeviceClosed):
            executable.run(case.inputs)

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

    def test_an_unsupported_stage_does_not_load(self, device: Device) -> None:
        """It raises `Unsupported`, it does not run something else."""
        stage = attrs.evolve(
            self.cases()[0].stage, operations=[Operation(name="Nonsense", domain="nobody.knows")]
        )
        with pytest.raises(Unsupported):
            device.load(stage, LoadOptions())


def _strided(array: Array) -> Array:
    """The same values in every second place of a larger, read-only array."""
    wide = np.empty((*array.shape[:-1], 2 * array.shape[-1]) if array.ndim else (), array.dtype)
    view = wide[..., ::2] if array.ndim else wide
    view[...] = array
    view.flags.writeable = False
    return view
