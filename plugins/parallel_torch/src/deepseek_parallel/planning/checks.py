"""Checks of numbers that a description gives."""

from __future__ import annotations

from typing import Final

from deepseek_core import errors, training

_LEAST: Final = 1e-12
"""Figures below are of no machine, and their quotients of no use."""

counted = training.check_whole


def above_zero(value: object, what: str) -> float:
    """A number above zero, from 1e-12 to 1e24.

    Raises:
        InputError: it is none.
    """
    return training.check_figure(value, what, least=_LEAST)


def one_of(value: str, known: tuple[str, ...], what: str) -> str:
    """One of the words that are known.

    Raises:
        InputError: it is another one.
    """
    if value not in known:
        raise errors.InputError(f"{what} is {value!r}", remedy=f"use one of: {', '.join(known)}")
    return value
