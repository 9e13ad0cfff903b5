"""What devices do now, for plugins that listen: tasks that end become a state, once in a second."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs

from deepseek_core.contracts.event import DeviceLoad, Event, Pace, SessionState

_NUMBERS: Final = itertools.count(1)


@attrs.frozen(kw_only=True)
class Requests:
    """Requests of a server by latency class, as in a `SessionState`."""

    queued: Mapping[str, int] = attrs.field(factory=dict)
    done: Mapping[str, int] = attrs.field(factory=dict)
    missed: Mapping[str, int] = attrs.field(factory=dict)
    refused: Mapping[str, int] = attrs.field(factory=dict)


class Activity:
    """Sums up the tasks of a session or server; safe to use from any thread.

    `waiting` says how many tasks wait for a device, `requests` what became of those of callers.
    `_busy_s` and `_slots` (those that were used) are since the last state, `_done` since the
    beginning.
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
        self._pace = Pace(1.0)
        self._waiting: dict[str, int] = {}
        self._busy_s: dict[str, float] = {}
        self._slots: dict[str, set[int]] = {}
        self._done: dict[str, int] = {}
        self._since_s = time.perf_counter()
        self._is_new = False  # whether something was noted since the last state

    def note(self, span: tuple[Any, ...]) -> None:
        """Note a finished task: the fields of a `Span`."""
        _, device_id, slot, _, _, start_s, end_s = span
        with self._lock:
            self._busy_s[device_id] = self._busy_s.get(device_id, 0.0) + end_s - start_s
            self._slots.setdefault(device_id, set()).add(slot)
            self._done[device_id] = self._done.get(device_id, 0) + 1
            self._is_new = True
        self.look()

    def queued(self, device_id: str, waiting: int) -> None:
        """Note how many tasks wait for a device now."""
        self._waiting[device_id] = waiting

    def look(self) -> None:
        """Tell the state if it is time, and it is another one."""
        if self._is_new and self._pace.due():
            self.tell()

    def tell(self) -> None:
        """Tell the state, unless nothing was noted since the last one."""
        with self._lock:
            if not self._is_new:
                return
            now_s = time.perf_counter()
            loads = [self._load(device_id, now_s) for device_id in sorted(self._done)]
            self._busy_s.clear()
            self._slots.clear()
            self._since_s, self._is_new = now_s, False
        requests = attrs.asdict(self._requests(), recurse=False)
        self._emit(SessionState(session=self._name, devices=tuple(loads), **requests))

    def _load(self, device_id: str, now_s: float) -> DeviceLoad:
        could_s = (now_s - self._since_s) * len(self._slots.get(device_id, ()))
        share = self._busy_s.get(device_id, 0.0) / could_s if could_s > 0 else 0.0
        return DeviceLoad(
            device_id=device_id,
            utilization=min(1.0, share),
            queued=self._waiting.get(device_id, 0),
            done=self._done[device_id],
        )
