"""The thread that samples: asks all sources, waits for none too long, and hands each sample on."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from deepseek_observe.monitor.alerts import Rule, alerts
from deepseek_observe.monitor.engines import Engines
from deepseek_observe.monitor.families import ALERT, Series
from deepseek_observe.monitor.sample import Alert, Rates, Sample, Source
from deepseek_observe.monitor.sources.watched import LIMIT_S, Watched

_LOG = logging.getLogger(__name__)
EVERY_S: Final = 1.0


class Sampler:
    """Takes a sample each `every_s` seconds and gives it to each of `takers`.

    `extra` gives values of the monitor itself, `fault` says what is wrong with the history.
    `_rates` knows the counters of the sample before, `_alerts` are those of its rules; `_end` ends
    the thread. `_sources` each read in a thread of their own, `_rules` say what is an alert.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        engines: Engines,
        rules: Sequence[Rule],
        *,
        every_s: float = EVERY_S,
        extra: Callable[[], dict[Series, float]] = dict,
        fault: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._sources = [Watched(source) for source in sources]
        self._engines, self._rules = engines, tuple(rules)
        self._every_s = every_s
        self._extra, self._fault = extra, fault
        self._rates = Rates()
        self._alerts: tuple[Alert, ...] = ()
        self._end = threading.Event()
        self._thread: threading.Thread | None = None
        self.takers: list[Callable[[Sample], None]] = []

    def begin(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Let it take no more samples; waits for the one that it takes now, to a limit."""
        self._end.set()
        if self._thread is not None:
            self._thread.join(LIMIT_S + 0.2)
        for source in self._sources:
            source.end()

    def sample(self) -> Sample:
        """Take one now."""
        now_s, began_s = time.time(), time.monotonic()
        values: dict[Series, float] = {}
        notes: dict[str, str] = {}
        for source in self._sources:
            source.ask()
        limit_s = min(LIMIT_S, self._every_s * 0.8)
        for source in self._sources:
            reading, fault = source.answer(limit_s - (time.monotonic() - began_s))
            values.update(reading.values)
            notes.update(reading.notes)
            values["deepseek_source_up", (source.name,)] = float(fault is None)
            if fault is not None:
                notes[source.name] = f"{source.name}: {fault}"
        values.update(self._engines.values())
        values.update(self._extra())
        values["deepseek_monitor_cpu_seconds_total", ()] = time.process_time()
        values["deepseek_monitor_sample_seconds", ()] = time.monotonic() - began_s
        drawn = self._rates.of(began_s, values)
        self._alerts = alerts(self._rules, drawn, self._alerts, now_s)
        on = (*self._alerts, *self._engines.alerts(), *self._own(now_s))
        values.update({(ALERT, (one.name, one.subject)): 1.0 for one in on})
        return Sample(time_s=now_s, values=values, drawn=drawn, alerts=on, notes=notes)

    def _own(self, now_s: float) -> tuple[Alert, ...]:
        fault = self._fault()
        if fault is None:
            return ()
        return (Alert(name="history", subject="the past is not kept", text=fault, since_s=now_s),)

    def _run(self) -> None:
        next_s = time.monotonic()
        while not self._end.is_set():
            sample = self.sample()
            for take in self.takers:
                try:
                    take(sample)
                except Exception:  # noqa: BLE001  # one taker's fault must not end the sampling
                    _LOG.exception("a sample could not be handed on")
            next_s = max(next_s + self._every_s, time.monotonic() - self._every_s)
            self._end.wait(max(next_s - time.monotonic(), 0.0))
