"""Makes the PoCL wheel usable on CPUs that are newer than its compiler.

The wheel's LLVM 14 calls a CPU that it does not know `generic`, hands that name to its own Clang,
and Clang refuses: "unknown target CPU 'generic'"; nothing builds (seen on AMD Zen 5). Zen 4 it
takes for `znver3`, which has no AVX-512, beside a library that has: the compiler dies of some
kernels, and the process with it. No option and no variable of PoCL 3.0 changes the name. So the
name is replaced in the device's own structure, by
the best one that LLVM 14 knows and whose every instruction this CPU has. The structure is searched,
never guessed: a pointer to the wrong name must be where PoCL 3.0 keeps it, or exactly one must
be in reach, or nothing is touched. The setting `pocl_patch` switches all of it off.
"""

from __future__ import annotations

import ctypes
import logging
import struct
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

_log = logging.getLogger(__name__)

SWITCH = "DEEPSEEK_FPGA_OPENCL_POCL_PATCH"
UNKNOWN_CPU = "PoCL 3.0 does not know this CPU"
OTHER_POCL = "apt-get install pocl-opencl-icd"

_BROKEN_VERSION = "PoCL 3.0"
_UNKNOWN = "generic"
_WITHOUT_AVX512 = ("znver1", "znver2", "znver3")
_DEVICE_STRUCT_BYTES = 2048
_USUAL_BYTE = 640  # where PoCL 3.0 keeps the pointer

_AVX2 = frozenset({"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe", "abm"})
_AVX512 = _AVX2 | {"avx512f", "avx512dq", "avx512bw", "avx512vl", "avx512cd", "adx", "clwb"}
_VNNI = _AVX512 | {"avx512_vnni"}
_ICE_LAKE = _VNNI | {
    *("avx512ifma", "avx512vbmi", "avx512_vbmi2", "avx512_bitalg", "avx512_vpopcntdq"),
    *("gfni", "vaes", "vpclmulqdq", "sha_ni", "rdpid"),
}
# LLVM's names, best first, beside the flags of /proc/cpuinfo that their code may need. Names of
# servers: PoCL's own library was built for one, and is only inlined into a superset of it.
_TARGETS = (
    ("icelake-server", _ICE_LAKE),
    ("cascadelake", _VNNI),
    ("skylake-avx512", _AVX512),
    ("haswell", _AVX2),
)


def is_unknown_cpu(platform_version: str, device_version: str) -> bool:
    """True if this PoCL builds nothing, or dies of it, because its LLVM does not know the CPU."""
    if _BROKEN_VERSION not in platform_version:
        return False
    name = _name_in(device_version)
    return name == _UNKNOWN or (name in _WITHOUT_AVX512 and "avx512f" in host_flags())


def _name_in(device_version: str) -> str:
    return device_version.rpartition("-")[2]


def best_target(flags: frozenset[str]) -> str:
    """The best CPU name of LLVM 14 that a CPU with these flags can stand in for."""
    for name, needed in _TARGETS:
        if needed <= flags:
            return name
    return "x86-64"


def host_flags() -> frozenset[str]:
    """The CPU's flags as Linux lists them; empty where it does not."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return frozenset()
    return next(
        (frozenset(x.split(":")[1].split()) for x in lines if x.startswith("flags")), frozenset()
    )


def ensure_known_cpu(device: Any, platform_version: str, device_version: str) -> str | None:
    """Give the device a CPU name its compiler knows, if it needs one.

    Returns the name now in use when it was replaced (a part of every cache key), else None: it
    needs none, or the structure is not as expected and was left untouched.
    """
    if not is_unknown_cpu(platform_version, device_version):
        return None
    target = best_target(host_flags())
    if _replace_name(device.int_ptr, _name_in(device_version), target):
        _log.info("PoCL's LLVM does not know this CPU; compiling for %s", target)
    elif not _has_name(device.int_ptr, target):
        _log.warning("%s, and its structure is not as expected: it builds nothing", UNKNOWN_CPU)
        return None
    return target


def _has_name(address: int, name: str) -> bool:
    """Whether a structure points to this name, as one does whose name was replaced before."""
    try:
        with Path("/proc/self/mem").open("rb", buffering=0) as memory:
            return bool(_pointers_to(memory, address, name.encode() + b"\0"))
    except OSError:
        return False


def _replace_name(address: int, wrong: str, target: str) -> bool:
    """Point the one field with the wrong name to `target`; False if it is not there (any more).

    Of a device that has its name already, what is left points to the heap of somebody else.
    """
    try:
        with Path("/proc/self/mem").open("rb", buffering=0) as memory:
            if _pointers_to(memory, address, target.encode() + b"\0"):
                return False
            places = _pointers_to(memory, address, wrong.encode() + b"\0")
    except OSError:
        return False
    if address + _USUAL_BYTE in places:
        places = [address + _USUAL_BYTE]  # others are leftovers of the heap behind the structure
    if len(places) != 1:
        return False
    ctypes.c_uint64.from_address(places[0]).value = _lasting(target)
    return True


@cache
def _lasting(text: str) -> int:
    """The address of a C string that is never freed: the driver outlives the interpreter."""
    copy = ctypes.CDLL(None).strdup
    copy.argtypes, copy.restype = [ctypes.c_char_p], ctypes.c_void_p
    return int(copy(text.encode()))


def _pointers_to(memory: BinaryIO, address: int, text: bytes) -> list[int]:
    """Addresses of the words of a structure that point to `text`."""
    blob = _peek(memory, address, _DEVICE_STRUCT_BYTES)
    words = struct.unpack(f"<{len(blob) // 8}Q", blob[: len(blob) // 8 * 8])
    return [
        address + 8 * i for i, word in enumerate(words) if _peek(memory, word, len(text)) == text
    ]


def _peek(memory: BinaryIO, address: int, nbytes: int) -> bytes:
    """Read foreign memory through the kernel: a wrong address is an error, not a crash."""
    if not 4096 <= address < 1 << 47:
        return b""
    try:
        memory.seek(address)
        return memory.read(nbytes)
    except OSError:
        return b""
