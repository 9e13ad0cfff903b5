"""ONNX Runtime, imported here and nowhere else in this package, with its telemetry off.

Its official builds make a device id and queue events as soon as they are imported, unless a
variable forbids it by then. Whoever has set the variable keeps its value.
"""

import os
from typing import Any

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime as ort

from deepseek_compress.onnx_graph.metadata import STANDS_FOR

__all__ = ["options_for", "ort"]


def options_for(metadata: Any, *, threads: int = 1) -> Any:
    """Options of a session for a model with that metadata (its `metadata_props`).

    A file for another runtime runs as it is written: ONNX Runtime would put integers of its own
    into it, for float biases above all, which the other one does not.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    if any(entry.key == STANDS_FOR for entry in metadata):
        options.add_session_config_entry("session.disable_quant_qdq", "1")
    return options
