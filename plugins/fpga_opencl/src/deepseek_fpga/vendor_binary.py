"""A kernel that a vendor's tool compiled: read, checked and tried before a driver gets it here.

Drivers die of a damaged binary: PoCL 3.0 of a segmentation fault, Intel's emulator ends the
process. So what no manifest vouches for is loaded first in a process of its own, once for each
content and driver, within a limit.
"""

from __future__ import annotations

import hashlib
import json
import logging
import sys
from pathlib import Path
from typing import Final

from deepseek_core import errors
from deepseek_fpga.binary_kind import check_whole, kind_of
from deepseek_fpga.files import write_atomically
from deepseek_fpga.manifest import check_content, read_manifest
from deepseek_fpga.opening import OpenDevice
from deepseek_fpga.process import ToolFailed, run_tool

_log = logging.getLogger(__name__)

TRIAL_S: Final = 180.0
"""The most that a trial takes: programming a board is seconds to a minute."""
# What drivers answer where the board is another's; they do not agree on one.
_HELD: Final = (
    "busy",
    "NOT_AVAILABLE",
    "OUT_OF_RESOURCES",
    "OUT_OF_HOST_MEMORY",
    "INVALID_PROGRAM",
)
_REBUILD: Final = "build it for this device: ds-sdk fpga build"
_FREE: Final = (
    "end the process that uses the board, or free it by the vendor's tool "
    "(`aocl program acl0 FILE`, `xrt-smi reset`)"
)


def checked_binary(device: OpenDevice, folder: Path, path: Path) -> bytes:
    """The content of a binary that this device's driver is known to take.

    Raises:
        ArtifactError: it is missing, empty or damaged, or the driver dies of it.
        CompileError: the driver refuses it.
        DeviceUnavailable: the board is programmed with another one, or held by another process.
        DeviceTimeout: the driver does not come back.
    """
    try:
        binary = path.read_bytes()
    except OSError as error:
        raise errors.ArtifactError(
            f"the binary {path} can't be read: {error.strerror}", remedy="check the path"
        ) from error
    if not binary:
        raise errors.ArtifactError(f"the binary {path} is empty", remedy="build it again")
    check_whole(path, binary)
    manifest = read_manifest(path)
    if manifest is not None:
        check_content(path, binary, manifest)
    digest = hashlib.sha256(binary + device.fingerprint.encode()).hexdigest()
    _refuse_second(device, path, digest)
    mark = folder / f"{digest}.tried"
    if manifest is None and not mark.is_file():
        _try(device, path, binary)
        _note(mark)
    return binary


def refusal(
    device: OpenDevice, path: Path, reason: str, *, content: bytes = b"", log: str = ""
) -> errors.DeviceError:
    """The error for a driver that does not take a binary."""
    kind = kind_of(content)
    reason = f"{reason}; the file is {kind}" if kind else reason
    if device.record.is_board and any(word in reason for word in _HELD):
        return errors.DeviceUnavailable(
            f"{device.id}: the board is programmed with another binary than {path}, or another "
            f"process holds it ({reason})",
            device_id=device.id,
            remedy=_FREE,
        )
    return errors.CompileError(
        f"{device.id} does not take the binary {path}: it is damaged, or was built for another "
        f"device ({reason})",
        device_id=device.id,
        log=log,
        remedy=_REBUILD,
    )


def _refuse_second(device: OpenDevice, path: Path, digest: str) -> None:
    """A board holds one binary at a time; two in one process would take it from each other."""
    if not device.record.is_board:
        return
    programmed = device.programmed or (str(path), digest)
    if programmed[1] != digest:
        raise errors.DeviceUnavailable(
            f"{device.id}: the board is programmed with another binary, {programmed[0]}, which "
            "this process uses",
            device_id=device.id,
            remedy=f"close its session before you load {path}",
        )
    device.programmed = programmed


def _try(device: OpenDevice, path: Path, content: bytes) -> None:
    """Load the binary in a process of its own."""
    request = json.dumps({"device": device.id, "path": str(path)})
    command = [sys.executable, "-m", "deepseek_fpga.load_child", request]
    try:
        said = run_tool(command, limit_s=TRIAL_S)
    except ToolFailed as error:
        if error.overdue:
            raise errors.DeviceTimeout(
                f"{device.id} did not load the binary {path} in {TRIAL_S:g} s",
                device_id=device.id,
                remedy=_FREE if device.record.is_board else _REBUILD,
            ) from error
        raise errors.ArtifactError(
            f"the binary {path} is damaged: the driver of {device.id} dies of it ({error.message})",
            remedy=_REBUILD,
        ) from error
    answer = _answer(said)
    if answer is None:
        raise errors.ArtifactError(
            f"the binary {path} is damaged: the driver of {device.id} ends the process",
            remedy=_REBUILD,
        )
    if answer:
        raise refusal(device, path, answer, content=content, log=said)


def _answer(said: str) -> str | None:
    """The reason of a refusal, empty if there is none; None without an answer."""
    lines = said.strip().splitlines()
    try:
        return str(json.loads(lines[-1])["refused"])
    except (ValueError, KeyError, TypeError, IndexError):
        return None


def _note(mark: Path) -> None:
    try:
        write_atomically(mark, b"")
    except OSError as error:
        _log.warning("it can't be kept that a binary was tried: %s", error)
