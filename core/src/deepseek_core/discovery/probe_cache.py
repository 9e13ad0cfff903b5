"""Results of probes, kept between processes: one small JSON file for each device spec.

A file holds what its result depended on; when any of that changes, it no longer counts. What was
wrong may be fixed by more than a key can cover (a driver, a library, a right): a complaint counts
for minutes, while nothing was installed, and only for who shows it with its age. Who needs the
device asks again (`probe`). Hardware that was absent counts as absent for an hour, while nothing
was installed and no card was plugged in.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import attrs

from deepseek_core.contracts.device import DeviceSpec
from deepseek_core.contracts.files import read_own, whole_file
from deepseek_core.discovery.distributions import import_path
from deepseek_core.discovery.folders import checksum
from deepseek_core.discovery.modules import locate
from deepseek_core.discovery.probe_result import ProbeResult, ended, to_rows
from deepseek_core.discovery.registry import Registered, Registry
from deepseek_core.discovery.status import Status

# A device may come or go without a trace in what the key covers.
_GOOD_FOR_S: Final = 24 * 3600.0
_BAD_FOR_S: Final = 600.0
_ABSENT_FOR_S: Final = 3600.0
_LINKER_CACHE: Final = Path("/etc/ld.so.cache")
_LIBRARIES: Final = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib")
_PCI: Final = "/sys/bus/pci/devices"
_INSTALLED: Final = (".dist-info", ".egg-info", ".egg-link", ".pth", ".py", ".so")
_VARIABLES: Final = (
    "CUDA_VISIBLE_DEVICES",
    "LD_LIBRARY_PATH",
    "OCL_ICD_FILENAMES",
    "OCL_ICD_VENDORS",
    "OPENCL_VENDOR_PATH",
)
_PREFIXES: Final = ("POCL_", "XILINX_", "AOCL_")
_NODES: Final = ("nvidia", "dri", "kfd", "xdma", "xclmgmt", "aclnalla", "accel", "dxg")


def cached_probes(registry: Registry, cache_dir: Path) -> tuple[ProbeResult, ...]:
    """The results that are still valid, of however many specs; starts and writes nothing."""
    results = (read(device, cache_dir) for device in registry.devices)
    return tuple(result for result in results if result is not None)


def read(device: Registered[DeviceSpec], cache_dir: Path) -> ProbeResult | None:
    """The valid result of one spec; None if there is none or its file is corrupt."""
    try:
        entry = json.loads(read_own(_file(device, cache_dir)))
        result = _result(device, entry)
        valid = entry["key"] == _key(device) and _is_recent(result)
        unchanged = not result.complains or entry["surroundings"] == _surroundings()
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return result if valid and unchanged else None


def write(device: Registered[DeviceSpec], result: ProbeResult, cache_dir: Path) -> None:
    """Keep a result; a folder that can't be written to costs a probe next time, no more."""
    entry = {
        "key": _key(device),
        "surroundings": _surroundings() if result.complains else None,
        "rows": [attrs.asdict(row) for row in result.rows],
        "status": result.status,
        "reason": result.reason,
        "remedy": result.remedy,
        "seconds": result.seconds,
        "checked_at": result.checked_at,
    }
    file = _file(device, cache_dir)
    with suppress(OSError):  # a folder that can't be written only costs time
        file.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(file) as partial:
            partial.write_text(json.dumps(entry, indent=1), encoding="utf-8")


def _result(device: Registered[DeviceSpec], entry: dict[str, Any]) -> ProbeResult:
    seconds, checked_at = float(entry["seconds"]), float(entry["checked_at"])
    found = ended(
        device,
        Status(entry["status"]),
        entry["reason"] and _dated(entry["reason"], checked_at),
        entry["remedy"],
        rows=to_rows(entry["rows"]),
    )
    return attrs.evolve(found, cached=True, seconds=seconds, checked_at=checked_at)


def _dated(reason: str, checked_at: float) -> str:
    """A reason as what it is: how it was when somebody asked."""
    age_s = max(time.time() - checked_at, 0.0)
    age = f"{age_s / 60:.0f} min" if age_s >= 60 else f"{age_s:.0f} s"
    return f"{reason} (asked {age} ago)"


def _is_recent(result: ProbeResult) -> bool:
    bad_for_s = _ABSENT_FOR_S if result.is_absent else _BAD_FOR_S
    limit_s = bad_for_s if result.complains else _GOOD_FOR_S
    # A clock that was set back must not make a result valid for ever.
    return 0 <= time.time() - result.checked_at <= limit_s


def _file(device: Registered[DeviceSpec], cache_dir: Path) -> Path:
    identity = (device.dist, device.plugin, device.record.name, sys.prefix)
    # Should two ever share a name, their keys tell them apart.
    digest = checksum(repr(identity))
    return cache_dir / "probes" / f"{device.record.name}-{digest:08x}.json"


def _key(device: Registered[DeviceSpec]) -> dict[str, Any]:
    spec = device.record
    modules = (spec.probe.partition(":")[0], *spec.requires)
    return {
        "plugin": [device.plugin, device.dist, device.version, spec.probe],
        "python": [sys.version, sys.prefix],
        "record": spec.name,
        "settings": dict(device.settings),
        "environment": dict(_environment()),
        "files": {module: _changed(module) for module in modules},
        "vendors": sorted(_vendor_files()),
        "nodes": sorted(_device_nodes()),
    }


def _surroundings() -> dict[str, Any]:
    """What a remedy leaves behind: distributions, modules, libraries, groups, cards on the bus."""
    return {
        "path": {entry: _installed_in(entry) for entry in import_path()},
        "libraries": _newest((), _LINKER_CACHE),
        "folders": {folder: _newest((), Path(folder)) for folder in _library_folders()},
        "groups": sorted(os.getgroups()) if hasattr(os, "getgroups") else [],
        "cards": _names(_PCI),
    }


def _library_folders() -> Iterator[str]:
    """Where the loader looks for libraries, whether or not they are in its cache."""
    yield from filter(None, os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep))
    multiarch = getattr(sys.implementation, "_multiarch", "")
    for folder in _LIBRARIES:
        yield folder
        if multiarch:
            yield f"{folder}/{multiarch}"


def _installed_in(folder: str) -> int | None:
    """Stands for the names of distributions and modules in a folder of the path."""
    try:
        names = sorted(name for name in os.listdir(folder or ".") if name.endswith(_INSTALLED))  # noqa: PTH208 - names are all that is wanted
    except (OSError, ValueError):
        return None
    return checksum("\n".join(names))


def _environment() -> Iterator[tuple[str, str]]:
    for name, value in sorted(os.environ.items()):
        if name in _VARIABLES or name.startswith(_PREFIXES):
            yield name, value


def _changed(module: str) -> float | None:
    """When the folder of a module changed last: for a single module, its newest source file."""
    spec = locate(module)
    origin = Path(spec.origin) if spec is not None and spec.origin else None
    if origin is None:
        return None
    return _newest(origin.parent.glob("*.py"), origin)


def _newest(files: Iterable[Path], file: Path) -> float | None:
    try:
        return max(path.stat().st_mtime for path in (file, *files))
    except OSError:
        return None


def _vendor_files() -> Iterator[tuple[str, float]]:
    folder = Path(os.environ.get("OCL_ICD_VENDORS", "/etc/OpenCL/vendors"))
    if folder.is_dir():
        for file in folder.iterdir():
            yield file.name, _newest((), file) or 0.0


def _device_nodes() -> Iterator[str]:
    yield from (name for name in _names("/dev") if name.startswith(_NODES))


def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208 - names are all that is wanted
    except OSError:
        return []
