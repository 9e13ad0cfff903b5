"""ONNX Runtime, imported here and nowhere else in this package, with its telemetry off.

Its official builds make a device id and queue events as soon as they are imported, unless a
variable forbids it by then. Whoever has set the variable keeps its value.
"""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime as ort

__all__ = ["ort"]
