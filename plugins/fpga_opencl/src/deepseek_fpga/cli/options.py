"""What the commands of `ds-sdk fpga` share."""

from __future__ import annotations

import argparse
from typing import Final

_LONGEST_S: Final = 7 * 24 * 3600.0


def seconds_of(text: str) -> float:
    """A number of seconds above 0, a week at most.

    Raises:
        ArgumentTypeError: it is none.
    """
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= _LONGEST_S:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds up to {_LONGEST_S:g}")
    return seconds
