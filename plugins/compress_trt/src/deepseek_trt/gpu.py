"""This machine's GPU, as nvidia-smi tells without making a CUDA context."""

from __future__ import annotations

import shutil
import subprocess
from typing import Final

import attrs

_QUERY: Final = "--query-gpu=name,compute_cap,driver_version"
_LIMIT_S: Final = 10.0


@attrs.frozen(kw_only=True)
class Gpu:
    """Name, compute capability and driver of a GPU."""

    name: str
    target: str
    driver: str


def first_gpu() -> Gpu | None:
    """The first GPU; None where there is none, or no driver."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    try:
        ran = subprocess.run(
            [tool, _QUERY, "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=_LIMIT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    words = [word.strip() for word in ran.stdout.partition("\n")[0].split(",")]
    return Gpu(name=words[0], target=words[1], driver=words[2]) if len(words) == 3 else None
