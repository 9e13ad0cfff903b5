"""The k nearest gallery rows of each query, on an OpenCL device.

Results equal exact numpy: ascending distance, ties by the lower index. L2 distances are squared;
of float32 rows they are float32, computed as |q|^2 + |g|^2 - 2 q.g (right up to rounding, never
negative); of int8 rows, and Hamming distances of packed bits, they are exact int32.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepseek_core import errors
from deepseek_fpga import packing
from deepseek_fpga.autotune import TileCost, Tuning, tuned
from deepseek_fpga.engine import DeviceGallery, Runner
from deepseek_fpga.opening import OpenDevice
from deepseek_fpga.packing import Array
from deepseek_fpga.program_cache import ProgramCache
from deepseek_fpga.variants import MAX_K, METRICS, Metric, Variant, kernel_source

_MAX_INT8_DIM = 32768  # 255^2 * D must fit an int32
_MAX_ROWS = 1 << 31


class Matcher:
    """A gallery on a device, ready for queries.

    Owns its queue, kernels and buffers. `query` takes a lock, so threads may share a matcher but
    do not run at once; for that, make one for each.
    """

    def __init__(
        self,
        device: OpenDevice,
        gallery: Array,
        *,
        metric: Metric,
        k: int,
        cache_folder: Path,
        threads: int | None = None,
        variant: Variant | None = None,
        binary: Path | None = None,
    ) -> None:
        """Pack and upload the gallery, tune if this device was never tuned for such shapes.

        `gallery` [N, D]: float32 for `l2_f32`, int8 for `l2_i8`, uint8 of packed bits for
        `hamming`. `threads` says how many compute units to make work for (default: all).
        `variant` skips the tuning; `binary` is a vendor's compiled program of that variant.

        Raises:
            InputError: a shape, dtype or k that does not fit.
            Unsupported: the device compiles offline only and no binary was given.
            CompileError, OutOfMemory, DeviceUnavailable: what the device answered.
        """
        _check_gallery(gallery, metric, k)
        _check_program(device, variant, binary)
        self.metric, self.k = metric, k
        self.count, self.dim = gallery.shape  # rows of the gallery, columns of each
        self.cache = ProgramCache(device, cache_folder)
        self._device = device
        self._binary = binary
        self._units = threads or device.record.compute_units  # compute units to make work for
        self._lock = threading.Lock()
        self._runners: dict[Variant, Runner] = {}  # compiled kernels, by variant
        self._closed = False
        self._tuning = (
            Tuning(costs=(TileCost(variant=variant, tile_s=1.0),))
            if variant is not None
            else tuned(self.cache, cache_folder, metric, self.dim)
        )
        self._queue = device.make_queue()
        layout = self._tuning.layout_variant
        self._gallery = DeviceGallery(device, self._queue, layout, np.ascontiguousarray(gallery))

    def query(self, batch: Array) -> tuple[NDArray[np.int64], Array]:
        """Find the nearest of queries [B, D]: (indices int64 [B, k], distances [B, k]).

        Raises:
            TensorMismatch: the batch does not fit the gallery.
            InputError: a float query that is not finite.
            DeviceClosed: after `close()`.
            DeviceError: the device failed.
        """
        _check_batch(batch, self.metric, self.dim)
        if len(batch) == 0:
            return self._nothing()
        batch = np.ascontiguousarray(batch)
        with self._lock:
            runner = self._runner(len(batch))
            scores, indices = runner.run(packing.query_words(runner.variant.words, batch))
        return _finish(scores, indices, packing.query_offset(runner.variant, batch))

    def warmup(self, batch: int) -> None:
        """Compile and launch once what a batch of this many queries needs.

        PoCL compiles a kernel at its first launch (0.1 to 0.5 s); buffers are made here as well.
        """
        self.query(np.zeros((batch, self.dim), packing.DTYPES[self.metric]))

    def close(self) -> None:
        """Free the device memory; may be called twice."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            for runner in self._runners.values():
                runner.release()
            self._runners.clear()
            self._gallery.release()

    def __enter__(self) -> Matcher:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def variant_for(self, batch: int) -> Variant:
        """The variant that serves a batch of this size."""
        return self._tuning.choose(batch)

    def _runner(self, batch: int) -> Runner:
        """The runner for a batch, made at its first use."""
        if self._closed:
            raise errors.DeviceClosed(
                f"{self._device.id}: this matcher is closed", device_id=self._device.id
            )
        variant = self.variant_for(batch)
        if variant not in self._runners:
            self._runners[variant] = Runner(
                self._device,
                self._queue,
                self._program(variant),
                self._gallery,
                variant=variant,
                k=self.k,
                units=self._units,
            )
        return self._runners[variant]

    def _program(self, variant: Variant) -> Any:
        if self._binary is not None:
            return self.cache.load_binary(self._binary)
        return self.cache.build(kernel_source(), variant.options)

    def _nothing(self) -> tuple[NDArray[np.int64], Array]:
        dtype = np.float32 if self.metric == "l2_f32" else np.int32
        return np.empty((0, self.k), np.int64), np.empty((0, self.k), dtype)


def _finish(scores: Array, indices: Array, offset: Array | None) -> tuple[NDArray[np.int64], Array]:
    """Scores [B, k] become distances; ties that rounding made are put in order of index."""
    wide = indices.astype(np.int64)
    if offset is None:
        return wide, scores
    distances = scores + offset[:, None]
    if distances.dtype != np.float32:
        return wide, distances
    if not np.isfinite(offset).all():
        row = int(np.argmin(np.isfinite(offset)))
        raise errors.InputError(
            f"query row {row} is not finite, or its squared length is not",
            remedy="remove NaN and infinite values",
        )
    np.maximum(distances, 0, out=distances)
    swapped = (distances[:, 1:] == distances[:, :-1]) & (wide[:, 1:] < wide[:, :-1])
    if swapped.any():
        order = np.lexsort((wide, distances), axis=1)
        wide = np.take_along_axis(wide, order, 1)
        distances = np.take_along_axis(distances, order, 1)
    return wide, distances


def _check_gallery(gallery: Array, metric: Metric, k: int) -> None:
    if metric not in METRICS:
        raise errors.InputError(f"metric {metric!r} is none of {', '.join(METRICS)}")
    _check_matrix("gallery", gallery, metric)
    count, dim = gallery.shape
    if not 1 <= k <= MAX_K:
        raise errors.InputError(f"k is {k}, and must be 1 to {MAX_K}")
    if not k <= count < _MAX_ROWS:
        raise errors.InputError(f"the gallery has {count} rows, and needs {k} (k) to 2^31 - 1")
    if dim < 1 or (metric == "l2_i8" and dim > _MAX_INT8_DIM):
        raise errors.InputError(f"the gallery's rows have {dim} elements, which is out of range")
    if metric == "l2_f32" and not np.isfinite(packing.squared_norms(gallery)).all():
        raise errors.InputError("the gallery has rows whose squared length is not finite")


def _check_batch(batch: Array, metric: Metric, dim: int) -> None:
    _check_matrix("batch", batch, metric)
    if batch.shape[1] != dim:
        raise errors.TensorMismatch(
            f"batch: expected rows of {dim} elements, the gallery's, and got {batch.shape[1]}"
        )


def _check_matrix(name: str, rows: Array, metric: Metric) -> None:
    expected = np.dtype(packing.DTYPES[metric])
    if rows.ndim != 2 or rows.dtype != expected:
        raise errors.TensorMismatch(
            f"{name}: expected {expected} [rows, elements] for {metric}, "
            f"got {rows.dtype} {list(rows.shape)}"
        )


def _check_program(device: OpenDevice, variant: Variant | None, binary: Path | None) -> None:
    if binary is not None and variant is None:
        raise errors.InputError("a binary was given without the variant that it was built for")
    if device.record.is_board and binary is None:
        raise errors.Unsupported(
            f"{device.id} compiles offline only",
            device_id=device.id,
            remedy="build matcher.cl with the vendor's compiler and give the binary's path",
        )
