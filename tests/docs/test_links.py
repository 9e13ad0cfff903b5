"""Every link and address in the files that people read leads somewhere."""

import re
import subprocess

import pytest
from doc_blocks import ROOT

FILES = sorted(
    ROOT / name
    for name in subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "*.md", "*.toml"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split()
    if (ROOT / name).exists()
)  # fmt: skip
PAGES = [file for file in FILES if file.suffix == ".md"]
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```$", re.M | re.S)
# Reserved by RFC 2606 and 6761: what stands there is an example, never a place.
RESERVED = re.compile(r"https?://[\w.-]*\.(?:example|test|invalid)\b")


def name_of(file):
    return str(file.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_to_files_of_the_repository_lead_somewhere(page):
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    links = [link for link in LINK.findall(text) if "://" not in link and link[0] != "#"]
    lost = [link for link in links if not (page.parent / link.partition("#")[0]).exists()]
    assert lost == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_anchors_of_links_are_headings(page):
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for link in LINK.findall(text):
        path, _, anchor = link.partition("#")
        if anchor and "://" not in link and path.endswith((".md", "")):
            target = (page.parent / path if path else page).read_text(encoding="utf-8")
            if "<!-- made:" not in target:
                assert anchor in anchors_of(target), link


def anchors_of(text):
    """What mkdocs and git hosts make of headings."""
    given = re.findall(r"^#+ .*\{ ?#([\w.-]+) ?\}$", text, re.M)
    headings = re.findall(r"^#+ (.+?)(?: \{.*\})?$", FENCE.sub("", text), re.M)
    made = (re.sub(r"[^\w\s-]", "", heading.lower()).strip() for heading in headings)
    return {*given, *(re.sub(r"[\s]+", "-", heading) for heading in made)}


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_no_address_is_made_up_outside_of_an_example(file):
    text = file.read_text(encoding="utf-8")
    told = FENCE.sub("", text) if file.suffix == ".md" else text
    assert RESERVED.findall(re.sub(r"`[^`\n]+`", "", told)) == []
