"""Frames on a pipe: one byte that says what, eight with the length, then the content."""

from __future__ import annotations

import struct
from typing import BinaryIO, Final

HEAD: Final = struct.Struct(">cQ")


def write_frame(out: BinaryIO, kind: bytes, content: bytes) -> None:
    """Write one frame and flush it."""
    out.write(HEAD.pack(kind, len(content)))
    out.write(content)
    out.flush()


def read_frame(source: BinaryIO) -> tuple[bytes, bytes]:
    """The next frame.

    Raises:
        EOFError: the writer went away.
    """
    kind, nbytes = HEAD.unpack(_exactly(source, HEAD.size))
    return kind, _exactly(source, nbytes)


def _exactly(source: BinaryIO, nbytes: int) -> bytes:
    content = source.read(nbytes)
    if len(content) != nbytes:
        raise EOFError("the other process went away")
    return content
