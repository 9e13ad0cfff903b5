"""One look at everything, and what it is made of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final, Protocol

import attrs

from deepseek_observe.monitor.families import FAMILIES, Series

_LONGEST: Final = 120  # letters of a label's value


@attrs.frozen(kw_only=True)
class Reading:
    """What a source told: values by series, and notes on what it can't tell."""

    values: Mapping[Series, float]
    notes: Mapping[str, str] = attrs.field(factory=dict)


class Source(Protocol):
    """Something that can be read each second."""

    name: str

    def read(self) -> Reading:
        """Read it; what it does not know is left out."""


@attrs.frozen(kw_only=True)
class Alert:
    """Something that a person should look at, and since when (seconds since the epoch)."""

    name: str
    subject: str
    text: str
    since_s: float


@attrs.frozen(kw_only=True)
class Sample:
    """What all sources told at one time.

    `values` are as /metrics gives them, `drawn` what is charted and kept: counters as rates.
    """

    time_s: float
    values: Mapping[Series, float]
    drawn: Mapping[Series, float]
    alerts: tuple[Alert, ...] = ()
    notes: Mapping[str, str] = attrs.field(factory=dict)


def plain(text: object, longest: int = _LONGEST) -> str:
    """A label's value that no terminal, page or scraper trips over."""
    written = "".join(c if c.isprintable() else "?" for c in str(text)[: longest + 1])
    return written if len(written) <= longest else written[: longest - 1] + "…"


class Rates:
    """Turns a sample's counters into rates, by the sample before."""

    def __init__(self) -> None:
        self._last_s = math.inf
        self._last: Mapping[Series, float] = {}

    def of(self, now_s: float, values: Mapping[Series, float]) -> dict[Series, float]:
        """Gauges as they are, counters per second; one that fell began again and has no rate yet.

        `now_s` is of a clock that is never set.
        """
        taken_s, last = now_s - self._last_s, self._last
        counted = {s: v for s, v in values.items() if FAMILIES[s[0]].kind == "counter"}
        drawn = {s: v for s, v in values.items() if s not in counted}
        if taken_s > 0:
            drawn.update(
                (s, (v - last[s]) / taken_s)
                for s, v in counted.items()
                if v >= last.get(s, math.inf)
            )
        self._last_s, self._last = now_s, counted
        return drawn
