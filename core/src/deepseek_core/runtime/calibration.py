"""Measures what each stage costs on each device that can run it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from typing import Final

import attrs

from deepseek_core.contracts.device import Device, Executable, LoadOptions
from deepseek_core.contracts.errors import (
    ConfigError,
    DeepSeekError,
    NoDevice,
    TensorMismatch,
)
from deepseek_core.contracts.graph import Graph
from deepseek_core.contracts.stage import Array, Stage
from deepseek_core.contracts.tensor import TensorSpec
from deepseek_core.runtime.interrupts import held_back
from deepseek_core.runtime.planner import Planner
from deepseek_core.runtime.request import Request
from deepseek_core.schedule.cost import Sample

Progress = Callable[[int, int, str], None]
"""Called with (steps done, steps in all, what is being done)."""

_WARMUPS: Final = 2
_SEED: Final = 0


@attrs.frozen(kw_only=True)
class Measurement:
    """Median seconds of a stage on a device, or why it could not be measured."""

    stage: str
    device_id: str
    batch: int
    seconds: float | None
    error: str = ""


def synthetic_inputs(
    specs: Iterable[TensorSpec], batch: int, sizes: Mapping[str, int] | None = None
) -> dict[str, Array]:
    """Arrays that fit the specs: normal for floats, bytes for integers, words for strings; seeded.

    The batch axis gets `batch` items, other free axes the size that `sizes` has for their symbol.
    Integers without a free axis are ones: they are counts (a `k`), not data. Optional inputs are
    left out.

    Raises:
        TensorMismatch: an axis or an input that only real data can tell.
        ConfigError: a size of an axis that no input has.
    """
    import numpy as np

    specs = [spec for spec in specs if not spec.optional]
    shapes = {spec.name: _shape(spec, batch, sizes or {}) for spec in specs}
    _check_used(specs, sizes or {})
    rng = np.random.default_rng(_SEED)

    def make(spec: TensorSpec) -> Array:
        shape = shapes[spec.name]
        if spec.dtype.startswith(("float", "complex")):
            return rng.standard_normal(shape).astype(spec.dtype)
        if spec.dtype == "string":
            return np.full(shape, "word", object)
        if all(isinstance(dim, int) for dim in spec.shape or ()):
            return np.ones(shape, spec.dtype)
        low, high = (0, 2) if spec.dtype == "bool" else (0, 128)
        return rng.integers(low, high, shape).astype(spec.dtype)

    return {spec.name: make(spec) for spec in specs}


def _shape(spec: TensorSpec, batch: int, sizes: Mapping[str, int]) -> tuple[int, ...]:
    if spec.container or spec.shape is None:
        raise TensorMismatch(
            f"input {spec}: nothing tells what it holds", remedy="pass real inputs (--input FILE)"
        )
    known: dict[int | str, int] = dict(sizes.items())
    if spec.batch_axis is not None:
        known[spec.shape[spec.batch_axis]] = batch
    for dim in spec.shape:
        if isinstance(dim, str) and dim not in known:
            raise TensorMismatch(
                f"input {spec}: nothing tells how large {dim!r} is",
                remedy=f"give its size (--shape {dim}=128), or real inputs (--input FILE.npz)",
            )
    return tuple(dim if isinstance(dim, int) else known[dim] for dim in spec.shape)


def _check_used(specs: Iterable[TensorSpec], sizes: Mapping[str, int]) -> None:
    free = {dim: None for spec in specs for dim in spec.shape or () if isinstance(dim, str)}
    for name in sizes:
        if name not in free:
            raise ConfigError(
                f"no input has an axis {name!r}",
                remedy=f"free axes: {', '.join(free) or 'none'}",
            )


def calibrate(
    planner: Planner,
    graph: Graph,
    request: Request,
    inputs: Mapping[str, Array],
    *,
    rounds: int,
    progress: Progress,
) -> list[Measurement]:
    """Run each stage, and all as one, `rounds` times on each device, devices in turn.

    Each device runs as many at once as it has slots, since that is how a stream uses it: what
    they take from each other is in the cost. Interleaving spreads a slow spell of the machine
    over all devices alike. Measured costs go into the history. A device that fails is
    reported and left out.

    Raises:
        NoDevice: a stage that no device can run, so that the next one gets no input.
    """
    tensors = dict(inputs)
    found: list[Measurement] = []
    whole = planner.problems.whole(graph)
    stages = [*graph.stages, *([whole] if whole is not None else [])]
    for index, stage in enumerate(stages):
        fed = {spec.name: tensors[spec.name] for spec in stage.inputs if spec.name in tensors}

        def step(text: str, index: int = index) -> None:
            progress(index, len(stages), text)

        runs = _Contest(planner, stage, request, fed, step)
        try:
            # The whole may be more than any device can take; its parts may not.
            if stage is not whole or runs.any_ran:
                tensors.update(runs.first_outputs())
                found += runs.measure(rounds)
        finally:
            runs.close()
    progress(len(stages), len(stages), "done")
    return found


class _Contest:
    """One stage loaded on every device that can run it."""

    def __init__(
        self,
        planner: Planner,
        stage: Stage,
        request: Request,
        inputs: Mapping[str, Array],
        step: Callable[[str], None],
    ) -> None:
        self._planner, self._stage, self._request = planner, stage, request
        self._inputs, self._step = inputs, step
        self._errors: list[Measurement] = []
        self._outputs: Mapping[str, Array] | None = None
        self._loaded: list[tuple[Device, Executable]] = []
        for device_id in planner.pool.present_ids():
            if planner.problems.candidate(stage, device_id, request).estimate is not None:
                self._load(planner.pool.open(device_id))

    def _load(self, device: Device) -> None:
        self._step(f"{self._stage.name}: loading on {device.info.id}")
        executable = None
        try:
            executable = device.load(self._stage, LoadOptions(latency=self._request.latency))
            executable.warmup(self._request.batch)
            outputs = executable.run(self._inputs)
        except DeepSeekError as error:
            self._errors.append(self._row(device, None, error.message))
            self._planner.exclude(device.info.id, self._stage, error.message)
            if executable is not None:
                executable.close()
            return
        self._outputs = self._outputs or outputs
        self._loaded.append((device, executable))

    @property
    def any_ran(self) -> bool:
        """Whether a device ran the stage."""
        return self._outputs is not None

    def first_outputs(self) -> Mapping[str, Array]:
        """The stage's outputs on the first device that ran it."""
        if self._outputs is None:
            refusals = {row.device_id: row.error for row in self._errors}
            raise NoDevice(
                f"no device could run stage {self._stage.name!r}: "
                + ("; ".join(f"{d}: {r}" for d, r in refusals.items()) or "none supports it"),
                refusals=refusals,
                remedy="`ds-sdk devices` shows what is there",
            )
        return self._outputs

    def measure(self, rounds: int) -> list[Measurement]:
        """Medians by device; the samples go into the history."""
        samples: dict[str, list[float]] = {device.info.id: [] for device, _ in self._loaded}
        for device, seconds in self._turns(rounds):
            samples[device.info.id].append(seconds)
        return self._errors + [self._keep(d, samples[d.info.id]) for d, _ in self._loaded]

    def _turns(self, rounds: int) -> Iterator[tuple[Device, float]]:
        with ThreadPoolExecutor(max(self._slots(device) for device, _ in self._loaded)) as pool:
            for turn in range(-_WARMUPS, rounds):
                for device, executable in self._loaded:
                    self._step(f"{self._stage.name} on {device.info.id}, round {max(turn, 0) + 1}")
                    with held_back():
                        jobs = [
                            pool.submit(_seconds, executable, self._inputs)
                            for _ in range(self._slots(device))
                        ]
                        # The slowest of those that ran together: a stream waits for it.
                        slowest = max(job.result() for job in jobs)
                    if turn >= 0:
                        yield device, slowest

    def _slots(self, device: Device) -> int:
        return device.concurrency(self._request.latency).slots

    def _keep(self, device: Device, seconds: list[float]) -> Measurement:
        samples = tuple(Sample(self._request.batch, s) for s in seconds)
        self._planner.problems.measured(self._stage, device, self._request.latency, samples)
        return self._row(device, median(seconds), "")

    def _row(self, device: Device, seconds: float | None, error: str) -> Measurement:
        return Measurement(
            stage=self._stage.name,
            device_id=device.info.id,
            batch=self._request.batch,
            seconds=seconds,
            error=error,
        )

    def close(self) -> None:
        """Free the executables."""
        for _, executable in self._loaded:
            executable.close()


def _seconds(executable: Executable, inputs: Mapping[str, Array]) -> float:
    start_s = time.perf_counter()
    executable.run(inputs)
    return time.perf_counter() - start_s
