"""What all events have in common: a time, texts of one line, and a pace."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs

from deepseek_core.contracts.secret import scrub
from deepseek_core.contracts.units import printable

_LONGEST: Final = 500  # characters of a text: an event may wait in a queue, and be drawn
_LOOKED_AT: Final = 4096


def one_line(value: object) -> str:
    """One line that may be shown: whatever an engine was given or an error says."""
    words = " ".join(scrub(str(value)[:_LOOKED_AT]).split())
    shown = printable(words[: _LONGEST + 1])
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 3]}..."


def maybe_line(value: object) -> str | None:
    """The same of what may be None."""
    return None if value is None else one_line(value)


def counts(values: Mapping[Any, int]) -> dict[str, int]:
    """Counts by name."""
    return {one_line(name): count for name, count in values.items()}


@attrs.frozen(kw_only=True)
class Event:
    """Base of all events; `time_s` is seconds since the epoch, now if it is not given."""

    time_s: float = attrs.field(factory=time.time)


class Pace:
    """Says when something is due again: at most once in `every_s` seconds.

    Times are those of a clock that never goes back. The first is due at once, or not before that
    time has passed.
    """

    __slots__ = ("_clock", "_every_s", "_next_s")

    def __init__(
        self,
        every_s: float = 1.0,
        *,
        at_once: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._every_s = every_s
        self._clock = clock
        self._next_s = -float("inf") if at_once else clock() + every_s

    def due(self) -> bool:
        """Whether the time has come; if so, the next is `every_s` from now."""
        now_s = self._clock()
        if now_s < self._next_s:
            return False
        self._next_s = now_s + self._every_s
        return True
