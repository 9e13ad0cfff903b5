"""ONNX Runtime, imported here alone in this package, with its telemetry off."""

import os

# Its official builds queue events for their vendor once imported, unless this forbids it by then.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime as ort

__all__ = ["ort"]
