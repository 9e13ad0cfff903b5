"""The checks of `ds-sdk doctor` about hardware: what is there, and whether its plugin is."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Set
from pathlib import Path
from typing import Final, Literal

import attrs

from deepseek_core.discovery.installing import install_command
from deepseek_core.discovery.status import as_remedy

# device nodes, what they mean, the distribution that uses it
_NODES: Final = (
    ("nvidia[0-9]*", "an NVIDIA GPU", "deepseek-cuda"),
    ("xdma*", "a Xilinx FPGA board", "deepseek-fpga"),
    ("xclmgmt*", "a Xilinx FPGA board", "deepseek-fpga"),
    ("aclnalla*", "an Intel FPGA board", "deepseek-fpga"),
)
# vendor (the ids of PCI-SIG), beginning of the device's class, what it is, its distribution, the
# pattern of its node, what brings the driver
_PCI: Final = (
    ("0x10de", "0x03", "an NVIDIA GPU", "deepseek-cuda", "nvidia[0-9]*",
     "apt-get install nvidia-driver"),
    ("0x10ee", "0x", "a Xilinx FPGA board", "deepseek-fpga", "x*", "modprobe xdma"),
    ("0x1172", "0x", "an Intel FPGA board", "deepseek-fpga", "aclnalla*", "aocl install"),
)  # fmt: skip


@attrs.frozen(kw_only=True)
class Check:
    """One fact about this installation; `remedy` can be pasted where it is a command."""

    name: str
    status: Literal["ok", "warn", "fail"]
    message: str
    remedy: str | None = attrs.field(default=None, converter=as_remedy)


def hardware_checks(root: Path, installed: Set[str]) -> Iterator[Check]:
    """Hardware whose plugin or driver is missing.

    `root` holds `dev`, `sys` and `etc`; `installed` are normalized names of distributions.
    """
    yield _opencl(root, installed)
    yield from _lost_vendors(root)
    missing: set[str] = set()
    for pattern, what, dist in _NODES:
        nodes = sorted(path.name for path in (root / "dev").glob(pattern))
        if nodes and dist not in installed | missing:
            missing.add(dist)
            yield _hint(f"{what} is present (/dev/{nodes[0]})", dist)
    yield from _pci_checks(root, installed, missing)


def _hint(found: str, dist: str) -> Check:
    message = f"{found} but {dist} is not installed"
    return Check(name="hardware", status="warn", message=message, remedy=install_command(dist))


def _pci_checks(root: Path, installed: Set[str], told: Set[str]) -> Iterator[Check]:
    """What is on the PCI bus, whether or not a driver has made a node for it."""
    told = set(told)
    for folder in sorted((root / "sys/bus/pci/devices").glob("*")):
        vendor, kind = _line(folder / "vendor").lower(), _line(folder / "class").lower()
        for wanted, prefix, what, dist, pattern, driver in _PCI:
            if vendor != wanted or not kind.startswith(prefix) or dist in told:
                continue
            if dist not in installed:
                told.add(dist)
                yield _hint(f"{what} is present (PCI {folder.name})", dist)
            elif not any((root / "dev").glob(pattern)):
                told.add(dist)
                message = f"{what} is present (PCI {folder.name}) but has no driver"
                yield Check(name="hardware", status="warn", message=message, remedy=driver)


def _line(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _vendors(root: Path) -> list[Path]:
    folder = Path(os.environ.get("OCL_ICD_VENDORS") or root / "etc/OpenCL/vendors")
    return sorted(folder.glob("*.icd"))


def _opencl(root: Path, installed: Set[str]) -> Check:
    vendors = [path.name for path in _vendors(root)]
    if vendors and "deepseek-fpga" not in installed:
        message = f"OpenCL is present ({', '.join(vendors)}) but deepseek-fpga is not installed"
        remedy = install_command("deepseek-fpga")
        return Check(name="opencl", status="warn", message=message, remedy=remedy)
    if vendors:
        return Check(name="opencl", status="ok", message=f"vendors: {', '.join(vendors)}")
    if "deepseek-fpga" not in installed or "pocl-binary-distribution" in installed:
        return Check(name="opencl", status="ok", message="no system-wide vendor, and none needed")
    pocl = install_command("deepseek-fpga", "pocl")
    remedy = f"{pocl} (or apt-get install pocl-opencl-icd)"
    return Check(name="opencl", status="warn", message="no OpenCL vendor found", remedy=remedy)


def _lost_vendors(root: Path) -> Iterator[Check]:
    """Vendor files that name a library which is gone: what a removed driver leaves behind."""
    for file in _vendors(root):
        library = Path(_line(file) or "?")
        if library.is_absolute() and not library.exists():
            message = f"OpenCL vendor file {file} names {library}, which does not exist"
            remedy = f"rm {shlex.quote(str(file))}"
            yield Check(name="opencl", status="warn", message=message, remedy=remedy)
