"""Workers of a study that several processes share: a killed one says no goodbye."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

WORKER: Final = "worker"
"""A trial's attribute that names the process that began it."""
_START_TIME: Final = 19
"""Of the fields of /proc/PID/stat after the name, as proc(5) counts them from the third."""


def this_worker() -> dict[str, Any]:
    """Name this process so that no later one of the same number is taken for it."""
    pid = os.getpid()
    return {"host": socket.gethostname(), "pid": pid, "began": _began(pid)}


def may_be_at_work(worker: Mapping[str, Any] | None) -> bool:
    """Whether a process may still be at its trial; of other machines nothing is known."""
    if not worker:
        return False
    if worker.get("host") != socket.gethostname():
        return True
    began = _began(int(worker["pid"]))
    return began is not None and began == worker.get("began")


def _began(pid: int) -> int | None:
    """Clock ticks from the boot to the process's start; None where there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    return int(text.rpartition(")")[2].split()[_START_TIME])
