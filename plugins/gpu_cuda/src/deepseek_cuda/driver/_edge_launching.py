"""The part of the real CUDA that loads, launches and captures kernels; as thin as the rest."""

from __future__ import annotations

from collections.abc import Sequence
from ctypes import POINTER, byref, c_char_p, c_int, c_uint, c_ulonglong, c_void_p, cast, pointer
from typing import Any, Final

from deepseek_cuda.driver.api import Launch

_THREAD_LOCAL: Final = 1
# Kernels of Triton end with addresses of scratch memory, which ours need none of.
_SCRATCH: Final = (0, 0)


class Launching:
    """Calls over `_call` and `_made` of the class that inherits this one."""

    _call: Any
    _made: Any

    def load_module(self, cubin: bytes) -> int:
        return int(self._made("cuModuleLoadData", c_char_p(cubin)))

    def unload_module(self, module: int) -> None:
        self._call("cuModuleUnload", c_void_p(module))

    def function(self, module: int, name: str) -> int:
        return int(self._made("cuModuleGetFunction", c_void_p(module), c_char_p(name.encode())))

    def launch(
        self,
        function: int,
        shape: Launch,
        addresses: Sequence[int],
        numbers: Sequence[int],
        stream: int,
    ) -> None:
        places = [*map(c_ulonglong, addresses), *map(c_int, numbers), *map(c_ulonglong, _SCRATCH)]
        listed = (c_void_p * len(places))(*(cast(pointer(place), c_void_p) for place in places))
        sizes = (*shape.grid, 1, shape.threads, 1, 1, shape.shared_bytes)
        ends = c_void_p(stream), cast(listed, POINTER(c_void_p)), None
        self._call("cuLaunchKernel", c_void_p(function), *map(c_uint, sizes), *ends)

    def begin_capture(self, stream: int) -> None:
        self._call("cuStreamBeginCapture_v2", c_void_p(stream), c_int(_THREAD_LOCAL))

    def end_capture(self, stream: int) -> int:
        noted = c_void_p()
        self._call("cuStreamEndCapture", c_void_p(stream), byref(noted))
        try:
            return int(self._made("cuGraphInstantiateWithFlags", noted, c_ulonglong(0)))
        finally:
            self._call("cuGraphDestroy", noted)

    def launch_graph(self, graph: int, stream: int) -> None:
        self._call("cuGraphLaunch", c_void_p(graph), c_void_p(stream))

    def destroy_graph(self, graph: int) -> None:
        self._call("cuGraphExecDestroy", c_void_p(graph))
