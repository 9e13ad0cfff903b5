"""The blocks of every other page run, and print what the page says."""

import re

import pytest
from doc_blocks import DOCS, Reader, blocks_of, follow

PAGES = [
    page
    for page in sorted(DOCS.rglob("*.md"))
    if page.parent.name != "tutorial"
    and any(block.language in ("console", "python") for block in blocks_of(page.read_text()))
]
PROMISE = re.compile(
    r"(After this page|On this page you find|In \w+ minutes you will|"
    r"Learn (?:how|what|where|which|when|why)|Start here:) |(?:从这里开始：|用.分钟，你会|了解)"
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_blocks_print_what_the_page_says(page, tmp_path, shared):
    checks, _ = follow(page, tmp_path, shared)
    wrong = [check for check in checks if not check.holds]
    told = [f"$ {c.what}\n-- the page:\n{c.expected}-- now:\n{c.actual}" for c in wrong]
    assert not wrong, "\n".join([*told, f"python tests/docs/doc_blocks.py {page}"])


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda page: page.stem)
def test_a_page_begins_with_what_its_reader_will_be_able_to_do(page):
    title, opening = page.read_text().split("\n\n")[:2]
    assert title.startswith("# ")
    assert PROMISE.match(opening), opening


def read(text, folder):
    folder.mkdir()
    return Reader(folder).follow(text)[0]


@pytest.mark.parametrize(
    "text",
    [
        "```console\n$ echo hello world\ngoodbye world\n```\n",
        "```console\n$ echo hello\nhello\nmore\n```\n",
        "```python\nprint('seven')\n```\n\n```text\neight\n```\n",
        "```python\nprint('not shown')\n```\n",
        "```console\n$ echo 'why: gemm runs on a, the only device that supports it.'\n"
        "why: gemm runs on b, the only device that supports it.\n```\n",
    ],
)
def test_a_page_that_says_something_else_is_found_out(text, tmp_path):
    assert not all(check.holds for check in read(text, tmp_path / "reader"))


@pytest.mark.parametrize(
    "text",
    [
        "```console\n$ echo took 12.5 ms; echo over\ntook 3 s\nover\n```\n",
        "```console\n$ seq 5; echo end\n1\n...\nend\n```\n",
        "```console\n$ export A=b\n$ cd / && echo $A\nb\n```\n",
        '```text title="a/b.txt"\nx\n```\n\n```console\n$ cat a/b.txt\nx\n```\n',
        "```python\nx = 2\n```\n\n```python\nprint(x)\n```\n\n```text\n2\n```\n",
    ],
)
def test_figures_and_left_out_lines_do_not_count(text, tmp_path):
    assert all(check.holds for check in read(text, tmp_path / "reader"))


def test_a_command_that_fails_unannounced_stops_the_page(tmp_path):
    with pytest.raises(AssertionError, match="exit code 1"):
        read("```console\n$ false\n```\n", tmp_path / "reader")
