"""Amounts as people read them: bytes, and how many of what."""

from __future__ import annotations


def size_text(nbytes: float) -> str:
    """`512 B`, `1.5 MiB`: four digits at most."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(nbytes) < 1024:
            return f"{nbytes:.4g} {unit}"
        nbytes /= 1024
    return f"{nbytes:.4g} TiB"


def counted(number: int, noun: str) -> str:
    """`1 object`, `1,200 objects`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
