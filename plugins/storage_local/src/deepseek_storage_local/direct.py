"""Files without the page cache (O_DIRECT): whole blocks, from and to aligned memory."""

from __future__ import annotations

import mmap
import os
import threading
from typing import Final

from deepseek_storage_local.volume import ASIDE, Volume

BLOCK_NBYTES: Final = 4096  # of what disks and file systems ask for, the largest that is usual
_BUFFER_NBYTES: Final = 1 << 20


class AlignedBuffers:
    """Memory that begins at a page's border, one piece for each thread."""

    def __init__(self) -> None:
        self._local = threading.local()

    def get(self) -> memoryview:
        """This thread's buffer; what it held is overwritten by whoever asks next."""
        view: memoryview | None = getattr(self._local, "view", None)
        if view is None:
            view = self._local.view = memoryview(mmap.mmap(-1, _BUFFER_NBYTES))
        return view


def write_direct(number: int, data: memoryview, buffer: memoryview) -> None:
    """Write a new file of `data`; the last block is written whole and then cut.

    Raises:
        OSError: it can't be written.
    """
    for start in range(0, len(data), len(buffer)):
        piece = data[start : start + len(buffer)]
        buffer[: len(piece)] = piece
        nbytes = -(-len(piece) // BLOCK_NBYTES) * BLOCK_NBYTES
        buffer[len(piece) : nbytes] = bytes(nbytes - len(piece))
        done = 0
        while done < nbytes:
            done += os.pwrite(number, buffer[done:nbytes], start + done)
    if len(data) % BLOCK_NBYTES:
        os.ftruncate(number, len(data))


def read_direct(number: int, start: int, nbytes: int, buffer: memoryview) -> bytes:
    """`nbytes` from `start`, fewer where the file ends.

    Raises:
        OSError: it can't be read.
    """
    parts: list[bytes] = []
    position, end = start, start + nbytes
    while position < end:
        first = position - position % BLOCK_NBYTES
        last = min(-(-end // BLOCK_NBYTES) * BLOCK_NBYTES, first + len(buffer))
        found = os.preadv(number, [buffer[: last - first]], first)
        piece = bytes(buffer[position - first : min(found, end - first)])
        parts.append(piece)
        position += len(piece)
        if not piece or found % BLOCK_NBYTES:
            break
    return parts[0] if len(parts) == 1 else b"".join(parts)


def refusal(volume: Volume, opening: str) -> str | None:
    """Why this volume takes no direct I/O; None if it does."""
    if not hasattr(os, "O_DIRECT"):
        return f"{volume.path}: this system has no direct I/O"
    name = f"{ASIDE}/{opening}.direct"
    buffer = AlignedBuffers().get()[:BLOCK_NBYTES]
    try:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_DIRECT
        number = os.open(name, flags, 0o600, dir_fd=volume.folder)
    except OSError as error:
        return f"{volume.path}: {error.strerror}"
    try:
        os.pwrite(number, buffer, 0)
        os.preadv(number, [buffer], 0)
    except OSError as error:
        return f"{volume.path}: {error.strerror}"
    finally:
        os.close(number)
        os.unlink(name, dir_fd=volume.folder)
    return None
