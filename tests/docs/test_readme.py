"""The Chinese README keeps step with the English one: same shape, same commands, same links."""

import re

import pytest
from doc_blocks import ROOT

ENGLISH = (ROOT / "README.md").read_text(encoding="utf-8")
CHINESE = (ROOT / "README.zh-CN.md").read_text(encoding="utf-8")


def code_of(text):
    """Fenced and indented blocks, in order."""
    return re.findall(r"^```.*?^```$|(?:^ {4}\S[^\n]*\n)+", text, re.M | re.S)


def headings_of(text):
    return [len(marks) for marks in re.findall(r"^(#+) \S", text, re.M)]


def tables_of(text):
    """Of each row the cells that hold nothing but code, and how many cells there are."""
    rows = re.findall(r"^\|(.+)\|$", text, re.M)
    return [[c.strip() if c.strip().startswith("`") else "" for c in r.split("|")] for r in rows]


def spans_of(text):
    """What stands in backquotes outside of code blocks: names, paths, commands."""
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    return sorted(re.findall(r"`([^`]+)`", prose))


def numbers_of(text):
    return sorted(re.findall(r"\d[\d,.]*\d|\d", re.sub(r"[（）。，；：、]", " ", text)))


@pytest.mark.parametrize("part", [code_of, headings_of, spans_of, numbers_of])
def test_both_have_the_same(part):
    assert part(CHINESE) == part(ENGLISH)
    assert part(ENGLISH)


def test_tables_have_the_same_rows():
    english, chinese = tables_of(ENGLISH), tables_of(CHINESE)
    assert [len(row) for row in chinese] == [len(row) for row in english]
    firsts = [(row[0], other[0]) for row, other in zip(english, chinese, strict=True) if row[0]]
    assert all(mine == other for mine, other in firsts)


def test_each_leads_to_the_other():
    assert "(README.zh-CN.md)" in ENGLISH
    assert "(README.md)" in CHINESE


@pytest.mark.parametrize(
    ("old", "new"),
    [("make demo\n", "make show\n"), ("## 使用", "### 使用"), ("`ds-sdk doctor`", "`ds-sdk dr`")],
)
def test_a_translation_that_falls_behind_is_found_out(old, new):
    stale = CHINESE.replace(old, new, 1)
    assert stale != CHINESE
    assert any(part(stale) != part(ENGLISH) for part in (code_of, headings_of, spans_of))
