"""A trace file as a stream of bytes, whatever packed it; told by its first bytes."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final, cast

from deepseek_core import console, errors

GZIP: Final = b"\x1f\x8b"
ZSTD: Final = b"\x28\xb5\x2f\xfd"
XZ: Final = b"\xfd7zXZ\x00"
SQLITE: Final = b"SQLite format 3\x00"


def head(path: Path) -> bytes:
    """The first bytes of a file, which say what it is.

    Raises:
        InputError: there is no such file, or it can't be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(16)
    except OSError as error:
        raise errors.InputError(
            f"{path} can't be read: {error.strerror or error}",
            remedy="give the path of a trace: a .json of PyTorch, or a .sqlite of Nsight Systems",
        ) from error


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """The bytes inside, unpacked.

    Raises:
        InputError: it can't be read, or its packing is damaged.
        ConfigError: it needs a package that is not installed.
    """
    first = head(path)
    try:
        if first.startswith(GZIP):
            with gzip.open(path) as unzipped:
                yield cast(IO[bytes], unzipped)
        elif first.startswith(ZSTD):
            with path.open("rb") as file, _zstd(file) as unpacked:
                yield unpacked
        elif first.startswith(XZ):
            import lzma

            with lzma.open(path) as packed:
                yield packed
        else:
            with path.open("rb") as file:
                yield file
    except (EOFError, zlib.error, OSError) as error:
        raise errors.InputError(
            f"{path} can't be unpacked: {error}",
            remedy="copy the file again, or write the trace again: it is cut short or damaged",
        ) from error


def _zstd(file: IO[bytes]) -> IO[bytes]:
    try:
        import zstandard
    except ModuleNotFoundError as error:
        raise errors.ConfigError(
            f"{file.name} is packed by zstd, and the package zstandard isn't installed",
            remedy=console.install_command("deepseek-observe", extra="zstd"),
        ) from error
    return io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(file))
