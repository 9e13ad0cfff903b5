"""What a folder lies on, as the kernel knows it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple, Self

from deepseek_core import TierProfile
from deepseek_storage_local.options import Options
from deepseek_storage_local.volume import Volume


def medium_of(device: int, *, sysfs: Path = Path("/sys/dev/block")) -> Literal["ssd", "hdd"]:
    """The kind of disk; what the kernel can't tell (a network or memory file system) is an SSD."""
    block = sysfs / f"{os.major(device)}:{os.minor(device)}"
    # A partition has no queue of its own: it lies in the folder of its disk.
    for queue in (block / "queue", block.resolve().parent / "queue"):
        try:
            return "hdd" if (queue / "rotational").read_text("ascii").strip() == "1" else "ssd"
        except (OSError, UnicodeDecodeError):
            continue
    return "ssd"


class Disk(NamedTuple):
    """The file system that a volume lies on, and its space."""

    device: int
    found: os.statvfs_result

    @classmethod
    def of(cls, volume: Volume) -> Self:
        """Ask for it.

        Raises:
            OSError: the file system does not answer.
        """
        return cls(volume.device, os.fstatvfs(volume.folder))


def profile_of(options: Options, disks: Sequence[Disk], used_nbytes: int | None) -> TierProfile:
    """The profile of a tier on the disks of its domains, or else its root's.

    `used_nbytes` is what its quota counts.
    """
    room = dict(disks)
    capacity = sum(found.f_blocks * found.f_frsize for found in room.values())
    free = sum(found.f_bavail * found.f_frsize for found in room.values())
    if options.capacity_nbytes is not None:
        capacity = min(capacity, options.capacity_nbytes)
        free = min(free, max(0, options.capacity_nbytes - (used_nbytes or 0)))
    medium = options.medium or medium_of(disks[0].device)
    latency_s, bytes_per_s = options.speed_of(medium)
    return TierProfile(
        medium=medium,
        latency_s=latency_s,
        bytes_per_s=bytes_per_s,
        capacity_nbytes=capacity,
        free_nbytes=free,
        evidence="hardware" if len(room) == len(disks) else "simulated",
    )
