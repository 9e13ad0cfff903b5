"""What devices do now, for plugins that listen: tasks that end become a state, once in a second."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Final

import attrs

from deepseek_core.contracts.events.base import Event
from deepseek_core.contracts.events.sessions import DeviceLoad, SessionState

_NUMBERS: Final = itertools.count(1)
_EVERY_S: Final = 1.0

SpanFields = tuple[str, str, int, int, int, float, float]


@attrs.frozen(kw_only=True)
class Requests:
    """Requests of a server by latency class, as in a `SessionState`."""

    queued: Mapping[str, int] = attrs.field(factory=dict)
    done: Mapping[str, int] = attrs.field(factory=dict)
    missed: Mapping[str, int] = attrs.field(factory=dict)
    refused: Mapping[str, int] = attrs.field(factory=dict)


class Activity:
    """Sums up the tasks of a session or server; safe to use from any thread.

    `requests` says what became of those of callers. `_spans` ended since the last state, and
    `_done` counts them since the beginning; `_waiting` is by device; the next state is told from
    `_due_s` on, by the clock of the spans.
    """

    def __init__(
        self,
        kind: str,
        emit: Callable[[Event], None],
        *,
        requests: Callable[[], Requests] = Requests,
    ) -> None:
        self._name = f"{kind} {next(_NUMBERS)}"
        self._emit, self._requests = emit, requests
        self._lock = threading.RLock()  # a signal handler may close the session
        self._spans: deque[SpanFields] = deque()
        self._done: Counter[str] = Counter()
        self._waiting: dict[str, int] = {}
        self._since_s, self._due_s = time.perf_counter(), -float("inf")

    def note(self, span: SpanFields) -> None:
        """Note a finished task: the fields of a `Span`."""
        self._spans.append(span)
        if span[-1] >= self._due_s:
            self.tell()

    def queued(self, device_id: str, waiting: int) -> None:
        """Note how many tasks wait for a device now."""
        self._waiting[device_id] = waiting

    def look(self) -> None:
        """Tell the state if it is time."""
        if time.perf_counter() >= self._due_s:
            self.tell()

    def tell(self) -> None:
        """Tell the state, unless nothing has ended since the last one."""
        with self._lock:
            if not self._spans:
                return
            now_s = time.perf_counter()
            loads = self._loads(now_s - self._since_s)
            self._since_s, self._due_s = now_s, now_s + _EVERY_S
        requests = attrs.asdict(self._requests(), recurse=False)
        self._emit(SessionState(session=self._name, devices=loads, **requests))

    def _loads(self, passed_s: float) -> list[DeviceLoad]:
        busy_s: dict[str, float] = {}
        slots: dict[str, set[int]] = {}
        for _ in range(len(self._spans)):  # others append meanwhile
            _, device_id, slot, _, _, start_s, end_s = self._spans.popleft()
            busy_s[device_id] = busy_s.get(device_id, 0.0) + end_s - start_s
            slots.setdefault(device_id, set()).add(slot)
            self._done[device_id] += 1
        return [
            DeviceLoad(
                device_id=device_id,
                utilization=_share(busy_s, slots, device_id, passed_s),
                queued=self._waiting.get(device_id, 0),
                done=done,
            )
            for device_id, done in sorted(self._done.items())
        ]


def _share(
    busy_s: Mapping[str, float], slots: Mapping[str, set[int]], device_id: str, passed_s: float
) -> float:
    """Share of the time of all slots that were used; all of a task counts where it ended."""
    could_s = passed_s * len(slots.get(device_id, ()))
    return min(1.0, busy_s.get(device_id, 0.0) / could_s) if could_s > 0 else 0.0
