"""Checks of numbers that a description gives."""

from __future__ import annotations

import math

from deepseek_core import errors


def counted(value: object, what: str, most: int = 2**31) -> int:
    """A whole number from 1 to `most`, beyond which a search would not end.

    Raises:
        InputError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise errors.InputError(
            f"{what} is {value!r}, not a whole number of 1 or more",
            remedy=f"give {what} as a whole number, as 8",
        )
    if value > most:
        raise errors.InputError(
            f"{what} is {value}, and plans are made up to {most:,}",
            remedy=f"give {what} of {most} or less",
        )
    return value


def above_zero(value: object, what: str) -> float:
    """A finite number above zero.

    Raises:
        InputError: it is none.
    """
    if not _is_number(value) or not float(value) > 0:  # type: ignore[arg-type]
        raise errors.InputError(
            f"{what} is {value!r}, not a finite number above 0",
            remedy=f"give {what} as a number in its unit, as 3e9",
        )
    return float(value)  # type: ignore[arg-type]


def not_below_zero(value: object, what: str) -> float:
    """A finite number of 0 or more.

    Raises:
        InputError: it is none.
    """
    if not _is_number(value) or float(value) < 0:  # type: ignore[arg-type]
        raise errors.InputError(
            f"{what} is {value!r}, not a finite number of 0 or more",
            remedy=f"give {what} as a number in its unit, as 5e-6",
        )
    return float(value)  # type: ignore[arg-type]


def _is_number(value: object) -> bool:
    is_real = isinstance(value, int | float) and not isinstance(value, bool)
    return is_real and math.isfinite(value)  # type: ignore[arg-type]


def one_of(value: str, known: tuple[str, ...], what: str) -> str:
    """One of the words that are known.

    Raises:
        InputError: it is another one.
    """
    if value not in known:
        raise errors.InputError(f"{what} is {value!r}", remedy=f"use one of: {', '.join(known)}")
    return value
