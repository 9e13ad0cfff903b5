"""The tutorials of inspection, of its whole chain and of fusion, followed word by word."""

import pytest
from doc_blocks import DOCS, follow


@pytest.mark.parametrize("page", ["inspect_for_defects", "fuse_modalities", "whole_chain"])
def test_what_a_page_says_happens(page, tmp_path, shared):
    for name in ("torch", "onnxruntime", "onnxscript", "PIL"):
        pytest.importorskip(name)
    checks, _ = follow(DOCS / f"tutorial/{page}.md", tmp_path, shared)
    told = "\n".join(f"$ {check.what}\n{check.actual}" for check in checks)
    assert [check.what for check in checks if not check.holds] == [], told
    assert checks
