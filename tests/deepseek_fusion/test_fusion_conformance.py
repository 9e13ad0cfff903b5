"""The job `trimodal` keeps every promise of an application, from a table to answers."""

import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
pytest.importorskip("PIL")
pytest.importorskip("soundfile")
pytest.importorskip("safetensors")

from deepseek_fusion.conformance import TestTrimodal

__all__ = ["TestTrimodal"]
