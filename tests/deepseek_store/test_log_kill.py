"""The log under a writer that is shot again and again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

LOOP = Path(__file__).with_name("kill_loop.py")


def shoot(*arguments: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own, for it forks."""
    return subprocess.run(
        [sys.executable, str(LOOP), *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_a_hundred_killed_writers_lose_nothing_acknowledged() -> None:
    done = shoot("--kills", "100")
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 lost, 0 wrong, 0 half" in done.stdout


def test_a_writer_that_acknowledges_too_early_is_found_out() -> None:
    done = shoot("--kills", "12", "--lies")
    assert done.returncode == 1, done.stdout + done.stderr
    assert " 0 lost" not in done.stdout
