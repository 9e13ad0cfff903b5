"""The tutorial of click prediction, followed word by word."""

import pytest
from doc_blocks import DOCS, follow


def test_sessions_become_a_file_that_answers_raw_values(tmp_path, shared):
    for name in ("torch", "sklearn", "onnxruntime"):
        pytest.importorskip(name)
    checks, _ = follow(DOCS / "tutorial/click_prediction.md", tmp_path, shared)
    told = "\n".join(f"$ {check.what}\n{check.actual}" for check in checks)
    assert [check.what for check in checks if not check.holds] == [], told
    assert "stack, calibrated is better than logistic regression, raw" in told
    assert '"row": 3, "probability"' in told
