"""The promises that every application keeps, on small data that are drawn for each."""

import pytest

pytest.importorskip("torch", reason="the networks are those of torch")
pytest.importorskip("onnxscript", reason="torch exports by it")
pytest.importorskip("ctranslate2", reason="translations are exported for it, too")

from deepseek_apps.conformance import (  # noqa: F401 - pytest finds them here
    TestCtr,
    TestDefects,
    TestTranslate,
)
