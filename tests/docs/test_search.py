"""The search of the built pages works from a folder, without a server, and finds things."""

import json
import re
import shutil
import subprocess

import pytest

ASKED = {
    "dataloader": "howto/train_from_a_store",
    "upgrade": "upgrade",
    "FAQ": "troubleshooting",
    "glossary": "reference/glossary",
    "erasure": "explanation/store",
    "Windows": "explanation/limits",
    "uninstall": "upgrade",
    "vulnerability": "reference/versioning",
}
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.mark.parametrize(("word", "page"), ASKED.items())
def test_the_index_has_what_people_ask_for(site, word, page):
    docs = json.loads((site / "search/search_index.json").read_text())["docs"]
    found = {
        doc["location"].partition("#")[0]
        for doc in docs
        if re.search(rf"\b{word}\b", f"{doc['title']} {doc['text']}", re.I)
    }
    assert f"{page}.html" in found


def test_pages_opened_as_files_get_the_index_as_a_script(site):
    script = (site / "search/search_index.js").read_text()
    assert script.startswith("var __index = {")
    assert "javascripts/iframe-worker.js" in (site / "index.html").read_text()


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
@pytest.mark.parametrize("word", ASKED)
def test_a_browser_finds_it_in_a_folder(site, word, tmp_path):
    url = f"{(site / 'tutorial/first_plan.html').as_uri()}?q={word}"
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}",
        "--virtual-time-budget=20000", "--dump-dom", url,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    results = re.search(r'<ol class="md-search-result__list"[^>]*>(.*?)</ol>', done.stdout, re.S)
    links = re.findall(r'href="([^"#?]+)', results[1]) if results else []
    assert any(link.endswith(f"{ASKED[word]}.html") for link in links), links
