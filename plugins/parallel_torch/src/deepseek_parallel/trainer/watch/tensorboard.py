"""Events that TensorBoard shows: records of TFRecord, each a protocol buffer `Event`.

A record is its length (uint64), a masked CRC-32C of that, the bytes, a masked CRC-32C of them, all
little-endian. Fields by number: Event 1 wall_time, 2 step, 3 file_version, 5 summary; Summary 1
value; Value 1 tag, 2 simple_value.

Source: tensorflow/core/util/event.proto, framework/summary.proto and lib/io/record_writer.h.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import time
from pathlib import Path
from typing import Final

from deepseek_parallel.trainer.events import Event
from deepseek_parallel.trainer.watch.lines import unwritten

_TAGS: Final = {
    "loss": "train/loss",
    "lr": "train/lr",
    "gradient_norm": "train/gradient_norm",
    "samples_per_s": "speed/samples_per_s",
    "imbalance": "speed/imbalance",
    "wire_nbytes": "speed/wire_nbytes",
    "ranks": "speed/ranks",
}
_POLYNOMIAL: Final = 0x82F63B78  # of CRC-32C, reflected


class TensorBoard:
    """Writes the figures of steps and evaluations to a new file of events in a folder."""

    def __init__(self, folder: Path) -> None:
        name = f"events.out.tfevents.{time.time():.0f}.{socket.gethostname()}.{os.getpid()}"
        self._path = folder / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("ab")
        except OSError as error:
            raise unwritten(self._path, error) from error
        self._write(_field(3, b"brain.Event:2"))

    def __call__(self, event: Event) -> None:
        """Write its figures, if it is a step or an evaluation."""
        if event.kind == "step":
            figures = {tag: event.figures[n] for n, tag in _TAGS.items() if n in event.figures}
        elif event.kind == "evaluation":
            figures = {f"evaluation/{n}": v for n, v in event.figures.items() if n != "stall_s"}
        else:
            return
        values = b"".join(
            _field(1, _field(1, tag.encode()) + b"\x15" + struct.pack("<f", _single(value)))
            for tag, value in figures.items()
        )
        self._write(b"\x10" + _varint(event.step) + _field(5, values))

    def close(self) -> None:
        """End the file; what could not be written was told."""
        with contextlib.suppress(OSError):
            self._file.close()

    def _write(self, message: bytes) -> None:
        data = b"\x09" + struct.pack("<d", time.time()) + message
        length = struct.pack("<Q", len(data))
        try:
            self._file.write(length + _checksum(length) + data + _checksum(data))
            self._file.flush()
        except OSError as error:
            raise unwritten(self._path, error) from error


def _field(number: int, data: bytes) -> bytes:
    """A field of bytes: its key, its length, itself."""
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def _single(value: float) -> float:
    """What float32 can hold."""
    try:
        struct.pack("<f", value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")
    return value


def _table() -> list[int]:
    found = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ (_POLYNOMIAL if crc & 1 else 0)
        found.append(crc)
    return found


_TABLE: Final = _table()


def _checksum(data: bytes) -> bytes:
    """CRC-32C, rotated and shifted, so that it does not look like one of its own input."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
