"""A trace of any kind: told by what is in it, not by its name."""

from __future__ import annotations

from pathlib import Path

from deepseek_core import errors
from deepseek_observe.reading.kineto import read_kineto
from deepseek_observe.reading.nsys import read_nsys
from deepseek_observe.reading.opening import SQLITE, head
from deepseek_observe.timeline.record import Timeline


def read_trace(path: str | Path) -> Timeline:
    """Read a trace of PyTorch's profiler or an export of Nsight Systems, packed or not.

    Raises:
        InputError: it is none, or is damaged.
        ConfigError: what unpacks it is not installed.
    """
    path = Path(path)
    if path.suffix == ".nsys-rep":
        raise errors.InputError(
            f"{path} is a report that Nsight Systems alone can read",
            remedy=f"export it: nsys export --type sqlite {path}",
        )
    return read_nsys(path) if head(path).startswith(SQLITE) else read_kineto(path)
