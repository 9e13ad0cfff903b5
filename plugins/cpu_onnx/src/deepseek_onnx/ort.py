"""ONNX Runtime, imported here and nowhere else in this package, with its telemetry off.

Its official builds make a device id and queue events for their vendor as soon as they are imported
(1.32 does), unless a variable forbids it by then. Whoever has set the variable keeps its value;
versions that do not know it pass it over.
"""

import os
from typing import Final

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as state

__all__ = ["MAPS_DATA", "ort", "state"]

MAPS_DATA: Final = tuple(map(int, ort.__version__.split(".")[:2])) >= (1, 21)
"""Whether a model that is given as bytes may have data in files: 1.20 does not find them."""
