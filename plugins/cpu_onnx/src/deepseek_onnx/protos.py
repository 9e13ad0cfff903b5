"""The message classes of ONNX, without the rest of the package `onnx`.

`import onnx` takes as long as a small model takes to load and run, and most of that is for its
tools. Its file of message classes needs protobuf alone. Protobuf makes each class once in a
process, so these are the very classes of `onnx`, in whatever order both are imported.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from onnx import (
        AttributeProto,
        FunctionProto,
        GraphProto,
        ModelProto,
        NodeProto,
        OperatorSetIdProto,
        SparseTensorProto,
        TensorProto,
        TypeProto,
        ValueInfoProto,
    )
else:

    def _messages() -> Any:
        package = find_spec("onnx") if "onnx" not in sys.modules else None
        folders = [] if package is None else package.submodule_search_locations or []
        for folder in folders:
            spec = spec_from_file_location(f"{__name__}.messages", Path(folder, "onnx_ml_pb2.py"))
            if spec is not None and spec.loader is not None and Path(spec.origin).is_file():
                made = module_from_spec(spec)
                spec.loader.exec_module(made)
                return made
        import onnx

        return onnx

    _found = _messages()
    AttributeProto = _found.AttributeProto
    FunctionProto = _found.FunctionProto
    GraphProto = _found.GraphProto
    ModelProto = _found.ModelProto
    NodeProto = _found.NodeProto
    OperatorSetIdProto = _found.OperatorSetIdProto
    SparseTensorProto = _found.SparseTensorProto
    TensorProto = _found.TensorProto
    TypeProto = _found.TypeProto
    ValueInfoProto = _found.ValueInfoProto

__all__ = [
    "AttributeProto",
    "FunctionProto",
    "GraphProto",
    "ModelProto",
    "NodeProto",
    "OperatorSetIdProto",
    "SparseTensorProto",
    "TensorProto",
    "TypeProto",
    "ValueInfoProto",
]
