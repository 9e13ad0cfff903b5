"""The job `trimodal` keeps every promise of an application, from a table to answers."""

import pytest

for needed in ("torch", "onnx", "onnxruntime", "onnxscript", "PIL", "safetensors"):
    pytest.importorskip(needed)

from deepseek_fusion.conformance import TestTrimodal

__all__ = ["TestTrimodal"]
