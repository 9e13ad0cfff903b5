"""A stage in an ONNX Runtime session whose tensors stay where they are on the device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from deepseek_core import Stage, errors
from deepseek_cuda.driver.tensors import DeviceTensor, Launched
from deepseek_cuda.onnx_stages.faults import is_vendors, load_error, run_error
from deepseek_cuda.onnx_stages.ort import ort
from deepseek_cuda.onnx_stages.provider import Provider

# ONNX Runtime's words for its types that numpy has and a GPU takes.
DTYPES: Final = {
    "bool": "bool", "int8": "int8", "uint8": "uint8", "int16": "int16", "uint16": "uint16",
    "int32": "int32", "uint32": "uint32", "int64": "int64", "uint64": "uint64",
    "float16": "float16", "float": "float32", "double": "float64",
}  # fmt: skip
_CPU: Final = "CPUExecutionProvider"


class OrtEngine:
    """One session bound to device memory; outputs are of its own arena, and live while held.

    `is_built`: the first run of a shape builds an engine.
    """

    def __init__(self, stage: Stage, device_id: str, session: Any, provider: Provider) -> None:
        self._stage, self._device_id = stage, device_id
        self._session, self._provider = session, provider
        self.is_built = provider.is_built
        self._wanted = [spec.name for spec in stage.outputs]
        self._options = ort.RunOptions()
        # The host does not wait here: events of the pipeline do.
        key = "disable_synchronize_execution_providers"
        self._options.add_run_config_entry(key, "1")

    def placed(self, constants: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
        """They are inputs of the session like others."""
        return constants

    def launch(self, inputs: Mapping[str, DeviceTensor]) -> Launched:
        """Enqueue a run.

        Raises:
            OutOfMemory, DeviceLost, InputRejected: what ONNX Runtime's error means.
        """
        try:
            return self._launch(inputs)
        except Exception as error:
            if not is_vendors(error):
                raise
            raise run_error(error, self._stage.name, self._device_id) from error

    def _launch(self, inputs: Mapping[str, DeviceTensor]) -> Launched:
        binding, where = self._session.io_binding(), self._provider
        for name, tensor in inputs.items():
            shape = list(tensor.shape)
            binding.bind_input(
                name, where.device, where.ordinal, tensor.dtype, shape, tensor.address
            )
        for name in self._wanted:
            binding.bind_output(name, where.device, where.ordinal)
        self._session.run_with_iobinding(binding, self._options)
        made = dict(zip(self._wanted, binding.get_outputs(), strict=True))
        outputs = {name: _tensor(value) for name, value in made.items()}
        return Launched(outputs, keep=(binding, made))

    def release(self) -> None:
        """Let go of the session: the arena frees what no output holds when it grows."""

    def close(self) -> None:
        """Free the session."""
        self._session = None


def _tensor(value: Any) -> DeviceTensor:
    dtype = np.dtype(DTYPES[value.data_type().removeprefix("tensor(").removesuffix(")")])
    return DeviceTensor(value.data_ptr(), dtype, tuple(value.shape()))


def open_engine(stage: Stage, device_id: str, provider: Provider, *, strict: bool) -> OrtEngine:
    """A session for a stage on the provider.

    In strict mode an operator that the provider lacks is refused; otherwise it runs on the CPU.

    Raises:
        Unsupported: an operator that the provider lacks, or a type that a GPU does not take.
        ArtifactError: no readable ONNX model.
        OutOfMemory: it does not fit.
    """
    for spec in (*stage.inputs, *stage.outputs):
        if spec.container or spec.dtype not in DTYPES.values():
            raise errors.Unsupported(
                f"{device_id} does not take {spec}", device_id=device_id, remedy="use the CPU"
            )
    original = stage.artifact.original or stage.artifact
    try:
        source = str(original.path) if original.path is not None else original.read()
        session = open_session(source, provider, strict=strict)
    except errors.DeepSeekError:
        raise
    except Exception as error:
        if not is_vendors(error):
            raise
        raise load_error(error, stage.name, device_id) from error
    return OrtEngine(stage, device_id, session, provider)


def open_session(source: str | bytes, provider: Provider, *, strict: bool) -> Any:
    """A session of ONNX Runtime; raises its own exceptions.

    Raises:
        RuntimeError: it left a provider out, which it does without a word.
    """
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    listed: list[Any] = [(name, dict(given)) for name, given in provider.listed]
    if strict and _CPU not in provider.names:
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    elif _CPU not in provider.names:
        listed.append(_CPU)
    # Else, after an error, it tries providers of its own choice, the CPU's among them.
    session = ort.InferenceSession(source, options, providers=listed, enable_fallback=0)
    left_out = [name for name in provider.names if name not in session.get_providers()]
    if left_out:
        raise RuntimeError(f"{left_out[0]} could not be used; ds-sdk doctor says why")
    return session
