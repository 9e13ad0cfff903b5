"""Checks of numbers that a description gives."""

from __future__ import annotations

from typing import Final

from deepseek_core import errors

_LEAST: Final = 1e-12
_MOST: Final = 1e24
"""Figures beyond these are of no machine, and their quotients of no use."""


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
    """A number above zero, from 1e-12 to 1e24.

    Raises:
        InputError: it is none.
    """
    return _within(value, _LEAST, what)


def not_below_zero(value: object, what: str) -> float:
    """A number from 0 to 1e24.

    Raises:
        InputError: it is none.
    """
    return _within(value, 0.0, what)


def one_of(value: str, known: tuple[str, ...], what: str) -> str:
    """One of the words that are known.

    Raises:
        InputError: it is another one.
    """
    if value not in known:
        raise errors.InputError(f"{what} is {value!r}", remedy=f"use one of: {', '.join(known)}")
    return value


def _within(value: object, least: float, what: str) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not least <= value <= _MOST:  # type: ignore[operator]
        raise errors.InputError(
            f"{what} is {value!r}, not a number from {least:g} to {_MOST:g}",
            remedy=f"give {what} as a number in its unit, as 5e-6 or 3e9",
        )
    return float(value)  # type: ignore[arg-type]
