"""The tutorial, followed word by word by a stranger in folders and environments of his own."""

import subprocess
import sys
from itertools import pairwise

import pytest
from doc_blocks import DOCS, blocks_of, follow

PAGES = sorted(DOCS.glob("tutorial/*.md"))


def transcript(checks):
    return "\n".join(f"$ {check.what}\n{check.actual}" for check in checks)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_block_can_be_followed(page):
    blocks = blocks_of(page.read_text())
    shown = [b for b in blocks if b.title is None and b.language not in ("console", "python")]
    after_python = [b for a, b in pairwise(blocks) if a.language == "python"]
    assert blocks
    assert all(block.language == "text" and block in after_python for block in shown)


def test_a_first_plan_is_made_measured_and_run(tmp_path, shared):
    checks, _ = follow(DOCS / "tutorial/first_plan.md", tmp_path, shared)
    assert [check.what for check in checks if not check.holds] == []
    assert "matching ran on opencl:pocl:0" in transcript(checks)
    assert "(256, 3) True" in transcript(checks)


def test_a_stranger_ends_with_a_device_of_his_own_that_ran_a_model(tmp_path, shared):
    checks, _ = follow(DOCS / "tutorial/first_plugin.md", tmp_path, shared)
    told = transcript(checks)
    assert [check.what for check in checks if not check.holds] == [], told
    assert "acme_npu (acme-npu 0.1.0) conforms" in told
    assert "gemm ran on acme_npu:0" in told
    assert "(100, 8) True" in told
    assert "acme-npu" in installed(tmp_path / "venv" / "bin" / "python")
    assert "acme-npu" not in installed(sys.executable)


def test_a_store_loses_a_disk_and_no_byte(tmp_path):
    checks, _ = follow(DOCS / "tutorial/first_store.md", tmp_path)
    told = transcript(checks)
    assert [check.what for check in checks if not check.holds] == [], told
    assert "1 fault (1 unreachable), repaired: 0." in told
    assert "the same" in told
    assert told.count("Nothing is wrong.") == 1


def test_a_model_is_trained_tuned_compressed_and_run(tmp_path, shared):
    """Each step reads what the one before it left."""
    pytest.importorskip("torch")
    checks, _ = follow(DOCS / "tutorial/first_loop.md", tmp_path, shared)
    told = transcript(checks)
    assert [check.what for check in checks if not check.holds] == [], told
    assert told.count("nothing is computed while data are read [data_loader") == 2
    assert "(256, 10) True" in told


def installed(python):
    command = [python, "-P", "-c", "from deepseek_core.discovery.scan import scan\n"
               "print([point.dist for point in scan()])"]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
