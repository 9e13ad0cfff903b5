"""What every device promises, as tests that a plugin inherits."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final

import attrs
import numpy as np
import pytest

from deepseek_core.contracts.device import Device, DeviceInfo, LoadOptions
from deepseek_core.contracts.errors import Unsupported
from deepseek_core.contracts.stage import Array, Operation, Stage, Task
from deepseek_core.discovery.registry import Registered
from deepseek_core.testing.device_base import DeviceRules, chosen, rows_of
from deepseek_core.testing.device_case import DeviceCase
from deepseek_core.testing.device_life import LifeRules
from deepseek_core.testing.device_steady import SteadyRules
from deepseek_core.testing.operators import OperatorRules
from deepseek_core.testing.traces import TraceRules

_ESTIMATE_S: Final = 2e-3  # generous: the contract says about 20 microseconds on a quiet machine
_NOBODYS: Final = Operation(name="Nonsense", domain="nobody.knows")


class DeviceConformance(LifeRules, SteadyRules, OperatorRules, TraceRules, DeviceRules):
    """Inherit it as `Test...`, set `plugin` and `device_id`, and return real `cases`.

    `name` picks one of several records. `empty_batch` says that a batch may have no items;
    `operator_waivers` excuses tests of the ONNX suite, each with its reason.
    """

    def unsupported(self) -> Stage:
        """A stage of an operation that it does not run.

        By default a case's with another operation; replace it where a device goes by the artifact.
        """
        return attrs.evolve(self.cases()[0].stage, operations=[_NOBODYS])

    def prepare(self, spec: Registered[Any], folder: Path) -> None:
        """Ask the probe, which rules of its own look at."""
        self._used = chosen(self.device_id, rows_of(spec))

    def use(self, spec: Registered[Any], folder: Path) -> None:
        """Open it, ask it, let it run every case, and close it."""
        device = self._open(spec, self._used, folder)
        for case in self.cases():
            device.estimate(Task(stage=case.stage, batch=1))
            self._load(device, case).run(case.inputs)
        device.telemetry()
        device.close()

    def test_the_probe_finds_the_device(self, info: DeviceInfo, rows: list[DeviceInfo]) -> None:
        """Rows are records with unique ids and a fingerprint."""
        assert all(isinstance(row, DeviceInfo) for row in rows)
        assert len({row.id for row in rows}) == len(rows)
        assert info.fingerprint, "costs are kept by fingerprint, and it has none"

    def test_the_device_is_the_one_of_the_probe(self, device: Device, info: DeviceInfo) -> None:
        """Id, kind and fingerprint are those that the probe told."""
        mine, told = device.info, info
        assert (mine.id, mine.kind, mine.fingerprint) == (told.id, told.kind, told.fingerprint)

    def test_a_refusal_has_a_reason(self, device: Device) -> None:
        """An operation that nobody knows is refused in words."""
        support = device.supports(_NOBODYS)
        assert not support
        assert support.reason

    def test_it_supports_what_its_cases_need(self, device: Device) -> None:
        """Every operation of every case."""
        for case in self.cases():
            assert all(device.supports(op) for op in case.stage.operations)

    def test_its_record_names_its_operators(self, device: Device, spec: Registered[Any]) -> None:
        """All or none: it is not asked about what `DeviceSpec.operators` leaves out."""
        named = frozenset(spec.record.operators)
        for case in self.cases() if named else ():
            if case.stage.artifact.format not in spec.record.whole_formats:
                left_out = sorted(case.stage.operators - named)
                assert not left_out, f"it runs {left_out}, which its record does not name"

    def test_estimates_are_quick_and_grow(self, device: Device) -> None:
        """Finite, positive, not shrinking with the batch; without I/O or measuring."""
        for case in self.cases():
            small, large = (device.estimate(Task(stage=case.stage, batch=b)) for b in (1, 64))
            assert 0 < small.seconds <= large.seconds
            # The quickest of fifty: what it can do, not what a busy machine made of it.
            assert min(_seconds(device, case) for _ in range(50)) < _ESTIMATE_S

    def test_answers_are_right(self, device: Device) -> None:
        """Names, dtypes, shapes, values; again on a second run."""
        for case in self.cases():
            executable = self._load(device, case)
            executable.warmup(len(next(iter(case.inputs.values()))))
            for _ in range(2):
                case.check(executable.run(case.inputs))

    def test_an_executable_says_what_it_is(self, device: Device) -> None:
        """An executable names its device and its stage: what ran where is part of a result."""
        for case in self.cases():
            executable = self._load(device, case)
            assert executable.device_id == device.info.id
            assert executable.stage is case.stage

    def test_outputs_come_to_the_host(self, device: Device) -> None:
        """`to_host` makes numpy arrays of the tensors that the device hands out."""
        for case in self.cases():
            outputs = self._load(device, case).run(case.inputs)
            arrays = {name: device.to_host(value) for name, value in outputs.items()}
            assert all(isinstance(array, np.ndarray) for array in arrays.values())
            case.check(arrays)

    def test_inputs_may_be_strided_and_read_only(self, device: Device) -> None:
        """A view with gaps gives the same answers and is not written to."""
        for case in self.cases():
            views = {name: _strided(array) for name, array in case.inputs.items()}
            case.check(self._load(device, case).run(views))

    def test_outputs_stay_as_they_are(self, device: Device) -> None:
        """A later run does not write into the arrays that an earlier one gave."""
        for case in self.cases():
            executable = self._load(device, case)
            outputs = executable.run(case.inputs)
            executable.run({name: np.zeros_like(array) for name, array in case.inputs.items()})
            case.check(outputs)

    def test_what_stays_on_the_device_is_what_would_have_come(self, device: Device) -> None:
        """`run_kept` leaves what `run` gives; later runs write into none of it."""
        if not device.keeps_tensors:
            pytest.skip("keeps_tensors = False")
        for case in self.cases():
            executable = self._load(device, case)
            left = executable.run_kept(case.inputs, frozenset(case.expected))
            executable.run({name: np.zeros_like(array) for name, array in case.inputs.items()})
            for name, right in case.expected.items():
                assert (left[name].dtype, left[name].shape) == (right.dtype, right.shape)
            for _ in range(2):
                case.check({name: device.to_host(left[name]) for name in case.expected})

    def test_outputs_are_not_the_inputs(self, device: Device) -> None:
        """Changing an input after a run changes none of its outputs."""
        for case in self.cases():
            given = {name: array.copy() for name, array in case.inputs.items()}
            outputs = self._load(device, case).run(given)
            for array in given.values():
                array[...] = np.zeros_like(array)
            case.check(outputs)

    def test_outputs_are_those_of_the_stage(self, device: Device) -> None:
        """No more of them: another name may be that of somebody else's tensor."""
        for case in self.cases():
            names = {spec.name for spec in case.stage.outputs}
            assert set(self._load(device, case).run(case.inputs)) == names

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

    def test_items_do_not_mix(self, device: Device) -> None:
        """One item alone gives what it gives among others: a server joins callers."""
        for case in self.cases():
            for alone in case.items():
                alone.check(self._load(device, alone).run(alone.inputs))

    def test_a_batch_may_be_empty(self, device: Device) -> None:
        """No item in, no item out, of the same dtypes."""
        if not self.empty_batch:
            pytest.skip("empty_batch = False")
        cases = [case for case in map(DeviceCase.emptied, self.cases()) if case is not None]
        if not cases:
            pytest.skip("not applicable: no case has a batch in all of its tensors")
        for case in cases:
            case.check(self._load(device, case).run(case.inputs))

    def test_an_unsupported_stage_does_not_load(self, device: Device) -> None:
        """It raises `Unsupported`, it does not run something else."""
        with pytest.raises(Unsupported):
            device.load(self.unsupported(), LoadOptions())

    def test_readings_are_numbers_or_nothing(self, device: Device) -> None:
        """`telemetry` gives None for what it can't see; its names are words."""
        for name, value in device.telemetry().items():
            assert name.isidentifier()
            assert value is None or isinstance(value, int | float)


def _seconds(device: Device, case: DeviceCase) -> float:
    start_s = time.perf_counter()
    device.estimate(Task(stage=case.stage, batch=8))
    return time.perf_counter() - start_s


def _strided(array: Array) -> Array:
    """The same values in every second place of a larger, read-only array."""
    shape: Any = (*array.shape[:-1], 2 * array.shape[-1]) if array.ndim else ()
    wide = np.empty(shape, array.dtype)
    view = wide[..., ::2] if array.ndim else wide
    view[...] = array
    view.flags.writeable = False
    return view
