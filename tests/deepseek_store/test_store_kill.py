"""A whole store under processes that are shot while they write, move and collect."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HAMMER = Path(__file__).with_name("hammer.py")


def shoot(*arguments: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own, for it forks."""
    return subprocess.run(
        [sys.executable, str(HAMMER), "kill", *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_killed_processes_lose_nothing_acknowledged_and_leave_no_orphan() -> None:
    done = shoot("--kills", "60")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("60 kills")
    assert " 0 lost or wrong, 0 orphans" in done.stdout


def test_a_process_that_acknowledges_too_early_is_found_out() -> None:
    done = shoot("--kills", "6", "--lies")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "FAILED: 6 kills" in done.stdout
    assert " 0 lost or wrong" not in done.stdout
