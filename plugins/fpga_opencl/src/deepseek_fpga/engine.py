"""Runs one variant of the kernel over a gallery that lies on the device.

Everything a launch needs is owned here: OpenCL keeps no reference to what a kernel's arguments
point to, and PoCL aborts the process when it meets a freed buffer. Not thread-safe: `Matcher`
holds a lock.
"""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np

from deepseek_core import errors
from deepseek_fpga import packing
from deepseek_fpga.opening import OpenDevice
from deepseek_fpga.packing import Array
from deepseek_fpga.variants import Variant
from deepseek_fpga.vendor_errors import translated

_CHUNK_BYTES = 1 << 18  # gallery bytes that stay in a second-level cache beside the queries
_SPLITS_PER_UNIT = 2  # more shares than units: the slowest thread waits less
_MIN_PANELS_A_SPLIT = 8  # below, a share's cold list costs more than the parallelism gives
_CHANNEL_KERNELS = ("feed", "array", "drain")
_CHANNELS_S = 120.0
_POLL_S = 50e-6


class DeviceGallery:
    """A gallery [N, D] packed for one layout, uploaded once."""

    def __init__(self, device: OpenDevice, queue: Any, variant: Variant, rows: Array) -> None:
        import pyopencl as cl

        self.layout = variant.layout
        self.count, dim = rows.shape
        self.steps = packing.steps_of(variant.words, dim)  # words in a row
        # groups of `lanes` rows: one is scored at a time
        self.panels = math.ceil(self.count / variant.lanes)
        word_bytes = packing.gallery_dtype(variant.words).itemsize
        self.panel_bytes = self.steps * variant.lanes * word_bytes
        flags = cl.mem_flags.READ_ONLY
        with translated(device.id):
            self.words = cl.Buffer(device.context, flags, self.panels * self.panel_bytes)
            bias = packing.gallery_bias(variant, rows)
            # by row: what its score begins with
            self.bias = cl.Buffer(device.context, flags | cl.mem_flags.COPY_HOST_PTR, hostbuf=bias)
            offset = 0
            for block in packing.packed_gallery(variant, rows):
                cl.enqueue_copy(queue, self.words, block, dst_offset=offset)
                offset += block.nbytes

    def release(self) -> None:
        """Free the device memory."""
        self.words.release()
        self.bias.release()


class Runner:
    """Kernel objects and buffers for one variant; grows with the largest batch seen."""

    def __init__(
        self,
        device: OpenDevice,
        queue: Any,
        program: Any,
        gallery: DeviceGallery,
        *,
        variant: Variant,
        k: int,
        units: int,
    ) -> None:
        import pyopencl as cl

        self._device, self._queue, self._gallery = device, queue, gallery
        self.variant, self._k, self._units = variant, k, units
        self._splits = 1  # parts of the gallery that are searched at once, and merged
        if variant.form == "ndrange":
            self._splits = share_count(gallery.panels, units)
        # panels that stay in the CPU's cache while all queries pass them
        self._chunk = max(1, _CHUNK_BYTES // gallery.panel_bytes)
        self._tiles = 0  # capacity
        self._score_dtype = np.float32 if variant.metric == "l2_f32" else np.int32
        # one for each kernel of a chain by channels, but the last
        self._side_queues: list[Any] = []
        with translated(device.id):
            self._kernels = {
                name: cl.Kernel(program, name) for name in _kernel_names(variant, self._splits)
            }
        if variant.form == "channels":  # kernels that wait for one another need a queue each
            self._side_queues = [device.make_queue() for _ in _CHANNEL_KERNELS[:-1]]

    def run(self, words: Array) -> tuple[Array, Array]:
        """Score query words [B, S]: (scores [B, k], indices int32 [B, k]), the best first.

        Raises:
            DeviceError: the device failed.
        """
        tiles = math.ceil(len(words) / self.variant.rows)
        with translated(self._device.id):
            if tiles > self._tiles:
                self._reserve(tiles)
            staged = self._staging[:tiles]
            packing.pack(words, self.variant.rows, staged)
            self._upload(staged)
            self._launch(tiles)
            return self._download(tiles, len(words))

    def release(self) -> None:
        """Free the device memory of batches; the gallery is its owner's."""
        for buffer in self._buffers() if self._tiles else ():
            buffer.release()
        self._tiles = 0

    def _buffers(self) -> tuple[Any, ...]:
        return (self._queries, self._scores, self._indices)

    def _reserve(self, tiles: int) -> None:
        """Make buffers for that many tiles and bind them to the kernels."""
        import pyopencl as cl

        self.release()
        variant, context, flags = self.variant, self._device.context, cl.mem_flags
        shape = (tiles, self._gallery.steps, variant.rows)
        self._staging = np.empty(shape, packing.query_dtype(variant.words))
        lists = self._splits * tiles * variant.rows * self._k
        self._queries = cl.Buffer(context, flags.READ_ONLY, self._staging.nbytes)
        self._scores = cl.Buffer(context, flags.READ_WRITE, lists * 4)
        self._indices = cl.Buffer(context, flags.READ_WRITE, lists * 4)
        self._tiles = tiles
        self._bound_tiles = 0

    def _upload(self, staged: Array) -> None:
        import pyopencl as cl

        # In-order queue: the kernel waits for the copy; other queues do not, so they block here.
        cl.enqueue_copy(self._queue, self._queries, staged, is_blocking=bool(self._side_queues))

    def _launch(self, tiles: int) -> None:
        if tiles != self._bound_tiles:
            self._bind(tiles)
            self._bound_tiles = tiles
        if self.variant.form == "channels":
            self._launch_channels()
        elif self.variant.form == "single":
            self._enqueue(self._queue, "match_single", (1,))
        else:
            groups = max(1, min(tiles, self._units // self._splits))
            self._enqueue(self._queue, "match", (self._splits, groups))
            if self._splits > 1:
                self._enqueue(self._queue, "merge", (tiles,))

    def _launch_channels(self) -> None:
        events = []
        for queue, name in zip((*self._side_queues, self._queue), _CHANNEL_KERNELS, strict=True):
            events.append(self._enqueue(queue, name, (1,)))
            queue.flush()
        self._await(events)

    def _await(self, events: list[Any]) -> None:
        """Wait for kernels that wait for one another; where one can't start, none ever ends.

        Raises:
            DeviceTimeout: they did not end in time.
            DeviceLost: one of them failed.
        """
        import pyopencl as cl

        until_s = time.monotonic() + _CHANNELS_S
        for event in events:
            while (status := event.command_execution_status) > cl.command_execution_status.COMPLETE:
                if time.monotonic() > until_s:
                    raise errors.DeviceTimeout(
                        f"{self._device.id}: kernels that are joined by channels did not end in "
                        f"{_CHANNELS_S:g} s",
                        device_id=self._device.id,
                        remedy="leave the emulator at least three cores' worth of threads, or "
                        "show it to OpenCL without Intel's CPU runtime",
                    )
                time.sleep(_POLL_S)
            if status < 0:
                raise errors.DeviceLost(
                    f"{self._device.id}: a kernel ended with OpenCL status {status}",
                    device_id=self._device.id,
                    remedy="open the device again",
                )

    def _enqueue(self, queue: Any, name: str, size: tuple[int, ...]) -> Any:
        import pyopencl as cl

        return cl.enqueue_nd_range_kernel(queue, self._kernels[name], size, (1,) * len(size))

    def _bind(self, tiles: int) -> None:
        """Set all arguments for a number of tiles."""
        gallery, lists = self._gallery, (self._scores, self._indices)
        # As the kernels name them: t tiles, p panels, s steps, k neighbors.
        t, p, s, k = (np.int32(x) for x in (tiles, gallery.panels, gallery.steps, self._k))
        whole = (
            self._queries,
            gallery.words,
            gallery.bias,
            *lists,
            t,
            p,
            s,
            k,
            np.int32(self._chunk),
        )
        arguments = {
            "match": whole,
            "match_single": whole,
            "merge": (*lists, t, np.int32(self._splits), k),
            "feed": (gallery.words, t, p, s),
            "array": (self._queries, t, p, s),
            "drain": (gallery.bias, *lists, t, p, k),
        }
        for name, kernel in self._kernels.items():
            kernel.set_args(*arguments[name])

    def _download(self, tiles: int, batch: int) -> tuple[Array, Array]:
        import pyopencl as cl

        shape = (tiles * self.variant.rows, self._k)
        scores = np.empty(shape, self._score_dtype)
        indices = np.empty(shape, np.int32)
        cl.enqueue_copy(self._queue, scores, self._scores, is_blocking=False)
        cl.enqueue_copy(self._queue, indices, self._indices, is_blocking=True)
        return scores[:batch], indices[:batch]


def share_count(panels: int, units: int) -> int:
    """Into how many shares a gallery is split for a device of so many compute units."""
    if units <= 1:
        return 1
    return max(1, min(panels // _MIN_PANELS_A_SPLIT, units * _SPLITS_PER_UNIT))


def _kernel_names(variant: Variant, splits: int) -> tuple[str, ...]:
    if variant.form == "channels":
        return _CHANNEL_KERNELS
    if variant.form == "single":
        return ("match_single",)
    return ("match", "merge") if splits > 1 else ("match",)
