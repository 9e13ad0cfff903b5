"""The claim of a run on a URL: one run at a time saves there.

A claim names the processes of the run that made it. It is taken over by a run that one of them is
in, where none of them lives, or where nobody can tell, since they are of another machine; who was
taken over finds the other name at the next save, and stops. So no clock decides, and no claim of a
dead process blocks a restart.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from deepseek_parallel.checkpoint.place import Place
from deepseek_parallel.errors import AnotherWriter

NAME: Final = "writer.json"
Process = dict[str, Any]


def this_process() -> Process:
    """This process, so that others of the machine can tell whether it still lives."""
    pid = os.getpid()
    return {"machine": _machine(), "host": socket.gethostname(), "pid": pid, "start": _start(pid)}


def take(place: Place, run: str, processes: Sequence[Process]) -> None:
    """Claim a URL for a run of these processes.

    Raises:
        AnotherWriter: a process of another run saves there.
        WriteError: it can't be written.
    """
    told = _read(place)
    others = told.get("processes", []) if told.get("run") != run else []
    if not any(one in processes for one in others):
        living = next((one for one in others if _lives(one)), None)
        if living is not None:
            raise _taken(place, living)
    place.make()
    place.write(NAME, json.dumps({"run": run, "processes": list(processes)}, indent=1).encode())


def check(place: Place, run: str) -> None:
    """See that the claim is still this run's.

    Raises:
        AnotherWriter: another run has taken it.
    """
    told = _read(place)
    if told.get("run") != run:
        raise _taken(place, next(iter(told.get("processes", [])), {}))


def is_left(place: Place) -> bool:
    """Whether a run that claimed the URL was ended by a failure: it said so, or could not."""
    told = _read(place)
    processes = told.get("processes", [])
    has_gone = bool(processes) and not any(_lives(one) for one in processes)
    return has_gone or bool(told.get("cut_off"))


def leave(place: Place, run: str) -> None:
    """Give the URL free, if it is this run's, which a failure has ended."""
    if _read(place).get("run") == run:
        place.write(NAME, json.dumps({"run": run, "processes": [], "cut_off": True}).encode())


def release(place: Place, run: str) -> None:
    """Give the URL free, if it is this run's."""
    if _read(place).get("run") == run:
        place.remove(NAME)


def _read(place: Place) -> dict[str, Any]:
    try:
        told = json.loads(place.read(NAME) or b"{}")
        processes = told.get("processes", [])
        return told if all(isinstance(one, dict) for one in processes) else {}
    except (ValueError, TypeError, AttributeError):
        return {}  # torn, or somebody's: it names nobody who could be asked


def _taken(place: Place, by: Process) -> AnotherWriter:
    who = f"process {by.get('pid', '?')} on {by.get('host', 'another machine')}"
    return AnotherWriter(
        f"{who} saves checkpoints to {place.url}, too",
        remedy="stop one of the two, or give this run another URL",
    )


def _lives(process: Process) -> bool:
    """Whether a process of this machine still runs; one of another machine can't be asked."""
    pid = process.get("pid")
    if process.get("machine") != _machine() or not isinstance(pid, int):
        return False
    start = _start(pid)
    return start is not None and start == process.get("start")


def _machine() -> str:
    """A boot of a machine, and the name space of its process numbers."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return socket.gethostname()


def _start(pid: int) -> str | None:
    """When a process began, in ticks since the machine did; None if it is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    state, *rest = fields.rpartition(")")[2].split()
    return None if state in "ZX" else rest[18]
