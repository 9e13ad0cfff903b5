"""Batches of many sizes, many runs in a row: what goes wrong only with time or with size."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np

from deepseek_core.contracts.device import Device, Executable
from deepseek_core.contracts.stage import Task
from deepseek_core.testing.device_base import DeviceRules
from deepseek_core.testing.device_case import DeviceCase
from deepseek_core.testing.growth import growth

_PRIMES: Final = (3, 5, 7, 11, 13, 61, 97, 251, 509, 1021, 2039)
_POWERS: Final = tuple(2**n + d for n in range(2, 13) for d in (-1, 0, 1))
SIZES: Final = tuple(sorted({2, *_PRIMES, *_POWERS, 100, 1000, 3000}))
"""Batches to try: kernels go wrong at the borders of their blocks."""

_MOST_NBYTES: Final = 64 << 20
_SIZES_S: Final = 6.0
_RUNS_S: Final = 2.0
_RUNS: Final = 300
_QUESTIONS: Final = 20


class SteadyRules(DeviceRules):
    """Rules over sizes and over many runs."""

    def test_batches_of_any_size_are_right(
        self, device: Device, record_property: Callable[[str, object], None]
    ) -> None:
        """Odd, prime, powers of two and their neighbors, up to 4097: each item as it is alone."""
        largest = 0
        for case in self.cases():
            executable, start_s = self._load(device, case), time.monotonic()
            for larger in _of_sizes(case):
                larger.check(executable.run(larger.inputs))
                largest = max(largest, larger.count or 0)
                if time.monotonic() - start_s > _SIZES_S:
                    break
            executable.close()
        record_property("note", f"up to {largest} items" if largest else "no case has a free batch")

    def test_equal_questions_get_equal_estimates(self, device: Device) -> None:
        """Nothing was run in between: a plan must not change from one look to the next."""
        for case in self.cases():
            for batch in (1, 3, 64):
                task = Task(stage=case.stage, batch=batch)
                told = {repr(device.estimate(task)) for _ in range(_QUESTIONS)}
                assert len(told) == 1, f"a batch of {batch}: {' and '.join(sorted(told)[:2])}"

    def test_inputs_stay_as_they_are(self, device: Device) -> None:
        """They are the caller's: an array that could be written to is not."""
        for case in self.cases():
            given = {name: array.copy() for name, array in case.inputs.items()}
            self._load(device, case).run(given)
            for name, array in case.inputs.items():
                assert given[name].tobytes() == array.tobytes(), f"it wrote to input {name!r}"

    def test_earlier_runs_change_no_answer(self, device: Device) -> None:
        """The same batch gives the same after hundreds of others, of this stage and of others."""
        runs = [(case, self._load(device, case), _others(case)) for case in self.cases()]
        start_s = time.monotonic()
        for _ in range(_RUNS):
            for case, executable, other in runs:
                executable.run(other.inputs)
                case.check(executable.run(case.inputs))
            if time.monotonic() - start_s > _RUNS_S:
                break

    def test_memory_does_not_grow_with_runs(self, device: Device) -> None:
        """A service runs for months: memory that a run takes is freed."""
        for case in self.cases():
            grown = growth(_runner(self._load(device, case), case))
            assert grown is None, grown


def _of_sizes(case: DeviceCase) -> Iterator[DeviceCase]:
    count = case.count
    if count is None or not case.any_batch:
        return
    item_nbytes = sum(a.nbytes for a in (*case.inputs.values(), *case.expected.values())) / count
    for size in SIZES:
        if size * item_nbytes <= _MOST_NBYTES:
            yield case.repeated(size)


def _others(case: DeviceCase) -> DeviceCase:
    """Other values, in a batch of another size where it is free."""
    larger = case.repeated(case.count + 1) if case.count is not None and case.any_batch else case
    zeros = {name: np.zeros_like(array) for name, array in larger.inputs.items()}
    return DeviceCase(stage=case.stage, inputs=zeros, expected={})


def _runner(executable: Executable, case: DeviceCase) -> Callable[[], object]:
    return lambda: executable.run(case.inputs)
