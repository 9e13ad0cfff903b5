"""Compiled OpenCL programs, kept in a folder of the user's cache.

A program is compiled once per (source, options, device and its driver) and loaded from its binary
afterwards. A vendor's own binary (`.aocx`, `.xclbin`) takes the same path. pyopencl's cache is not
used: it skips PoCL and NVIDIA, and does not notice a damaged file.
"""

from __future__ import annotations

import hashlib
import logging
import warnings
from pathlib import Path
from typing import Any

from deepseek_core import console, errors
from deepseek_fpga.files import write_atomically
from deepseek_fpga.opening import OpenDevice
from deepseek_fpga.vendor_binary import checked_binary, refusal
from deepseek_fpga.vendor_errors import translated

_log = logging.getLogger(__name__)

_MAGIC = b"deepseek-fpga program 1\n"
_DIGEST_BYTES = 32


class ProgramCache:
    """Builds programs for one open device and remembers their binaries.

    `compiles` counts compilations, `hits` loads from the cache; both since this object was made.
    """

    def __init__(self, device: OpenDevice, folder: Path) -> None:
        self.device = device
        self.folder = folder / "programs"
        self.compiles = 0
        self.hits = 0

    def build(self, source: str, options: str) -> Any:
        """Return the built `pyopencl.Program`, from the cache if it can be.

        Raises:
            CompileError: the source does not build; `log` is the compiler's text.
        """
        path = self.path_of(source, options)
        binary = _read_entry(path)
        if binary is not None:
            try:
                program = self._from_binary(binary)
            except errors.DeviceError as error:
                _log.warning("%s is refused by the driver, compiling again: %s", path, error)
            else:
                self.hits += 1
                return program
        return self._compile(source, options)

    def load_binary(self, path: Path) -> Any:
        """Return the program in a vendor's binary file.

        Raises:
            ArtifactError: the file is missing, empty or damaged.
            CompileError: the driver refuses it.
            DeviceUnavailable: the board is programmed with another one.
            DeviceTimeout: the driver does not come back.
        """
        binary = checked_binary(self.device, self.folder, path)
        try:
            return self._from_binary(binary)
        except errors.DeviceError as error:
            raise refusal(self.device, path, error.message, content=binary) from error

    def path_of(self, source: str, options: str) -> Path:
        """Where the binary of this source and these options lies on this device."""
        parts = (source, options, self.device.fingerprint)
        key = hashlib.sha256("\0".join(parts).encode()).hexdigest()
        return self.folder / f"{key}.bin"

    def keep(self, program: Any, source: str, options: str) -> None:
        """Store a program's binary; a folder that can't be written only costs time."""
        with translated(self.device.id):
            binary = program.binaries[0]
        try:
            write_atomically(self.path_of(source, options), _seal(binary))
        except OSError as error:
            _log.warning("compiled programs can't be kept in %s: %s", self.folder, error)

    def _compile(self, source: str, options: str) -> Any:
        program = self.compile(source, options)
        self.keep(program, source, options)
        return program

    def compile(self, source: str, options: str) -> Any:
        """Return the program newly built, and keep nothing.

        Raises:
            CompileError: the source does not build; `log` is the compiler's text.
        """
        import pyopencl as cl

        self.compiles += 1
        _log.info("compiling for %s (%s)", self.device.id, options)
        with translated(self.device.id), warnings.catch_warnings():
            warnings.simplefilter("ignore", cl.CompilerWarning)  # remarks; errors raise
            program = cl.Program(self.device.context, source)
            program.build(options.split(), cache_dir=False)
        return program

    def _from_binary(self, binary: bytes) -> Any:
        return program_of(self.device, binary)


def program_of(device: OpenDevice, binary: bytes) -> Any:
    """The built `pyopencl.Program` of a binary.

    Raises:
        DeviceError: the driver does not take it.
    """
    import pyopencl as cl

    with translated(device.id), warnings.catch_warnings():
        warnings.simplefilter("ignore", cl.CompilerWarning)
        return cl.Program(device.context, [device.device], [binary]).build()


def _seal(binary: bytes) -> bytes:
    return _MAGIC + hashlib.sha256(binary).digest() + binary


def _read_entry(path: Path) -> bytes | None:
    """The binary in a cache file; None if there is none or it is damaged.

    The checksum is compared here because a driver given a damaged binary may abort the process.
    """
    try:
        content = console.read_own(path)
    except PermissionError as error:
        _log.warning("%s is not loaded, compiling again: %s", path, error.strerror)
        return None
    except OSError:
        return None
    head, binary = content[: len(_MAGIC)], content[len(_MAGIC) + _DIGEST_BYTES :]
    if head == _MAGIC and _seal(binary) == content:
        return binary
    _log.warning("%s is damaged, compiling again", path)
    return None
