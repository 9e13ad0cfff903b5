"""The promises that every application keeps, on small parts that are drawn."""

import pytest

pytest.importorskip("torch", reason="the network is one of torch")
pytest.importorskip("onnxscript", reason="torch exports by it")

from deepseek_apps.defects.conformance import TestDefects

__all__ = ["TestDefects"]
