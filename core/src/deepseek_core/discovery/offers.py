"""Formats, URL schemes and commands that the SDK's own plugins bring.

The tables are fixed: what a user typed never becomes the name of a package.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from deepseek_core.discovery.distributions import normalize
from deepseek_core.discovery.installing import install_command
from deepseek_core.discovery.status import PluginRow, Status

FORMATS: Final = {"onnx": "deepseek-onnx", "pt2": "deepseek-cuda", "engine": "deepseek-cuda"}
SCHEMES: Final = {
    "file": "deepseek-storage-local",
    "memory": "deepseek-store",
    "s3": "deepseek-storage-s3",
}
EXECUTORS: Final = {"ray": "deepseek-ray"}
COMMANDS: Final = {
    "store": "deepseek-store",
    "compress": "deepseek-compress",
    "trt": "deepseek-trt",
    "fpga": "deepseek-fpga",
    "train": "deepseek-parallel",
    "ckpt": "deepseek-parallel",
    "profile": "deepseek-observe",
    "advise": "deepseek-observe",
    "tune": "deepseek-observe",
    "monitor": "deepseek-observe",
    "app": "deepseek-apps",
}


def how_to_get(
    wanted: str, table: Mapping[str, str], plugins: Iterable[PluginRow]
) -> tuple[str, str] | None:
    """Say why the SDK's own plugin does not offer this now, and what to do; None if none does ever.

    The reason is empty if its distribution is not installed.
    """
    dist = table.get(wanted)
    if dist is None:
        return None
    for row in plugins:
        if normalize(row.dist) == dist and row.status is not Status.AVAILABLE:
            return f"plugin {row.name!r} of {dist} is {row.status}: {row.reason}", row.remedy or ""
    return "", install_command(dist)
