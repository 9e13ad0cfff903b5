"""The seam to CUDA: what this plugin needs of the driver, and nothing else.

The real one is `_edge`; the tests pass one with a simulated clock that detects misuse. Streams,
events, contexts and addresses are the driver's own numbers. All but `is_done` return at once or
block for as long as the driver takes; nothing that waits for work on the GPU does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from attrs import frozen
from numpy.typing import NDArray


class CudaFault(Exception):
    """A call that the driver refused: its `code` and `name`, as CUDA_ERROR_OUT_OF_MEMORY."""

    def __init__(self, call: str, code: int, name: str) -> None:
        super().__init__(f"{call}: {name} ({code})")
        self.call, self.code, self.name = call, code, name


@frozen
class Launch:
    """How many programs of a kernel run, in two dimensions, and what each takes."""

    grid: tuple[int, int]
    threads: int
    shared_bytes: int


class CudaApi(Protocol):
    """Calls of the driver for one device. Each raises `CudaFault`."""

    ordinal: int
    """The number by which CUDA, and ONNX Runtime, know the device in this process."""

    def use(self) -> None:
        """Make the device's context the current one of this thread."""

    def create_stream(self) -> int:
        """A stream that waits for no other by itself."""

    def destroy_stream(self, stream: int) -> None:
        """Free it; work on it still ends."""

    def create_event(self) -> int:
        """An event without timing."""

    def destroy_event(self, event: int) -> None:
        """Free it."""

    def record(self, event: int, stream: int) -> None:
        """The event is done once all that is on the stream by now is."""

    def wait(self, stream: int, event: int) -> None:
        """What comes on the stream from now on begins after the event's last record is done."""

    def is_done(self, event: int) -> bool:
        """Whether the event's last record is done; returns at once."""

    def alloc(self, nbytes: int) -> int:
        """The address of so many bytes on the device."""

    def free(self, address: int) -> None:
        """Give them back; nothing may still use them."""

    def alloc_pinned(self, nbytes: int) -> int:
        """The address of so many bytes of the host that the device copies from and to."""

    def free_pinned(self, address: int) -> None:
        """Give them back; nothing may still use them."""

    def fill_pinned(self, address: int, array: NDArray[np.uint8]) -> None:
        """Write these bytes into pinned memory."""

    def read_pinned(self, address: int, array: NDArray[np.uint8]) -> None:
        """Read as many bytes as the array has out of pinned memory."""

    def copy_in(self, device: int, pinned: int, nbytes: int, stream: int) -> None:
        """Copy to the device, in the stream's order."""

    def copy_out(self, pinned: int, device: int, nbytes: int, stream: int) -> None:
        """Copy to pinned memory, in the stream's order."""

    def load_module(self, cubin: bytes) -> int:
        """Compiled code on the device."""

    def unload_module(self, module: int) -> None:
        """Free it; none of its kernels may run."""

    def function(self, module: int, name: str) -> int:
        """A kernel of a module."""

    def launch(
        self,
        function: int,
        shape: Launch,
        addresses: Sequence[int],
        numbers: Sequence[int],
        stream: int,
    ) -> None:
        """Put a kernel on the stream: its arguments are addresses, then 32-bit numbers."""

    def begin_capture(self, stream: int) -> None:
        """From now on launches on the stream are noted, not run; nothing may be allocated."""

    def end_capture(self, stream: int) -> int:
        """What was noted, as a graph that can be launched."""

    def launch_graph(self, graph: int, stream: int) -> None:
        """Put a graph on the stream."""

    def destroy_graph(self, graph: int) -> None:
        """Free it; it may not be on any stream."""

    def mem_info(self) -> tuple[int, int]:
        """Bytes of the device that are free, and in all."""

    def now_s(self) -> float:
        """A clock that only goes forward."""

    def pause(self, seconds: float) -> None:
        """Let the thread sleep."""

    def close(self) -> None:
        """Give the context back."""
