"""Measures what each stage costs on each device that can run it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from shlex import quote
from statistics import median
from typing import Final

import attrs

from deepseek_core.contracts.device import LoadOptions
from deepseek_core.contracts.errors import (
    ConfigError,
    DeepSeekError,
    InputError,
    NoDevice,
    TensorMismatch,
)
from deepseek_core.contracts.graph import Graph
from deepseek_core.contracts.stage import Array, Stage
from deepseek_core.contracts.tensor import TensorSpec
from deepseek_core.contracts.units import as_count, as_mapping
from deepseek_core.discovery.strangers import is_a, one_line, raise_if_ours, text_of
from deepseek_core.runtime.interrupts import stop_if_interrupted
from deepseek_core.runtime.loaded import Loaded
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
    sizes = {name: as_count(name, size) for name, size in as_mapping("sizes", sizes).items()}
    _check_known(specs, sizes)
    shapes = {spec.name: _shape(spec, batch, sizes) for spec in specs}
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
    known: dict[int | str, int] = dict(sizes.items())
    if spec.batch_axis is not None:
        known[(spec.shape or ())[spec.batch_axis]] = batch
    return tuple(dim if isinstance(dim, int) else known[dim] for dim in spec.shape or ())


def _check_known(specs: Sequence[TensorSpec], sizes: Mapping[str, int]) -> None:
    """See that nothing is left open, nor given for nothing.

    Raises:
        TensorMismatch: an input or an axis that only real data can tell.
        ConfigError: a size of an axis that no input has, or that the batch has.
    """
    vague = next((spec for spec in specs if spec.container or spec.shape is None), None)
    if vague is not None:
        raise TensorMismatch(
            f"input {vague}: nothing tells what it holds", remedy="pass real inputs (--input FILE)"
        )
    items = {(spec.shape or ())[spec.batch_axis] for spec in specs if spec.batch_axis is not None}
    free = {dim: None for spec in specs for dim in spec.shape or () if isinstance(dim, str)}
    for name in sizes:
        if name in items:
            raise ConfigError(
                f"axis {name!r} carries the items of the batch",
                remedy=f"its size is that of the batch: --batch {sizes[name]}",
            )
        if name not in free:
            raise ConfigError(
                f"no input has an axis {name!r}", remedy=f"free axes: {', '.join(free) or 'none'}"
            )
    missing = [name for name in free if name not in sizes and name not in items]
    if missing:
        spec = next(spec for spec in specs if missing[0] in (spec.shape or ()))
        options = " ".join(f"--shape {quote(f'{name}=128')}" for name in missing)
        raise TensorMismatch(
            f"input {spec}: nothing tells how large {missing[0]!r} is",
            remedy=f"give sizes ({options}), or real inputs (--input FILE.npz)",
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
        InputRejected: the model does not take the values of the inputs.
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
    """One stage loaded on every device that can run it; one that fails leaves."""

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
        self._faults: dict[str, BaseException] = {}
        self._outputs: Mapping[str, Array] | None = None
        self._loaded: dict[str, Loaded] = {}
        for device_id in planner.pool.present_ids():
            if planner.problems.candidate(stage, device_id, request).estimate is not None:
                step(f"{stage.name}: loading on {device_id}")
                with self._or_out(device_id):
                    self._load(device_id)

    def _load(self, device_id: str) -> None:
        options = LoadOptions(latency=self._request.latency)
        self._loaded[device_id] = loaded = self._planner.pool.load(self._stage, device_id, options)
        loaded.warmup(self._request.batch)
        ((outputs, *_),) = loaded.opened.runs(partial(loaded.run, self._inputs), 1)
        self._outputs = self._outputs or outputs

    @contextlib.contextmanager
    def _or_out(self, device_id: str) -> Iterator[None]:
        """Note what a device raises, and leave it out; values that it refuses are no fault."""
        try:
            yield
        except BaseException as error:  # noqa: BLE001 - a driver may raise anything
            raise_if_ours(error)
            stop_if_interrupted(error)
            self._planner.pool.check_open()
            self._faults[device_id] = error
            loaded = self._loaded.pop(device_id, None)
            if loaded is not None:
                loaded.close()
            if not is_a(error, InputError):
                self._planner.exclude(device_id, self._stage, _reason(error))

    @property
    def any_ran(self) -> bool:
        """Whether a device ran the stage."""
        return self._outputs is not None

    def first_outputs(self) -> Mapping[str, Array]:
        """The stage's outputs on the first device that ran it.

        Raises:
            NoDevice: none did.
            InputError: each that could run it refused the values.
        """
        if self._outputs is not None:
            return self._outputs
        for error in self._faults.values():
            if is_a(error, InputError):
                raise error
        refusals = {device_id: _reason(error) for device_id, error in self._faults.items()}
        raise NoDevice(
            f"no device could run stage {self._stage.name!r}: "
            + ("; ".join(f"{d}: {r}" for d, r in refusals.items()) or "none supports it"),
            refusals=refusals,
            remedy="`ds-sdk devices` shows what is there",
        )

    def measure(self, rounds: int) -> list[Measurement]:
        """Medians by device; the samples go into the history."""
        samples: dict[str, list[float]] = {device_id: [] for device_id in self._loaded}
        for device_id, seconds in self._turns(rounds):
            samples[device_id].append(seconds)
        failed = [self._row(i, None, _reason(error)) for i, error in self._faults.items()]
        return failed + [self._keep(device_id, samples[device_id]) for device_id in self._loaded]

    def _turns(self, rounds: int) -> Iterator[tuple[str, float]]:
        slots = {device_id: self._slots(device_id) for device_id in self._loaded}
        for turn in range(-_WARMUPS, rounds):
            for device_id, loaded in list(self._loaded.items()):
                self._step(f"{self._stage.name} on {device_id}, round {max(turn, 0) + 1}")
                with self._or_out(device_id):
                    slowest = self._together(loaded, slots[device_id])
                if turn >= 0 and device_id in self._loaded:
                    yield device_id, slowest

    def _together(self, loaded: Loaded, slots: int) -> float:
        """Seconds of the slowest of runs that ran together: a stream waits for it."""
        return max(loaded.opened.runs(partial(_seconds, loaded, self._inputs), slots))

    def _slots(self, device_id: str) -> int:
        return self._planner.pool.use(device_id).takes(self._request.latency).slots

    def _keep(self, device_id: str, seconds: list[float]) -> Measurement:
        samples = tuple(Sample(self._request.batch, s) for s in seconds)
        device = self._planner.pool.use(device_id)
        self._planner.problems.measured(self._stage, device, self._request.latency, samples)
        return self._row(device_id, median(seconds), "")

    def _row(self, device_id: str, seconds: float | None, error: str) -> Measurement:
        return Measurement(
            stage=self._stage.name,
            device_id=device_id,
            batch=self._request.batch,
            seconds=seconds,
            error=error,
        )

    def close(self) -> None:
        """Free the executables."""
        for loaded in self._loaded.values():
            loaded.close()


def _reason(error: BaseException) -> str:
    return text_of(error.message) if isinstance(error, DeepSeekError) else one_line(error)


def _seconds(loaded: Loaded, inputs: Mapping[str, Array]) -> float:
    _, _, start_s, end_s = loaded.run(inputs)
    return end_s - start_s
