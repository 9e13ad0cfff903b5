"""The tutorial of translation, followed word by word."""

import pytest
from doc_blocks import DOCS, follow


def test_sentences_are_translated_from_a_table_to_answers(tmp_path, shared):
    for name in ("torch", "sentencepiece", "ctranslate2", "sacrebleu"):
        pytest.importorskip(name)
    checks, _ = follow(DOCS / "tutorial/translate_sentences.md", tmp_path, shared)
    told = "\n".join(f"$ {check.what}\n{check.actual}" for check in checks)
    assert [check.what for check in checks if not check.holds] == [], told
    assert '"translation": ""' in told
    assert "tok:zh" in told
