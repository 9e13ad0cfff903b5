"""A store whose disks go and come back under processes that are shot; see `store_disks`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HAMMER = Path(__file__).with_name("hammer.py")


def test_disks_away_in_turn_under_processes_that_are_shot() -> None:
    """In a process of its own, for it forks."""
    command = [sys.executable, str(HAMMER), "disks", "--sequences", "3"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("3 sequences of 8 rounds")
