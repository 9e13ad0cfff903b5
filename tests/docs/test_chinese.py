"""The Chinese pages are in step with the English ones: structure, code, and the prose itself.

After a change of an English page, change the Chinese one, then write the new stamp:

    python tests/docs/test_chinese.py
"""

import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "sdk_docs" / "_made"))
import translated

STAMPS = translated.FOLDER / "stamps.txt"
PAGES = sorted(translated.FOLDER.rglob("*.md"))
EXPECTED = {
    "index.md",
    *(
        f"tutorial/{name}.md"
        for name in ("first_plan", "first_plugin", "first_store", "first_loop")
    ),
    *(
        f"explanation/{name}.md"
        for name in ("architecture", "batching", "evidence", "placement", "store")
    ),
}


def name_of(page):
    return page.relative_to(translated.FOLDER).as_posix()


def stamps():
    return {
        name_of(page): translated.stamp_of(translated.english_of(page).read_text())
        for page in PAGES
    }


def kept():
    return dict(line.split() for line in STAMPS.read_text().splitlines())


def headings_of(text):
    return re.findall(r"^(#+) ", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S), re.M)


def spans_of(text):
    return sorted(re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)))


def tables_of(text):
    return [row.count("|") for row in re.findall(r"^\|.*\|$", text, re.M)]


def lists_of(text):
    return len(
        re.findall(r"^(?:- |\d+\. )", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S), re.M)
    )


def links_of(text):
    """Where links lead to, without the folders on the way."""
    return sorted(Path(link).name for link in re.findall(r"\]\(([^)]+)\)", text))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
@pytest.mark.parametrize("part", [headings_of, spans_of, tables_of, lists_of, links_of])
def test_both_have_the_same(page, part):
    chinese, english = page.read_text(), translated.english_of(page).read_text()
    if page.name == "index.md" and part in (links_of, spans_of):
        pytest.skip("it leads to Chinese pages where there are some")
    assert part(chinese) == part(english)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_english_prose_is_the_one_that_was_translated(page):
    told = f"translate what changed in {translated.english_of(page)}, then: python {__file__}"
    assert kept().get(name_of(page)) == stamps()[name_of(page)], told


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_its_blocks_are_those_of_the_english_page(page):
    english = translated.english_of(page).read_text()
    built = translated.filled(page.read_text(), english)
    assert translated.fences_of(built) == translated.fences_of(english)
    assert "```" not in page.read_text()


def test_the_start_the_tutorials_and_the_concepts_are_there():
    assert {name_of(page) for page in PAGES} == EXPECTED


def test_a_missing_block_is_an_error():
    with pytest.raises(ValueError, match="1 marks for 2 blocks"):
        translated.filled(translated.MARK, "```\na\n```\n\n```\nb\n```\n")


def test_other_blocks_change_no_stamp_and_other_words_do():
    page = "# A\n\nOne word.\n\n```text\n12 ms\n```\n"
    assert translated.stamp_of(page) == translated.stamp_of(page.replace("12 ms", "14 ms"))
    assert translated.stamp_of(page) != translated.stamp_of(page.replace("One", "Two"))


if __name__ == "__main__":
    STAMPS.write_text("".join(f"{name} {stamp}\n" for name, stamp in stamps().items()))
