"""ONNX models as functions from inputs to outputs: ONNX Runtime on the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from deepseek_core import errors


def onnx_predictor(model: bytes | Path, *, threads: int = 1) -> Any:
    """What runs an ONNX model, given as a file or its bytes, on batches of any size that it takes.

    One output is an array, several are a mapping by name. Inputs get the file's own dtype.

    Raises:
        ArtifactError: ONNX Runtime can't load it.
    """
    from deepseek_compress.onnx_graph.ort import options_for, ort

    source = model if isinstance(model, bytes) else str(model)
    try:
        options = options_for(_metadata(model), threads=threads)
        options.log_severity_level = 3
        session = ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise errors.ArtifactError(
            f"ONNX Runtime can't load the model: {error}", remedy="check the file with onnx.checker"
        ) from error
    return _Runner(session).run


def _metadata(model: bytes | Path) -> Any:
    import onnx

    if isinstance(model, bytes):
        return onnx.load_from_string(model).metadata_props
    return onnx.load(model, load_external_data=False).metadata_props


class _Runner:
    def __init__(self, session: Any) -> None:
        self._session = session
        self._inputs = {value.name: value for value in session.get_inputs()}
        self._outputs = [value.name for value in session.get_outputs()]

    def run(self, inputs: Mapping[str, Any]) -> Any:
        """Outputs for a batch.

        Raises:
            InputError: the inputs are not the model's.
        """
        fed = self._named(inputs)
        size = self._fixed_size()
        count = len(next(iter(fed.values())))
        if size is None or size == count:
            return self._once(fed)
        return self._in_parts(fed, size, count)

    def _named(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        names = list(self._inputs)
        if set(names) == set(inputs):
            fed = dict(inputs)
        elif len(names) == len(inputs) == 1:
            fed = dict(zip(names, inputs.values(), strict=True))
        else:
            raise errors.InputError(
                f"the model has inputs {', '.join(names)}, the data {', '.join(inputs)}",
                remedy="name the data as the model does",
            )
        return {name: self._typed(name, array) for name, array in fed.items()}

    def _typed(self, name: str, array: Any) -> Any:
        wanted = {"tensor(float)": np.float32, "tensor(double)": np.float64,
                  "tensor(float16)": np.float16}.get(self._inputs[name].type)  # fmt: skip
        return array.astype(wanted) if wanted and array.dtype.kind == "f" else array

    def _fixed_size(self) -> int | None:
        first = next(iter(self._inputs.values())).shape
        return first[0] if first and isinstance(first[0], int) else None

    def _in_parts(self, fed: dict[str, Any], size: int, count: int) -> Any:
        """A model of a fixed batch, part by part; the last is filled up by its first sample."""
        found = []
        for start in range(0, count, size):
            part = {name: array[start : start + size] for name, array in fed.items()}
            real = len(next(iter(part.values())))
            filled = {
                name: np.concatenate([array, np.repeat(array[:1], size - real, axis=0)])
                for name, array in part.items()
            }
            found.append(_cut(self._once(filled), real))
        if isinstance(found[0], Mapping):
            return {name: np.concatenate([part[name] for part in found]) for name in found[0]}
        return np.concatenate(found)

    def _once(self, fed: dict[str, Any]) -> Any:
        try:
            values = self._session.run(None, fed)
        except Exception as error:
            given = ", ".join(f"{n} {a.dtype} {list(a.shape)}" for n, a in fed.items())
            raise errors.InputError(
                f"the model can't take {given}: {error}",
                remedy="let the data function give what the model eats",
            ) from error
        named = dict(zip(self._outputs, values, strict=True))
        return values[0] if len(values) == 1 else named


def _cut(output: Any, count: int) -> Any:
    if isinstance(output, Mapping):
        return {name: array[:count] for name, array in output.items()}
    return output[:count]
