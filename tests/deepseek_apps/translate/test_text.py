"""Lines are read strictly: what is no text is refused by file and line, nothing is guessed."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_apps.translate.text import clean, key, read_columns, read_lines
from deepseek_core import errors


def written(folder: Path, content: bytes) -> Path:
    path = folder / "train.en"
    path.write_bytes(content)
    return path


def test_crlf_a_mark_of_utf8_and_a_missing_last_line_end_are_taken(tmp_path: Path) -> None:
    path = written(tmp_path, b"\xef\xbb\xbfone\r\ntwo\r\n\r\nfour")
    assert read_lines(path) == ["one", "two", "", "four"]


def test_gzip_is_read_by_its_content_not_its_name(tmp_path: Path) -> None:
    assert read_lines(written(tmp_path, gzip.compress("ä\n".encode()))) == ["ä"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("Übung\n".encode("utf-16"), "UTF-16"),
        ("Übung\n".encode("utf-32"), "UTF-32"),
        (b"good\nM\xfcnchen\n", "line 2 is not UTF-8: byte 0xfc"),
        (b"good\nb\x00d\n", r"line 2 has the character U\+0000 at column 2"),
        ("a\nb\x85c\n".encode(), r"line 2 has the character U\+0085"),
        (b"a\rb\n", r"U\+000D"),
        (b"word " * 10_000, "line 1 has 50,000 characters"),
        (gzip.compress(b"text")[:-6], "is a damaged gzip file"),
    ],
)
def test_what_is_no_text_is_named(tmp_path: Path, content: bytes, told: str) -> None:
    with pytest.raises(errors.InputError, match=told) as caught:
        read_lines(written(tmp_path, content))
    assert caught.value.remedy


def test_a_separator_within_a_sentence_ends_no_line(tmp_path: Path) -> None:
    assert read_lines(written(tmp_path, "a\u2028b\n".encode())) == ["a b"]


def test_letters_and_their_marks_become_one_character() -> None:
    assert clean("Mu\u0308nchen", "here") == "München"


def test_a_table_without_a_tab_is_refused_by_its_line(tmp_path: Path) -> None:
    with pytest.raises(errors.InputError, match="line 2 has no tab"):
        read_columns(written(tmp_path, b"a\tb\tby somebody\nc d\n"))


def test_a_key_forgets_case_width_and_punctuation_and_no_word() -> None:
    assert key("Hello,  WORLD!") == key("hello world") == key("ｈｅｌｌｏ world…")
    assert key("hello word") != key("hello world")
    assert key("?!") != key("...")


@given(st.text(st.characters(categories=["L", "N", "P", "Zs", "M"]), max_size=40))
def test_a_clean_line_stays_as_it_is(text: str) -> None:
    once = clean(text, "here")
    assert clean(once, "here") == once
