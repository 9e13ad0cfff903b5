"""An engine on a stream: shapes and addresses are set, outputs lie in memory of ours."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import Any, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from deepseek_core import errors
from deepseek_cuda.driver.api import CudaApi
from deepseek_cuda.driver.buffers import Pool
from deepseek_cuda.driver.tensors import DeviceTensor, Launched
from deepseek_cuda.trt_engines.manifest import EngineFile
from deepseek_cuda.trt_engines.runtime import Runtime

_IDLE_BYTES: Final = 64 << 20


@attrs.frozen(kw_only=True)
class Ready:
    """An engine that was read and checked: the library's handles, its file, and the GPU's id."""

    runtime: Runtime
    engine: Any
    context: Any
    file: EngineFile
    device_id: str


class TrtEngine:
    """One engine with one context on one stream."""

    is_built = False

    def __init__(self, api: CudaApi, stream: int, ready: Ready) -> None:
        self._stream, self._runtime, self._file = stream, ready.runtime, ready.file
        self._engine, self._context, self.device_id = ready.engine, ready.context, ready.device_id
        self._pool = Pool(api.alloc, api.free, _IDLE_BYTES)

    def placed(self, constants: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
        """They are inputs of the engine like others."""
        return constants

    def launch(self, inputs: Mapping[str, DeviceTensor]) -> Launched:
        """Enqueue a run.

        Raises:
            InputRejected: no profile of the engine has such a shape.
            Unsupported: a shape that depends on values.
            DeviceLost: the library could not enqueue it.
            CudaFault: the driver refused memory.
        """
        for name, tensor in inputs.items():
            if not self._runtime.set_shape(self._context, name, tensor.shape):
                raise self._no_profile(name, tensor.shape)
            self._runtime.set_address(self._context, name, tensor.address)
        blocks: list[int] = []
        try:
            outputs = {spec.name: self._placed(spec.name, spec.dtype, blocks)
                       for spec in self._file.outputs}  # fmt: skip
            if not self._runtime.enqueue(self._context, self._stream):
                raise errors.DeviceLost(
                    f"{self.device_id}: TensorRT did not run: {self._runtime.last_words()}",
                    device_id=self.device_id,
                    remedy="nvidia-smi (does it still show the GPU? else reboot)",
                )
        except BaseException:
            self._give(blocks)
            raise
        launched = Launched(outputs, keep=None)
        weakref.finalize(launched, self._give, blocks).atexit = False
        return launched

    def _placed(self, name: str, dtype: str, blocks: list[int]) -> DeviceTensor:
        shape = self._runtime.shape(self._context, name)
        if any(length < 0 for length in shape):
            raise errors.Unsupported(
                f"{self.device_id}: the shape of output {name!r} depends on values",
                device_id=self.device_id,
                remedy="run the ONNX model instead (gpu_cuda.onnx_providers=tensorrt,cuda)",
            )
        kind = np.dtype(dtype)
        blocks.append(self._pool.take(max(1, int(np.prod(shape, dtype=np.int64)) * kind.itemsize)))
        self._runtime.set_address(self._context, name, blocks[-1])
        return DeviceTensor(blocks[-1], kind, shape)

    def _no_profile(self, name: str, shape: tuple[int, ...]) -> errors.InputRejected:
        known = self._file.ranges.get(name)
        told = (
            f"it was built for {_text(known[0])} to {_text(known[1])}" if known else "it is fixed"
        )
        return errors.InputRejected(
            f"{self.device_id}: the engine takes no {name!r} of shape {_text(shape)}: {told}",
            device_id=self.device_id,
            remedy=f"ds-sdk trt build MODEL -o FOLDER --profile {name}=MIN:OPT:MAX",
        )

    def _give(self, blocks: list[int]) -> None:
        for block in blocks:
            self._pool.give(block)

    def release(self) -> None:
        """Free what is kept for outputs."""
        self._pool.release()

    def close(self) -> None:
        """Free context, engine and memory; nothing of it is on its way."""
        self._context = self._engine = None
        self._pool.release()


def _text(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "()"
