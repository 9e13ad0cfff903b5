"""Batches through a GPU: while one computes, the next is copied in and the last one out.

Three streams, one for each of the three, and a few lanes: a lane holds the buffers of one batch on
its way. What one stream leaves for the next is ordered by events; the host waits only for what it
reads or writes itself.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from deepseek_core import errors
from deepseek_cuda.driver.api import CudaApi, CudaFault
from deepseek_cuda.driver.buffers import Buffer, Pool
from deepseek_cuda.driver.faults import await_event
from deepseek_cuda.driver.tensors import Array, DeviceTensor, Engine, Kept, Launched

_LANES: Final = 3
# What is copied once, however large it is, goes through a block of this size.
_STAGING_BYTES: Final = 16 << 20


class _Lane:
    """The buffers and events of one batch on its way.

    While it is, `blocks` and `flight` are set, `given` keeps its inputs, and an output in `results`
    without a block (0) stays on the device.
    """

    def __init__(self, api: CudaApi) -> None:
        # `copied`: recorded when inputs are in, the work is done, outputs are on the host
        self.copied, self.computed, self.landed = (api.create_event() for _ in range(3))
        self.inputs: dict[str, Buffer] = {}
        self.blocks: list[int] = []
        self.results: list[tuple[str, int, DeviceTensor]] = []
        self.flight: Launched | None = None
        self.given: Mapping[str, Array | Kept] = {}


class Pipeline:
    """Streams, lanes and pinned memory of one executable; one thread at a time may use it.

    After a fault that leaves work of unknown state behind, `is_lost` is true: nothing is freed,
    since the device may still write to it, and nothing runs any more.
    """

    def __init__(self, api: CudaApi, pool: Pool, device_id: str, limit_s: float) -> None:
        self._api, self._pool = api, pool
        self.dropped: deque[Launched] = deque()  # launches whose kept outputs nobody has any more
        self._alive = weakref.WeakSet[Kept]()  # outputs that stay on the GPU and that somebody has
        self.device_id, self._limit_s = device_id, limit_s
        # `_incoming`: one stream each: in, compute, out
        self._incoming, self.computing, self._outgoing = (api.create_stream() for _ in range(3))
        # batch `n` uses lane `n` modulo their number
        self._lanes = [_Lane(api) for _ in range(_LANES)]
        self._settled = api.create_event()  # recorded where all work of a stream must end
        self._kept: list[Buffer] = []  # buffers of constants
        self.is_lost = False

    def keep(self, array: Array) -> DeviceTensor:
        """Put an array on the device for as long as the pipeline is open.

        Raises:
            OutOfMemory: it does not fit.
            DeviceTimeout: it did not arrive within the limit.
        """
        buffer = Buffer(self._api.alloc, self._api.free)
        address = buffer.of(array.nbytes)
        self._kept.append(buffer)
        content = array.reshape(-1).view(np.uint8)
        block = self._pool.take(min(array.nbytes, _STAGING_BYTES))
        try:
            for start in range(0, array.nbytes, _STAGING_BYTES):
                self._copy_in(content[start : start + _STAGING_BYTES], block, address + start)
                self._settle()
        except BaseException:
            self.is_lost = True  # the copy may still be on its way
            raise
        self._pool.give(block)
        return DeviceTensor(address, array.dtype, array.shape)

    def run(
        self,
        engine: Engine,
        batches: Sequence[Mapping[str, Array | Kept]],
        keep: frozenset[str] = frozenset(),
    ) -> list[dict[str, Array | Kept]]:
        """Outputs of each batch, in order; all arrays are C-ordered. Those in `keep` stay there.

        Raises:
            DeviceTimeout: a batch was not done within the limit.
            DeviceError: what the engine raised.
            CudaFault: what the driver refused.
        """
        self._check_sound()
        outputs: list[dict[str, Array | Kept]] = []
        try:
            for number, batch in enumerate(batches):
                lane = self._lanes[number % _LANES]
                if lane.flight is not None:
                    outputs.append(self._land(lane))
                self._send(lane, engine, batch, keep)
            first = len(outputs)
            outputs += [self._land(self._lanes[n % _LANES]) for n in range(first, len(batches))]
        except BaseException:
            self._abandon()
            raise
        return outputs

    def fetch(self, kept: Kept) -> Array:
        """What a run of this pipeline left on the device, as an array.

        Raises:
            DeviceLost, DeviceClosed: it is there no more.
            DeviceTimeout: it did not arrive within the limit.
        """
        self._check_sound()
        tensor = kept.tensor(self.device_id)
        made: Array = np.empty(tensor.shape, tensor.dtype)
        content = made.reshape(-1).view(np.uint8)
        block = self._pool.take(min(tensor.nbytes, _STAGING_BYTES))
        try:
            for start in range(0, tensor.nbytes, _STAGING_BYTES):
                part = content[start : start + _STAGING_BYTES]
                self._api.copy_out(block, tensor.address + start, part.nbytes, self._outgoing)
                self._settle()
                self._api.read_pinned(block, part)
        except BaseException:
            self.is_lost = True  # the copy may still be on its way
            raise
        self._pool.give(block)
        return made

    def _check_sound(self) -> None:
        if self.is_lost:
            raise errors.DeviceLost(
                f"{self.device_id} is in an unknown state after a fault",
                device_id=self.device_id,
                remedy="start the process again",
            )

    def release(self) -> None:
        """Free what is only kept for the next run."""
        for lane in self._lanes:
            for buffer in lane.inputs.values():
                buffer.release()
        self._pool.release()

    def close(self) -> None:
        """Free everything; what a lost device may still use is left to the driver."""
        if self.is_lost:
            return
        self._settle()
        for kept in list(self._alive):
            kept.drop()
        self.dropped.clear()
        self.release()
        for buffer in self._kept:
            buffer.release()
        for lane in self._lanes:
            for event in (lane.copied, lane.computed, lane.landed):
                self._api.destroy_event(event)
        self._api.destroy_event(self._settled)
        for stream in self._streams:
            self._api.destroy_stream(stream)

    @property
    def _streams(self) -> tuple[int, int, int]:
        return self._incoming, self.computing, self._outgoing

    def _send(
        self,
        lane: _Lane,
        engine: Engine,
        batch: Mapping[str, Array | Kept],
        keep: frozenset[str],
    ) -> None:
        """Put one batch on its way through a lane that is free."""
        api = self._api
        lane.given = batch
        tensors = {name: self._place(lane, name, array) for name, array in batch.items()}
        api.record(lane.copied, self._incoming)
        api.wait(self.computing, lane.copied)
        lane.flight = engine.launch(tensors)
        api.record(lane.computed, self.computing)
        api.wait(self._outgoing, lane.computed)
        for name, tensor in lane.flight.outputs.items():
            stays = name in keep and tensor.nbytes > 0
            block = 0 if stays else self._block(lane, tensor.nbytes)
            if tensor.nbytes and not stays:
                api.copy_out(block, tensor.address, tensor.nbytes, self._outgoing)
            lane.results.append((name, block, tensor))
        api.record(lane.landed, self._outgoing)

    def _place(self, lane: _Lane, name: str, array: Array | Kept) -> DeviceTensor:
        if isinstance(array, Kept):
            return array.tensor(self.device_id)
        buffer = lane.inputs.setdefault(name, Buffer(self._api.alloc, self._api.free))
        address = buffer.of(array.nbytes)
        self._copy_in(array, self._block(lane, array.nbytes), address)
        return DeviceTensor(address, array.dtype, array.shape)

    def _copy_in(self, array: Array, block: int, address: int) -> None:
        if array.nbytes:
            self._api.fill_pinned(block, array.reshape(-1).view(np.uint8))
            self._api.copy_in(address, block, array.nbytes, self._incoming)

    def _block(self, lane: _Lane, nbytes: int) -> int:
        lane.blocks.append(self._pool.take(nbytes))
        return lane.blocks[-1]

    def _land(self, lane: _Lane) -> dict[str, Array | Kept]:
        """Wait for a lane's batch and take its outputs; the lane is free then."""
        await_event(self._api, lane.landed, self.device_id, self._limit_s)
        outputs = {
            name: self._read(block, tensor) if block else self._left(lane, tensor)
            for name, block, tensor in lane.results
        }
        self._free(lane)
        return outputs

    def _left(self, lane: _Lane, tensor: DeviceTensor) -> Kept:
        assert lane.flight is not None
        kept = Kept(tensor, lane.flight, self.dropped, self)
        self._alive.add(kept)
        return kept

    def _read(self, block: int, tensor: DeviceTensor) -> Array:
        made: Array = np.empty(tensor.shape, tensor.dtype)
        if tensor.nbytes:
            self._api.read_pinned(block, made.reshape(-1).view(np.uint8))
        return made

    def _free(self, lane: _Lane) -> None:
        lane.flight, lane.given = None, {}
        lane.results.clear()
        while lane.blocks:
            self._pool.give(lane.blocks.pop())

    def _settle(self) -> None:
        """Wait until nothing is on any stream."""
        for stream in self._streams:
            self._api.record(self._settled, stream)
            await_event(self._api, self._settled, self.device_id, self._limit_s)

    def _abandon(self) -> None:
        """After a fault: let what is on its way end, so that its memory can be used again."""
        try:
            self._settle()
        except (CudaFault, errors.DeviceError):
            self.is_lost = True  # the first fault is what is raised
            return
        for lane in self._lanes:
            self._free(lane)
