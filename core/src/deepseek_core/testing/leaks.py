"""Whether something that was closed left threads or files behind."""

from __future__ import annotations

import gc
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

_PATIENCE_S: Final = 3.0  # a thread that was told to end may take a moment
_POLL_S: Final = 0.05


def check_releases(use: Callable[[], None]) -> None:
    """Open, use and close something twice: the second time must leave nothing new.

    The first time may: a library's own pools and files stay for the life of the process.
    """
    use()
    gc.collect()
    before = _held()
    use()
    deadline_s = time.monotonic() + _PATIENCE_S
    while (left := _held() - before) and time.monotonic() < deadline_s:
        gc.collect()
        time.sleep(_POLL_S)
    assert not left, f"left open: {', '.join(sorted(left))}"


def _held() -> Counter[str]:
    held = Counter(f"thread {thread.name}" for thread in threading.enumerate())
    for link in Path("/proc/self/fd").iterdir():
        try:
            held[f"file {link.readlink()}"] += 1
        except OSError:  # the listing's own, closed by now
            continue
    return Counter({name: count for name, count in held.items() if "/proc/self" not in name})
