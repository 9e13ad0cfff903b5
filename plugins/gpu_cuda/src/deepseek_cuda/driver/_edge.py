"""The real CUDA: libcuda.so.1 through ctypes, one call a line and nothing to decide.

Why the driver's library: it comes with the driver, so that no package is needed, its name has no
version, and ONNX Runtime and torch in the same process share its primary context, streams and
addresses. The tests run these lines on a small libcuda.so.1 of their own.
"""

from __future__ import annotations

import ctypes
import time
from ctypes import byref, c_char_p, c_int, c_size_t, c_uint, c_void_p
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from deepseek_cuda.driver._edge_launching import Launching
from deepseek_cuda.driver.api import CudaFault

_NON_BLOCKING: Final = 1
_NO_TIMING: Final = 2
_NOT_READY: Final = 600


class Driver(Launching):
    """`CudaApi` over the driver's library, in the primary context of one device."""

    def __init__(self, bus_id: str | None, library: str = "libcuda.so.1") -> None:
        """Open the device on that PCI bus; None: the only one, as for a MIG instance."""
        self._lib = ctypes.CDLL(library)
        self._call("cuInit", c_uint(0))
        device, context = c_int(), c_void_p()
        if bus_id is None:
            self._call("cuDeviceGet", byref(device), c_int(0))
        else:
            self._call("cuDeviceGetByPCIBusId", byref(device), c_char_p(bus_id.encode()))
        self.ordinal = device.value
        self._call("cuDevicePrimaryCtxRetain", byref(context), device)
        self._context: c_void_p | None = context
        self.use()

    def _call(self, name: str, *arguments: Any) -> None:
        code = getattr(self._lib, name)(*arguments)
        if code:
            raise CudaFault(name, code, self._name(code))

    def _name(self, code: int) -> str:
        text = c_char_p()
        self._lib.cuGetErrorName(c_int(code), byref(text))
        return (text.value or b"CUDA error").decode()

    def _made(self, name: str, *arguments: Any) -> int:
        made = c_void_p()
        self._call(name, byref(made), *arguments)
        return made.value or 0

    def uuid(self) -> str:
        """The UUID without its first word, as `1f3a...`: that of the instance where it is one."""
        raw = (ctypes.c_ubyte * 16)()
        self._call("cuDeviceGetUuid_v2", byref(raw), c_int(self.ordinal))
        return bytes(raw).hex()

    def use(self) -> None:
        self._call("cuCtxSetCurrent", self._context)

    def create_stream(self) -> int:
        return self._made("cuStreamCreate", c_uint(_NON_BLOCKING))

    def destroy_stream(self, stream: int) -> None:
        self._call("cuStreamDestroy_v2", c_void_p(stream))

    def create_event(self) -> int:
        return self._made("cuEventCreate", c_uint(_NO_TIMING))

    def destroy_event(self, event: int) -> None:
        self._call("cuEventDestroy_v2", c_void_p(event))

    def record(self, event: int, stream: int) -> None:
        self._call("cuEventRecord", c_void_p(event), c_void_p(stream))

    def wait(self, stream: int, event: int) -> None:
        self._call("cuStreamWaitEvent", c_void_p(stream), c_void_p(event), c_uint(0))

    def is_done(self, event: int) -> bool:
        code = self._lib.cuEventQuery(c_void_p(event))
        if code not in (0, _NOT_READY):
            raise CudaFault("cuEventQuery", code, self._name(code))
        return bool(code == 0)

    def alloc(self, nbytes: int) -> int:
        return self._made("cuMemAlloc_v2", c_size_t(nbytes))

    def free(self, address: int) -> None:
        self._call("cuMemFree_v2", c_void_p(address))

    def alloc_pinned(self, nbytes: int) -> int:
        return self._made("cuMemHostAlloc", c_size_t(nbytes), c_uint(0))

    def free_pinned(self, address: int) -> None:
        self._call("cuMemFreeHost", c_void_p(address))

    def fill_pinned(self, address: int, array: NDArray[np.uint8]) -> None:
        ctypes.memmove(address, array.ctypes.data, array.nbytes)

    def read_pinned(self, address: int, array: NDArray[np.uint8]) -> None:
        ctypes.memmove(array.ctypes.data, address, array.nbytes)

    def copy_in(self, device: int, pinned: int, nbytes: int, stream: int) -> None:
        arguments = c_void_p(device), c_void_p(pinned), c_size_t(nbytes), c_void_p(stream)
        self._call("cuMemcpyHtoDAsync_v2", *arguments)

    def copy_out(self, pinned: int, device: int, nbytes: int, stream: int) -> None:
        arguments = c_void_p(pinned), c_void_p(device), c_size_t(nbytes), c_void_p(stream)
        self._call("cuMemcpyDtoHAsync_v2", *arguments)

    def mem_info(self) -> tuple[int, int]:
        free, total = c_size_t(), c_size_t()
        self._call("cuMemGetInfo_v2", byref(free), byref(total))
        return free.value, total.value

    def now_s(self) -> float:
        return time.monotonic()

    def pause(self, seconds: float) -> None:
        time.sleep(seconds)

    def close(self) -> None:
        if self._context is not None:
            self._context = None
            self._call("cuDevicePrimaryCtxRelease_v2", c_int(self.ordinal))
