"""CPU seconds of a training, over all its tries."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from deepseek_apps.shared.spent import counted, read_spent


def test_a_try_that_failed_and_its_children_count(tmp_path: Path) -> None:
    path = tmp_path / "cpu_s.json"
    assert read_spent(path) == 0.0

    with pytest.raises(KeyboardInterrupt), counted(path):
        _spend(0.1)
        raise KeyboardInterrupt
    first = read_spent(path)
    own_s = time.process_time()
    with counted(path):
        subprocess.run([sys.executable, "-c", "sum(range(3_000_000))"], check=True, timeout=60)
    assert first >= 0.1
    assert read_spent(path) - first > time.process_time() - own_s


def _spend(seconds: float) -> None:
    begin_s = time.process_time()
    while time.process_time() - begin_s < seconds:
        pass
