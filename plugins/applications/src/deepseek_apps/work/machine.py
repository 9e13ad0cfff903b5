"""The machine and the versions that a figure was made with."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Final

from deepseek_core import console

_LIBRARIES: Final = ("deepseek-core", "numpy", "torch", "onnxruntime", "scikit-learn", "sacrebleu")


def machine_text() -> str:
    """Processor, cores that this process may use, system: one line."""
    system = f"{platform.system()} {platform.machine()}"
    cores = f"{console.usable_cores()} cores"
    return f"{_processor()}, {cores}, {system}, Python {platform.python_version()}"


def versions(more: Iterable[str] = ()) -> dict[str, str]:
    """Versions of the distributions that are installed, of those that decide a result."""
    found = {}
    for name in (*_LIBRARIES, *more):
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown processor"
