"""The promises that every application keeps, on small parts that are drawn for it."""

import pytest

pytest.importorskip("torch", reason="the network is one of torch")
pytest.importorskip("onnxscript", reason="torch exports by it")

from deepseek_apps.defects.conformance import TestDefects  # noqa: F401 - pytest finds it here
