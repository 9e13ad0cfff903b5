"""A stranger copies each kind of plugin from its page: 60 lines at most, the kit finds nothing."""

import json
import os
import subprocess
import sys

import pytest
from doc_blocks import DOCS, ROOT, blocks_of

MOST_LINES = 60
MOST_LINES_OF = {"write_an_application": 110}  # five steps, and figures to judge by
MODULES = {
    "write_a_command": ("acme_hello", None),
    "write_a_compression_step": ("acme_half_weights", "step.py"),
    "write_a_compressor": ("acme_half", "compressor.py"),
    "write_a_device": ("acme_npu", "device.py"),
    "write_a_frontend": ("acme_scale", "frontend.py"),
    "write_a_storage_tier": ("acme_ram", "tier.py"),
    "write_a_strategy": ("acme_rows", "strategy.py"),
    "write_an_application": ("acme_waits", "application.py"),
    "write_an_executor": ("acme_later", "executor.py"),
}
METADATA = """Metadata-Version: 2.1
Name: {dist}
Version: 1.0
Requires-Dist: deepseek-core>=0.1,<0.2
"""


def sources(page):
    """The files of a page's plugin: those with titles, and the first code without one."""
    plugin, module = MODULES[page]
    blocks = blocks_of((DOCS / "howto" / f"{page}.md").read_text())
    titled = [b for b in blocks if b.title and b.title.endswith(".py")]
    files = {b.title.rpartition("/")[2]: b.content for b in titled if f"/{plugin}/" in b.title}
    if module is not None:
        files[module] = next(b.content for b in blocks if b.language == "python" and not b.title)
    return files


@pytest.mark.parametrize("page", MODULES)
def test_a_plugin_takes_sixty_lines(page):
    files = sources(page)
    assert {"hooks.py", "conformance.py"} < {*files}
    lines = [line for text in files.values() for line in text.splitlines() if line.strip()]
    assert len(lines) <= MOST_LINES_OF.get(page, MOST_LINES)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """Plugin -> rule -> outcome and text, of all pages in one process."""
    site, folder = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("kit")
    for page, (plugin, _) in MODULES.items():
        (site / plugin).mkdir()
        for name, text in ({"__init__.py": ""} | sources(page)).items():
            (site / plugin / name).write_text(text)
        about = site / f"{plugin}-1.0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(METADATA.format(dist=plugin.replace("_", "-")))
        entry = f"[deepseek_sdk.plugins.v1]\n{plugin} = {plugin}.hooks\n"
        (about / "entry_points.txt").write_text(entry)
    (folder / "pytest.ini").write_text("[pytest]\n")
    path = [str(site), str(ROOT / "core" / "src"), os.environ.get("PYTHONPATH", "")]
    subprocess.run(
        [
            *(sys.executable, "-P", "-m", "pytest", "-q", "-c", "pytest.ini", "--rootdir=."),
            *("-p", "no:cacheprovider", "--import-mode=importlib", "--basetemp=temp"),
            *("-p", "deepseek_core.testing", "--ds-events", "events"),
            *(str(site / plugin / "conformance.py") for plugin, _ in MODULES.values()),
        ],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path)},
        capture_output=True,
        timeout=240,
        check=False,
    )
    found, told = {}, {}
    for event in map(json.loads, (folder / "events").read_text().splitlines()):
        if event["event"] == "found":
            found[event["id"]] = event["subject"], event["rule"]
        elif event["event"] == "end":
            subject, rule = found[event["id"]]
            told.setdefault(subject, {})[rule] = event["outcome"], event["text"]
    return told


@pytest.mark.parametrize("page", MODULES)
def test_the_kit_finds_nothing(outcomes, page):
    (line,) = [x for x in sources(page)["conformance.py"].splitlines() if x.startswith("class ")]
    rules = outcomes[line.partition(" ")[2].partition("(")[0]]
    assert {rule: text for rule, (outcome, text) in rules.items() if outcome == "failed"} == {}
    passed = [rule for rule, (outcome, _) in rules.items() if outcome == "passed"]
    assert len(passed) > len(rules) * 0.7
