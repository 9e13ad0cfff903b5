"""Color for people: where a terminal is, unless NO_COLOR (no-color.org) says otherwise."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final, TextIO

_CODES: Final = {
    "bold": "1", "soft": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36",
}  # fmt: skip
_TONES: Final = {
    "available": "green", "ok": "green", "passed": "green",
    "unavailable": "yellow", "disabled": "yellow", "skipped": "yellow", "warning": "yellow",
    "warn": "yellow",
    "broken": "red", "incompatible": "red", "conflict": "red", "blocked": "red",
    "failed": "red", "fail": "red",
    "crashed": "red", "hung": "red", "error": "red",
}  # fmt: skip


def has_color(stream: TextIO | None, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether text for this stream may be colored; NO_COLOR beats FORCE_COLOR."""
    if stream is None or environ.get("NO_COLOR"):
        return False
    if environ.get("FORCE_COLOR"):
        return True
    return environ.get("TERM") != "dumb" and stream.isatty()


def painted(text: str, look: str) -> str:
    """The text in a color, or bold."""
    return f"\x1b[{_CODES[look]}m{text}\x1b[0m" if text else text


def bold(text: str) -> str:
    """The text of a heading."""
    return painted(text, "bold")


def toned(word: str) -> str:
    """A status in the color of its sort; any other word as it is."""
    look = _TONES.get(word.strip())
    return word if look is None else painted(word, look)
