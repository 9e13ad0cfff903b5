"""Which OpenCL devices this machine has, as plain records.

Nothing here opens a device or compiles. `list_devices` never raises for what a machine lacks: it
says why the list is empty and what to do about it.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from typing import Any, Literal

from attrs import frozen

from deepseek_fpga.vendor_errors import NO_PYOPENCL, install_pocl, translated

Evidence = Literal["hardware", "cpu-runtime", "emulator"]
DeviceType = Literal["cpu", "gpu", "accelerator", "other"]

_log = logging.getLogger(__name__)

# The first word of a platform's name that matches gives the id its middle part.
_SLUGS = (
    ("portable computing language", "pocl"),
    ("fpga emulation", "intel-fpga-emulator"),
    ("intel(r) fpga", "intel-fpga"),
    ("intel(r) opencl", "intel"),
    ("xilinx", "xilinx"),
    ("nvidia", "nvidia"),
    ("amd", "amd"),
)
_TOOLS = (
    ("altera", "aocl diagnose"),
    ("intel(r) fpga", "aocl diagnose"),
    ("xilinx", "xrt-smi examine"),
)
_EXTENSIONS = ("cl_intel_channels", "cl_khr_fp16", "cl_khr_fp64", "cl_khr_integer_dot_product")
# Set by the vendors' own emulation flows; the device then looks like a board and is none.
_EMULATION_VARIABLES = ("XCL_EMULATION_MODE", "CL_CONTEXT_MPSIM_DEVICE_INTELFPGA")

NO_PLATFORM = "no OpenCL platform is registered"
_OTHER_RUNTIMES = (
    "for a CPU runtime, or install the board's driver; other runtimes register by an .icd file in "
    "/etc/OpenCL/vendors or in the folder that OCL_ICD_VENDORS names"
)


@frozen(kw_only=True)
class DeviceRecord:
    """One OpenCL device as its driver describes it."""

    id: str
    """Stable name, as `opencl:pocl:0`: platform family and number within it."""
    name: str
    vendor: str
    driver_version: str
    device_version: str
    platform: str
    platform_version: str
    type: DeviceType
    compute_units: int
    mem_bytes: int
    """Global memory."""
    float_lanes: int
    """Width in float32 of the vectors the device prefers."""
    extensions: frozenset[str]
    """Those that this package cares about."""
    evidence: Evidence
    """What a figure measured here is worth."""

    @property
    def is_board(self) -> bool:
        """True for an accelerator card: not a CPU runtime, not an emulator, not a GPU."""
        return self.evidence == "hardware" and self.type == "accelerator"

    @property
    def description(self) -> str:
        """What the device is, for people."""
        if self.evidence == "emulator":
            return "FPGA emulator on the CPU"
        if self.evidence == "cpu-runtime":
            return "OpenCL runtime on the CPU"
        return {"accelerator": "accelerator board", "gpu": "GPU"}.get(self.type, "OpenCL device")

    @property
    def fingerprint(self) -> str:
        """Names the device and its compiler; whatever is built or tuned is valid for this text."""
        return "|".join((self.platform_version, self.name, self.driver_version))


@frozen(kw_only=True)
class DeadPlatform:
    """A platform that is registered, and whose driver fails when it is asked for its devices."""

    id: str
    name: str
    words: str
    """The driver's own."""

    @property
    def reason(self) -> str:
        """Why it has no devices."""
        return f"the driver of {self.name} fails: {self.words}"

    @property
    def remedy(self) -> str:
        """The vendor's own tool knows more."""
        tool = next((tool for word, tool in _TOOLS if word in self.name.lower()), "clinfo -l")
        return (
            f"{tool} (it shows more: often a kernel module is not loaded, or this user may not "
            "open the device)"
        )


@frozen(kw_only=True)
class Listing:
    """The devices found, and what is dead; when there is no device, why and what to do about it."""

    devices: tuple[DeviceRecord, ...] = ()
    dead: tuple[DeadPlatform, ...] = ()
    reason: str | None = None
    remedy: str | None = None


def list_devices() -> Listing:
    """List every OpenCL device, ordered by id."""
    try:
        found, dead = _scan()
    except ImportError as error:
        _log.debug("no pyopencl: %s", error)
        return Listing(reason=NO_PYOPENCL, remedy=install_pocl())
    devices = tuple(record for record, _ in found)
    if devices:
        return Listing(devices=devices, dead=tuple(dead))
    if dead:
        return Listing(dead=tuple(dead), reason=dead[0].reason, remedy=dead[0].remedy)
    return Listing(reason=NO_PLATFORM, remedy=f"{install_pocl()} {_OTHER_RUNTIMES}")


def vendor_devices() -> list[tuple[DeviceRecord, Any]]:
    """Each record beside pyopencl's own device object, ordered by id.

    Raises:
        ImportError: pyopencl is not installed.
        DeviceUnavailable: the loader failed while it was asked for platforms.
    """
    return _scan()[0]


def _scan() -> tuple[list[tuple[DeviceRecord, Any]], list[DeadPlatform]]:
    """Devices by platform, each asked alone: a dead driver takes nobody else's devices along."""
    import pyopencl as cl

    rows: list[tuple[DeviceRecord, Any]] = []
    dead: list[DeadPlatform] = []
    counts: Counter[str] = Counter()
    with translated("opencl"):
        for platform in _vendor_platforms(cl):
            slug = platform_slug(platform.name)
            try:
                made = [
                    (_record(cl, platform, device, f"opencl:{slug}:{number}"), device)
                    for number, device in enumerate(_platform_devices(cl, platform), counts[slug])
                ]
            except cl.Error as error:
                device_id = f"opencl:{slug}:{counts[slug]}"
                dead.append(DeadPlatform(id=device_id, name=platform.name, words=str(error)))
                counts[slug] += 1
            else:
                rows += made
                counts[slug] += len(made)
    return sorted(rows, key=lambda row: row[0].id), dead


def platform_slug(platform: str) -> str:
    """Short, stable family name of a platform."""
    lowered = platform.lower()
    for words, slug in _SLUGS:
        if words in lowered:
            return slug
    return "-".join("".join(c if c.isalnum() else " " for c in lowered).split()) or "unknown"


def judge_evidence(platform: str, device_type: DeviceType) -> Evidence:
    """Decide what a device is from facts: its platform's name, its type, the vendor's variables."""
    emulated = device_type == "accelerator" and any(os.environ.get(v) for v in _EMULATION_VARIABLES)
    if emulated or "emulat" in platform.lower():
        return "emulator"
    return "cpu-runtime" if device_type == "cpu" else "hardware"


def _vendor_platforms(cl: Any) -> list[Any]:
    """All platforms, newest version of a family first; empty when none is registered."""
    try:
        platforms = cl.get_platforms()
    except cl.Error as error:
        if error.code == cl.status_code.PLATFORM_NOT_FOUND_KHR:
            return []
        raise
    return sorted(platforms, key=lambda p: p.version, reverse=True)


def _platform_devices(cl: Any, platform: Any) -> list[Any]:
    try:
        return list(platform.get_devices())
    except cl.Error as error:
        if error.code == cl.status_code.DEVICE_NOT_FOUND:
            return []
        raise


def _record(cl: Any, platform: Any, device: Any, device_id: str) -> DeviceRecord:
    device_type = _device_type(cl, device.type)
    offered = device.extensions.split()
    return DeviceRecord(
        id=device_id,
        name=device.name.strip(),
        vendor=device.vendor.strip(),
        driver_version=device.driver_version.strip(),
        device_version=device.version.strip(),
        platform=platform.name.strip(),
        platform_version=platform.version.strip(),
        type=device_type,
        compute_units=device.max_compute_units,
        mem_bytes=device.global_mem_size,
        float_lanes=device.native_vector_width_float,
        extensions=frozenset(name for name in _EXTENSIONS if name in offered),
        evidence=judge_evidence(platform.name, device_type),
    )


def _device_type(cl: Any, bits: int) -> DeviceType:
    if bits & cl.device_type.ACCELERATOR:
        return "accelerator"
    if bits & cl.device_type.GPU:
        return "gpu"
    return "cpu" if bits & cl.device_type.CPU else "other"
