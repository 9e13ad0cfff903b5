"""What Linux says of the host's CPU and memory."""

from __future__ import annotations

import math
import os
import platform
from functools import cache
from pathlib import Path
from typing import Final

# Instruction sets that change which kernels ONNX Runtime takes.
_TELLING_FLAGS: Final = (
    "avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "avx_vnni",
    "amx_int8", "amx_bf16", "asimddp", "i8mm", "sve", "bf16",
)  # fmt: skip


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


def cpu_name() -> str:
    """What the processor calls itself."""
    return cpu_facts().get("model name") or platform.processor() or platform.machine()


def cpu_vendor() -> str:
    """`GenuineIntel`, `AuthenticAMD` and the like; empty where it is not told."""
    return cpu_facts().get("vendor_id", "")


def cpu_fingerprint() -> str:
    """Changes with the processor and with what it can do."""
    flags = ",".join(flag for flag in _TELLING_FLAGS if flag in cpu_flags())
    return f"{cpu_name()}|{platform.machine()}|{flags}"


def saturates_u8s8() -> bool:
    """Whether ONNX Runtime's u8 x s8 products may saturate: on x86 without VNNI.

    Pairs of products are then added in 16 bits, which they can exceed.
    """
    if platform.machine() not in {"x86_64", "AMD64"} or not cpu_flags():
        return False
    return not {"avx512_vnni", "avx_vnni", "amx_int8"} & cpu_flags()


def readings(root: Path = Path("/")) -> dict[str, float | None]:
    """Temperature, clock, load and free memory of the host now; None is not observable.

    `root` holds `proc` and `sys`. In a container both are mostly the host's own.
    """
    thermal = root / "sys" / "class" / "thermal"
    clock = root / "sys" / "devices" / "system" / "cpu" / "cpu0" / "cpufreq" / "scaling_cur_freq"
    zones = thermal.glob("thermal_zone*") if thermal.is_dir() else ()
    millidegrees = [_number(zone / "temp") for zone in zones if _is_of_cpu(zone)]
    return {
        "temperature_c": max((t / 1e3 for t in millidegrees if t is not None), default=None),
        "clock_hz": _scaled(_number(clock), 1e3),
        "load_1min": _number(root / "proc" / "loadavg"),
        "available_bytes": _available_bytes(root / "proc" / "meminfo"),
    }


def _is_of_cpu(zone: Path) -> bool:
    kind = _first_word(zone / "type").lower()
    return "cpu" in kind or kind in ("x86_pkg_temp", "coretemp", "k10temp")


def _available_bytes(file: Path) -> float | None:
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
        (line,) = (line for line in lines if line.startswith("MemAvailable:"))
        return float(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        return None


def _number(file: Path) -> float | None:
    """The number that a file begins with."""
    try:
        found = float(_first_word(file))
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def _first_word(file: Path) -> str:
    try:
        return (file.read_text(encoding="utf-8", errors="replace").split() or [""])[0]
    except OSError:
        return ""


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def memory_bytes() -> int | None:
    """Memory of the host; None if it can't be found out."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
