"""The host, through psutil: cores, memory, disks, network, temperatures."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from deepseek_observe.monitor.families import MEMORY, TEMPERATURE, UP, UTILIZATION, Series
from deepseek_observe.monitor.sample import Reading, plain

_MOST: Final = 32  # disks, interfaces, mounts: the first by name
_FILE_SYSTEMS_EVERY_S: Final = 10.0
_LEAST_S: Final = 0.1  # of a utilization: the kernel counts in hundredths of a second
_LABELS: Final = ("host", "cpu")
_UNREAL_DISKS: Final = ("loop", "ram", "zram", "dm-", "md", "sr", "fd")
# A server's own; a network's may hang and is somebody else's to watch.
_LOCAL: Final = {
    "ext2",
    "ext3",
    "ext4",
    "xfs",
    "btrfs",
    "zfs",
    "f2fs",
    "apfs",
    "hfs",
    "vfat",
    "overlay",
}


class Host:
    """The machine as one device of kind `cpu`, and its disks and interfaces."""

    name = "host"

    def __init__(self) -> None:
        import psutil

        self._psutil: Any = psutil
        psutil.cpu_percent(None)  # the first answer is of no interval
        self._begun_s = time.monotonic()

    def read(self) -> Reading:
        """Read what changes each second."""
        ps = self._psutil
        memory = ps.virtual_memory()
        values: dict[Series, float] = {
            (UP, _LABELS): 1.0,
            (MEMORY, _LABELS): memory.percent / 100,
            ("deepseek_device_memory_used_bytes", _LABELS): memory.total - memory.available,
            ("deepseek_device_memory_size_bytes", _LABELS): memory.total,
        }
        if time.monotonic() - self._begun_s >= _LEAST_S:
            values[UTILIZATION, _LABELS] = ps.cpu_percent(None) / 100
        for part in (self._disks, self._interfaces, self._hottest):
            with suppress(OSError, NotImplementedError, RuntimeError):  # a sandbox may lack a part
                values.update(part())
        return Reading(values=values)

    def _disks(self) -> Iterator[tuple[Series, float]]:
        found = self._psutil.disk_io_counters(perdisk=True, nowrap=True) or {}
        names = sorted(n for n in found if not n.startswith(_UNREAL_DISKS) and _is_whole(n, found))
        for name in names[:_MOST]:
            yield ("deepseek_disk_read_bytes_total", (plain(name),)), found[name].read_bytes
            yield ("deepseek_disk_written_bytes_total", (plain(name),)), found[name].write_bytes

    def _interfaces(self) -> Iterator[tuple[Series, float]]:
        found = self._psutil.net_io_counters(pernic=True, nowrap=True) or {}
        for name in sorted(n for n in found if n != "lo")[:_MOST]:
            yield ("deepseek_network_receive_bytes_total", (plain(name),)), found[name].bytes_recv
            yield ("deepseek_network_transmit_bytes_total", (plain(name),)), found[name].bytes_sent

    def _hottest(self) -> Iterator[tuple[Series, float]]:
        """Read the processors' sensors, where the system has some."""
        read = getattr(self._psutil, "sensors_temperatures", None)
        found = read() if read is not None else {}
        chips = [
            one for name in ("coretemp", "k10temp", "cpu_thermal") for one in found.get(name, ())
        ]
        told = [float(one.current) for one in chips if 0 < one.current < 150]
        if told:
            yield (TEMPERATURE, _LABELS), max(told)


def _is_whole(name: str, found: Any) -> bool:
    """Whether it is a disk, no part of one that is there too (`sda1`, `nvme0n1p2`)."""
    stem = name.rstrip("0123456789")
    return stem == name or not ({stem, stem.removesuffix("p")} & (set(found) - {name}))


class FileSystems:
    """How full the local file systems are; looked at every ten seconds."""

    name = "file systems"

    def __init__(self) -> None:
        import psutil

        self._psutil: Any = psutil
        self._read_s = float("-inf")
        self._last = Reading(values={})

    def read(self) -> Reading:
        """Read them, or give what was read a moment ago."""
        if time.monotonic() - self._read_s >= _FILE_SYSTEMS_EVERY_S:
            self._last, self._read_s = Reading(values=dict(self._used())), time.monotonic()
        return self._last

    def _used(self) -> Iterator[tuple[Series, float]]:
        mounts = {
            p.device: p.mountpoint
            for p in self._psutil.disk_partitions(all=False)
            if p.fstype in _LOCAL
        }
        seen: set[int] = set()
        for mount in sorted({"/", *mounts.values()})[:_MOST]:
            with suppress(OSError):  # unmounted a moment ago, or not for us
                device = Path(mount).stat().st_dev
                if device in seen:
                    continue  # mounted twice
                seen.add(device)
                share = self._psutil.disk_usage(mount).percent / 100
                yield ("deepseek_filesystem_used_ratio", (plain(mount),)), share
