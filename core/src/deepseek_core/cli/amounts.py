"""Amounts as options give them: seconds and sizes."""

from __future__ import annotations

import argparse
import re
from typing import Final

_LONGEST_S: Final = 7 * 24 * 3600.0
_SCALES: Final = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
# No more digits than a float holds: what is longer was hardly meant.
_SIZE: Final = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)\s*([KMGT]?)(?:i?B)?", re.IGNORECASE)


def seconds_of(text: str) -> float:
    """A number of seconds, more than 0 and a week at most.

    Raises:
        ArgumentTypeError: it is not.
    """
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= _LONGEST_S:
        told = f"must be seconds, more than 0 and {_LONGEST_S:.0f} at most, got {text!r}"
        raise argparse.ArgumentTypeError(told)
    return seconds


def nbytes_of(text: str) -> int:
    """`200M` -> bytes, in binary units.

    Raises:
        ArgumentTypeError: it is not a size.
    """
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise argparse.ArgumentTypeError(
            f"must be a size, such as 4096, 64K, 200M or 1.5G, got {text!r}"
        )
    return int(float(found[1]) * _SCALES[found[2].upper()])
