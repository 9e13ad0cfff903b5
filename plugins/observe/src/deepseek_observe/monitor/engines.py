"""What the engines told: as values of the metric families, as alerts, as a list of the last facts.

A type that is known has its own families; of every other, each number is one value of
`deepseek_event_value`. What is not told again is forgotten after a while, and the number of series
is bounded, whatever a process sends.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterator
from typing import Any, Final

import attrs

from deepseek_observe.monitor.families import FAMILIES, Series
from deepseek_observe.monitor.known import KNOWN, Reads, alarms, over, tells
from deepseek_observe.monitor.sample import Alert, plain
from deepseek_observe.monitor.wire.receiving import Told

FORGOTTEN_S: Final = 600.0
"""Gauges of an engine that tells nothing for so long are left out."""
MOST_SERIES: Final = 256
"""Of one family: what one sort of event floods takes no room from another."""
_MOST_ALERTS, _MOST_FACTS, _MOST_TYPES = 100, 100, 200
_STATES: Final = {"SessionState", "StoreState", "TrainingState", "StageMeasured"}
OTHER: Final = "other"


@attrs.define
class _Value:
    value: float
    until_s: float


class Engines:
    """Takes events from the receiver's thread, gives values to the sampler's.

    `_values` are by series, the one that was told longest ago first. `_reads` are those of
    stores as they last told, for the shares since then. `_sizes` are the series of each family.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._values: OrderedDict[Series, _Value] = OrderedDict()
        self._sizes: Counter[str] = Counter()
        self._counts: dict[Series, float] = {}
        self._alerts: OrderedDict[tuple[str, str], tuple[Alert, float]] = OrderedDict()
        self._facts: deque[dict[str, Any]] = deque(maxlen=_MOST_FACTS)
        self._reads: dict[str, Reads] = {}

    def take(self, told: Told | None) -> None:
        """Take an event; None is a datagram that was none."""
        with self._lock:
            if told is None:
                self._count("deepseek_events_refused_total", "no event")
                return
            is_new = ("deepseek_events_total", (told.type,)) not in self._counts
            full = is_new and len(self._counts) >= _MOST_TYPES
            self._count("deepseek_events_total", OTHER if full else told.type)
            for series, value in self._found(told):
                self._put(series, value)
            for series in over(told):
                if self._values.pop(series, None) is not None:
                    self._sizes[series[0]] -= 1
            self._alarm(told)
            if told.type not in _STATES:
                text = ", ".join(f"{n}={plain(v)}" for n, v in told.fields.items())
                self._facts.append(
                    {"t": told.time_s, "type": told.type, "text": plain(text, 400), "pid": told.pid}
                )

    def values(self) -> dict[Series, float]:
        """What is known now."""
        now_s = self._clock()
        with self._lock:
            while self._values and next(iter(self._values.values())).until_s < now_s:
                series, _ = self._values.popitem(last=False)
                self._sizes[series[0]] -= 1
            return {**self._counts, **{s: one.value for s, one in self._values.items()}}

    def alerts(self) -> tuple[Alert, ...]:
        """Alerts that events raised and that are still on."""
        now_s = self._clock()
        with self._lock:
            for key in [k for k, (_, until_s) in self._alerts.items() if until_s < now_s]:
                del self._alerts[key]
            return tuple(alert for alert, _ in self._alerts.values())

    def facts(self) -> list[dict[str, Any]]:
        """The last events that are no states, oldest first."""
        with self._lock:
            return list(self._facts)

    def _found(self, told: Told) -> Iterator[tuple[Series, float]]:
        if told.type in KNOWN:
            yield from KNOWN[told.type](told, self._reads)
        else:
            yield from _numbers(told)

    def _put(self, series: Series, value: float) -> None:
        if FAMILIES[series[0]].kind == "counter" and value < 0:
            return
        if series not in self._values:
            if self._sizes[series[0]] >= MOST_SERIES:
                self._count("deepseek_events_refused_total", "too many series")
                return
            self._sizes[series[0]] += 1
        self._values[series] = _Value(value, self._clock() + FORGOTTEN_S)
        self._values.move_to_end(series)

    def _count(self, family: str, label: str) -> None:
        series = family, (label,)
        self._counts[series] = self._counts.get(series, 0.0) + 1

    def _alarm(self, told: Told) -> None:
        for key in alarms(told):
            self._alerts.pop(key, None)
        for name, subject, text, lasts_s in tells(told):
            key = name, subject
            since_s = self._alerts[key][0].since_s if key in self._alerts else told.time_s
            alert = Alert(name=name, subject=subject, text=text, since_s=since_s)
            self._alerts[key] = alert, self._clock() + lasts_s
            self._alerts.move_to_end(key)
            if len(self._alerts) > _MOST_ALERTS:
                self._alerts.popitem(last=False)


def _numbers(told: Told) -> Iterator[tuple[Series, float]]:
    """Each number of an event whose type nobody told us about; its texts say of what it is."""
    texts = [f"{n}={plain(v, 40)}" for n, v in told.fields.items() if isinstance(v, str)]
    subject = plain(" ".join(texts))
    for name, value in told.fields.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield ("deepseek_event_value", (told.type, name, subject)), float(value)
