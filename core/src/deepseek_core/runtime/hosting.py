"""A device of this process that another process uses: everything in and out is plain data."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from deepseek_core.contracts.device import Concurrency, Estimate, LoadOptions, Support
from deepseek_core.contracts.place import DeviceOffer
from deepseek_core.contracts.stage import Array, Operation, Stage, Task
from deepseek_core.contracts.task import LatencyClass, Workload
from deepseek_core.runtime.loaded import Loaded
from deepseek_core.runtime.pool import DevicePool


class HostedDevice:
    """A device, opened and guarded as in a session, whose executables go by numbers.

    Safe to use from several threads. Every method raises what the device raises: a `DeviceError`
    where it keeps its contract.
    """

    def __init__(
        self, offer: DeviceOffer, like: DevicePool, settings: Mapping[str, Mapping[str, object]]
    ) -> None:
        self._pool = like.only(offer, settings)
        self._opened = self._pool.use(offer.info.id)
        self._loaded: dict[int, Loaded] = {}
        self._numbers = itertools.count(1)
        self.workloads: frozenset[Workload] = self._opened.device.workloads

    def supports(self, operation: Operation) -> Support:
        """Do what `Device.supports` does."""
        return self._opened.supports(operation)

    def supports_stage(self, stage: Stage, latency: LatencyClass) -> Support:
        """Do what `Device.supports_stage` does."""
        return self._opened.supports_stage(stage, latency, next(iter(self.workloads)))

    def estimate(self, task: Task) -> Estimate:
        """Do what `Device.estimate` does."""
        return self._opened.estimate(task)

    def concurrency(self, latency: LatencyClass) -> Concurrency:
        """Do what `Device.concurrency` does."""
        return self._opened.takes(latency)

    def telemetry(self) -> Mapping[str, float | None]:
        """Do what `Device.telemetry` does."""
        return self._opened.ask("telemetry", lambda: dict(self._opened.device.telemetry()), dict)

    def load(self, stage: Stage, options: LoadOptions) -> int:
        """Load a stage; the number by which it is run."""
        number = next(self._numbers)
        self._loaded[number] = self._pool.load(stage, self._opened.id, options)
        return number

    def warmup(self, number: int, batch: int) -> None:
        """Do what `Executable.warmup` does."""
        self._loaded[number].warmup(batch)

    def run(self, number: int, inputs: Mapping[str, Array]) -> tuple[Sequence[Any], float]:
        """Outputs of a run in the order of the stage, and the seconds that the device took."""
        loaded = self._loaded[number]
        outputs, _, start_s, end_s = loaded.run(inputs)
        return [outputs[spec.name] for spec in loaded.stage.outputs], end_s - start_s

    def unload(self, number: int) -> None:
        """Free an executable; idempotent."""
        loaded = self._loaded.pop(number, None)
        if loaded is not None:
            loaded.close()

    def close(self) -> None:
        """Close the device and all that is loaded; idempotent."""
        for number in list(self._loaded):
            self.unload(number)
        self._pool.close()
