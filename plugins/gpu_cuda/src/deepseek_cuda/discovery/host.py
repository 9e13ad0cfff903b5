"""What the kernel says of GPUs, whether or not a driver is there."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from deepseek_cuda.discovery.rows import Host

_NVIDIA: Final = "0x10de"
_DISPLAY: Final = "0x03"
_CONTAINERS: Final = (".dockerenv", "run/.containerenv")
_JETSON: Final = "etc/nv_tegra_release"
_WSL: Final = "usr/lib/wsl/lib"


def find_host(root: Path = Path("/")) -> Host:
    """Look for a card of NVIDIA on the PCI bus, and for the marks of where we run."""
    folders = sorted((root / "sys/bus/pci/devices").glob("*"))
    card = next((folder.name for folder in folders if _is_gpu(folder)), None)
    return Host(
        card=card,
        is_container=any((root / mark).exists() for mark in _CONTAINERS),
        is_jetson=(root / _JETSON).exists(),
        is_wsl=(root / _WSL / "libnvidia-ml.so.1").exists(),
    )


def _is_gpu(folder: Path) -> bool:
    vendor, kind = _line(folder / "vendor"), _line(folder / "class")
    return vendor == _NVIDIA and kind.startswith(_DISPLAY)


def _line(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii").strip().lower()
    except (OSError, UnicodeDecodeError):
        return ""
