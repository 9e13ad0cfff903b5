"""How large an ONNX model is: weights, multiply-accumulates for one sample, bytes."""

from __future__ import annotations

import math

import onnx
from onnx import TensorProto

from deepseek_compress.onnx_graph.work import macs_by_node
from deepseek_core import Artifact, DeepSeekError, compression, errors

_WEIGHTS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE)


def onnx_profile(model: Artifact) -> compression.ModelProfile:
    """The profile of a float model; operations are None where its inputs can't be made up.

    Raises:
        ArtifactError: it is not an ONNX file.
    """
    content = model.read()
    try:
        proto = onnx.load_from_string(content)
    except Exception as error:  # protobuf's own class depends on its version
        raise errors.ArtifactError(
            f"{model.path or 'the model'} is not an ONNX file: {error}", remedy="check the file"
        ) from error
    weights = [t for t in proto.graph.initializer if t.data_type in _WEIGHTS]
    return compression.ModelProfile(
        parameters=sum(math.prod(tensor.dims) for tensor in weights),
        macs=_macs(proto),
        nbytes=len(content),
    )


def _macs(proto: onnx.ModelProto) -> int | None:
    try:
        return sum(macs_by_node(proto, None).values())
    except (DeepSeekError, KeyError):
        return None
