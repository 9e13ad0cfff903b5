"""An end of the process that torch's threads do not abort.

A thread of gloo lets go of the tensors of a collective after it has told that it is done, and asks
for Python's lock to do so. On a busy machine that may come when Python has begun to end, and
aborts the process: "terminate called without an active exception"
(https://github.com/pytorch/pytorch/issues/190489). `destroy_process_group` joins such threads only
where nothing holds the group any more, and meshes of torch and what trains on them do.
"""

from __future__ import annotations

import atexit
import time
from functools import cache
from pathlib import Path
from typing import Final

LIMIT_S: Final = 5.0
"""How long an end waits at most."""
_STEP_S: Final = 0.002
_THREADS: Final = Path("/proc/self/task")
_NAME: Final = "pt_gloo_runloop"
_BUSY: Final = "RD"
"""States of a thread that runs, wants to run, or waits for a disk."""


@cache
def end_after_gloo() -> None:
    """Let this process end only when gloo's threads have let go of its tensors."""
    atexit.register(wait_for_gloo)


def wait_for_gloo() -> None:
    """Wait until gloo's threads have nothing to do; `LIMIT_S` at most.

    Where threads can't be seen, as on macOS, they get a moment.
    """
    if not _THREADS.is_dir():
        time.sleep(25 * _STEP_S)
        return
    until_s = time.monotonic() + LIMIT_S
    idle = 0
    while idle < 2 and time.monotonic() < until_s:
        time.sleep(_STEP_S)  # without Python's lock, so that a thread which asks for it goes on
        idle = 0 if _is_busy() else idle + 1


def _is_busy() -> bool:
    for thread in _THREADS.iterdir():
        try:
            name, _, rest = (thread / "stat").read_text().rpartition(") ")
        except OSError:
            continue  # ended since
        if name.endswith(f"({_NAME}") and rest[0] in _BUSY:
            return True
    return False
