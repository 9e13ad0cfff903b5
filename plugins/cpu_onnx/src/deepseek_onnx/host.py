"""What Linux says of the host's CPU and memory."""

from __future__ import annotations

import os
import platform
from functools import cache
from pathlib import Path


@cache
def cpu_facts() -> dict[str, str]:
    """The first processor's entries of /proc/cpuinfo; empty where there is none."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    lines = (line.partition(":") for line in text.split("\n\n")[0].splitlines())
    return {key.strip(): value.strip() for key, _, value in lines}


@cache
def cpu_flags() -> frozenset[str]:
    """Instruction sets as /proc/cpuinfo names them."""
    facts = cpu_facts()
    return frozenset((facts.get("flags") or facts.get("Features") or "").split())


def saturates_u8s8() -> bool:
    """Whether ONNX Runtime's u8 x s8 products may saturate: on x86 without VNNI.

    Pairs of products are then added in 16 bits, which they can exceed.
    """
    if platform.machine() not in {"x86_64", "AMD64"} or not cpu_flags():
        return False
    return not {"avx512_vnni", "avx_vnni", "amx_int8"} & cpu_flags()


def memory_bytes() -> int | None:
    """Memory of the host; None if it can't be found out."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
