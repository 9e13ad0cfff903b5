"""A stage loaded on a GPU: cut into pieces, through the pipeline, joined again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from deepseek_core import Executable, Stage, errors
from deepseek_cuda.driver.api import CudaApi
from deepseek_cuda.driver.faults import translated, unless_lost
from deepseek_cuda.driver.pipeline import Pipeline
from deepseek_cuda.driver.tensors import DeviceTensor, Engine, Kept, Launched

Array = NDArray[Any]
# Assumed, not measured: pieces from this size on fill the bus, and copies of smaller batches are
# too short for what a second launch costs.
_PIECE_BYTES: Final = 16 << 20


class Held:
    """What a loaded stage holds of the GPU: its engine and its pipeline, freed together once."""

    def __init__(self, api: CudaApi, pipeline: Pipeline, engine: Engine) -> None:
        self.api, self.pipeline, self.engine = api, pipeline, engine
        self.is_closed = False

    def close(self) -> None:
        """Free both; the caller has the device's lock, and no run is under way.

        A GPU that does not answer any more is told to the log. What it may still write to is kept
        until the process ends; then its driver frees it.
        """
        if self.is_closed:
            return
        self.is_closed = True
        with unless_lost(self.pipeline.device_id):
            self.api.use()
            self.pipeline.close()
            if not self.pipeline.is_lost:
                self.engine.close()
                return
        _UNSETTLED.append(self)


_UNSETTLED: Final[list[Held]] = []
"""Stages of GPUs in an unknown state: nobody frees their memory while a kernel may be running."""


class CudaExecutable(Executable):
    """One engine and its pipeline; threads take turns, those of the device's other stages too.

    Where memory does not suffice, a batch is run in halves, and later ones in pieces of that
    size, if the stage can be divided.
    """

    def __init__(self, stage: Stage, held: Held, lock: AbstractContextManager[Any]) -> None:
        self.stage, self.device_id = stage, held.pipeline.device_id
        self.held = held
        self._api, self._pipeline, self._engine = held.api, held.pipeline, held.engine
        self._fixed: dict[str, DeviceTensor] = {}  # constants, on the GPU
        # items of a run, since a larger one had no memory; None: no limit was met
        self._most: int | None = None
        self._lock = lock

    def place_constants(self) -> None:
        """Put the stage's constants on the device.

        Raises:
            OutOfMemory: they do not fit.
        """
        with self._lock, translated(self.device_id):
            self._api.use()
            for name, array in self._engine.placed(self.stage.constants).items():
                self._fixed[name] = self._pipeline.keep(_plain(array))

    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """Run one batch; outputs are new arrays.

        Raises:
            As `run_kept`.
        """
        made: Mapping[str, Any] = self.run_kept(inputs, frozenset())
        return made

    def run_kept(self, inputs: Mapping[str, Any], keep: frozenset[str]) -> Mapping[str, Any]:
        """Run one batch; outputs are new arrays, or stay on the GPU, unless the batch is cut.

        Raises:
            OutOfMemory: it does not fit, not even item by item.
            DeviceTimeout: the GPU did not finish in time.
            DeviceLost: it fell off the bus, or a kernel spoilt its context.
            DeviceError: what else the engine raised.
            DeviceClosed: after `close`.
        """
        given = [spec.name for spec in self.stage.inputs if spec.name in inputs]
        arrays = {name: self._taken(inputs[name]) for name in given}
        with self._lock, translated(self.device_id):
            if self.held.is_closed:
                raise errors.DeviceClosed(
                    f"stage {self.stage.name!r} on {self.device_id} is closed",
                    device_id=self.device_id,
                    remedy="load it again",
                )
            self._api.use()
            self._pipeline.dropped.clear()
            return self._run(arrays, keep)

    def warmup(self, batch: int) -> None:
        """Run zeros where the first run of a shape builds an engine, which no run should wait for.

        What values decide may refuse zeros: then the first run builds it.
        """
        specs = [spec for spec in self.stage.inputs if not spec.optional]
        if not self._engine.is_built or any(spec.shape is None for spec in specs):
            return
        with suppress(errors.InputRejected):
            self.run({spec.name: np.zeros(spec.sizes(batch), spec.dtype) for spec in specs})

    def close(self) -> None:
        """Free engine and memory; a run under way ends before."""
        with self._lock:
            self.held.close()

    def _taken(self, value: Any) -> Array | Kept:
        return value if isinstance(value, Kept) else _plain(value)

    def _run(self, arrays: Mapping[str, Array | Kept], keep: frozenset[str]) -> Mapping[str, Any]:
        items = self._items(arrays)
        while True:
            size = self._size(arrays, items)
            try:
                with translated(self.device_id):
                    if size >= items:
                        engine = _WithConstants(self._engine, self._fixed)
                        return self._pipeline.run(engine, [arrays], keep)[0]
                    whole = {name: fetched(value) for name, value in arrays.items()}
                    arrays = dict(whole)
                    return self._in_pieces(whole, items, size)
            except errors.OutOfMemory as error:
                if size < 2:
                    raise self._too_large(error, items) from error
                self._most = (size + 1) // 2
                with translated(self.device_id):
                    self._pipeline.release()
                    self._engine.release()

    def _in_pieces(self, arrays: Mapping[str, Array], items: int, size: int) -> dict[str, Array]:
        engine = _WithConstants(self._engine, self._fixed)
        made: list[Any] = self._pipeline.run(engine, list(self._pieces(arrays, items, size)))
        return {
            spec.name: np.concatenate([one[spec.name] for one in made], axis=spec.batch_axis or 0)
            for spec in self.stage.outputs
        }

    def _items(self, arrays: Mapping[str, Array | Kept]) -> int:
        """Items of the batch; 1 where it can't be cut."""
        if not self.stage.divisible:
            return 1
        axes = {spec.name: spec.batch_axis for spec in self.stage.inputs}
        name = next(name for name in arrays if axes[name] is not None)
        return int(arrays[name].shape[axes[name] or 0])

    def _size(self, arrays: Mapping[str, Array | Kept], items: int) -> int:
        """Items of a piece: what memory allows, and what makes copies and computing overlap."""
        nbytes = sum(array.nbytes for array in arrays.values() if not isinstance(array, Kept))
        pieces = max(1, min(items, nbytes // _PIECE_BYTES))
        size = -(-items // pieces)
        return size if self._most is None else min(size, self._most)

    def _pieces(
        self, arrays: Mapping[str, Array], items: int, size: int
    ) -> Iterator[dict[str, Array]]:
        axes = {spec.name: spec.batch_axis for spec in self.stage.inputs}
        for start in range(0, items, size):
            taken = range(start, min(start + size, items))
            yield {name: _taken(array, axes[name], taken) for name, array in arrays.items()}

    def _too_large(self, error: errors.OutOfMemory, items: int) -> errors.OutOfMemory:
        what = f"one of {items} items" if items > 1 else "a batch"
        can_shrink = "use a smaller model or a GPU with more memory"
        free, total = self._api.mem_info()
        return errors.OutOfMemory(
            f"stage {self.stage.name!r}: {what} does not fit, with {free:,} of {total:,} bytes "
            f"free: {error.message}",
            device_id=self.device_id,
            remedy=can_shrink if self.stage.divisible else "use a smaller batch",
        )


class _WithConstants:
    """An engine that gets the constants beside each batch's tensors."""

    def __init__(self, engine: Engine, fixed: Mapping[str, DeviceTensor]) -> None:
        self._engine, self._fixed, self.is_built = engine, fixed, engine.is_built

    def launch(self, inputs: Mapping[str, DeviceTensor]) -> Launched:
        return self._engine.launch({**self._fixed, **inputs})

    def placed(self, constants: Mapping[str, Array]) -> Mapping[str, Array]:
        return self._engine.placed(constants)

    def release(self) -> None:
        self._engine.release()

    def close(self) -> None:
        self._engine.close()


def fetched(value: Array | Kept) -> Array:
    """An array of either; the caller has the device of what is kept.

    Raises:
        DeviceClosed, DeviceLost: it is there no more.
    """
    if not isinstance(value, Kept):
        return value
    array: Array = value.owner.fetch(value)
    return array


def _plain(array: Array) -> Array:
    """The same values in C order and native bytes, which is how they are copied."""
    return np.asarray(array, dtype=array.dtype.newbyteorder("="), order="C")


def _taken(array: Array, axis: int | None, items: range) -> Array:
    if axis is None:
        return array
    return np.ascontiguousarray(array[(slice(None),) * axis + (slice(items.start, items.stop),)])
