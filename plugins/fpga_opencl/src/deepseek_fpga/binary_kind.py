"""What a file is that a driver is asked to take for a compiled kernel, by its first bytes.

The offsets of an xclbin are those of `struct axlf` in the header `xclbin.h` of XRT.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Final

from deepseek_core import errors

_POINTER: Final = b"version https://git-lfs.github.com/spec/"
_XCLBIN: Final = b"xclbin2\0"
_LENGTH_AT, _PLATFORM_AT, _PLATFORM_BYTES = 304, 352, 64
_OTHERS: Final[tuple[tuple[bytes, str], ...]] = (
    (b"\x7fELF", "an ELF file"),
    (b"\x03\x02\x23\x07", "SPIR-V"),
    (b"\x1f\x8b", "packed by gzip"),
    (b"PK\x03\x04", "a zip archive"),
    (b"<", "a page or XML"),
)


def check_whole(path: Path, content: bytes) -> None:
    """See that a binary is the file itself, and not a part of it or a pointer to it.

    Raises:
        ArtifactError: it is not.
    """
    if content.startswith(_POINTER):
        raise errors.ArtifactError(
            f"the binary {path} is a pointer of Git LFS, not the file itself", remedy="git lfs pull"
        )
    if content.startswith(_XCLBIN) and _length(content) > len(content):
        raise errors.ArtifactError(
            f"the binary {path} is cut short: {len(content)} of {_length(content)} bytes",
            remedy="copy it again from where it was built",
        )


def kind_of(content: bytes) -> str:
    """What a whole file is; empty where its first bytes do not tell."""
    if content.startswith(_XCLBIN):
        name = content[_PLATFORM_AT : _PLATFORM_AT + _PLATFORM_BYTES].partition(b"\0")[0]
        return f"an xclbin for {name.decode('ascii', errors='replace')}"
    return next((what for start, what in _OTHERS if content.startswith(start)), "")


def _length(content: bytes) -> int:
    if len(content) < _PLATFORM_AT + _PLATFORM_BYTES:
        return _PLATFORM_AT + _PLATFORM_BYTES
    return int(struct.unpack_from("<Q", content, _LENGTH_AT)[0])
