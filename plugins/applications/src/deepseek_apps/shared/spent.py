"""CPU seconds that work takes: those of this process and of its children that have ended."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deepseek_core import console


def cpu_seconds() -> float:
    """CPU seconds since this process began."""
    of = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(used.ru_utime + used.ru_stime for used in map(resource.getrusage, of))


@contextmanager
def counted(path: Path) -> Iterator[None]:
    """Add what is spent within to what the file has of earlier tries, however it ends."""
    begin_s, earlier_s = cpu_seconds(), read_spent(path)
    try:
        yield
    finally:
        with console.whole_file(path) as partial:
            told = json.dumps(round(earlier_s + cpu_seconds() - begin_s, 3))
            partial.write_text(f"{told}\n", encoding="utf-8")


def read_spent(path: Path) -> float:
    """The CPU seconds that a file has; 0 where there is none."""
    return float(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else 0.0
