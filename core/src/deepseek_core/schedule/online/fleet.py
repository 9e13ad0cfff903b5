"""The devices of the online scheduler: who is in service, who is out and until when."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable
from typing import Final

from deepseek_core.schedule.online.records import OnlineDevice
from deepseek_core.schedule.online.rules import Rules
from deepseek_core.schedule.online.state import Job, Run, Unit

_LONGEST_S: Final = 60.0
_TYPICAL_ITEMS: Final = 8  # aptness compares runs of this size


class Fleet:
    """Units by id; `serving` are those that get work."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self.units: dict[str, Unit] = {}
        self.serving: list[Unit] = []
        self._returns: list[tuple[float, str]] = []

    def join(self, device: OnlineDevice) -> tuple[Unit, list[Run], list[Job]]:
        """Add or replace a device; what ran and waited on the one it replaces."""
        old = self.units.get(device.id)
        runs, jobs = self._void(old) if old is not None else ([], [])
        unit = Unit(device)
        if old is not None and old.hangs:
            unit.faults = old.faults
            for name, cost in old.costs.items():
                if name in unit.costs:
                    unit.costs[name].ended(cost.longest_s)
        self.units[device.id] = unit
        self._refresh()
        return unit, runs, jobs

    def lose(self, unit: Unit) -> tuple[list[Run], list[Job]]:
        """Take a device out, until it joins again, with all that it had: its runs, its queue."""
        unit.until_s = math.inf
        lost = self._void(unit)
        self._refresh()
        return lost

    def quarantine(self, unit: Unit, now_s: float) -> float:
        """Take a device out of service for a time that doubles with each fault in a row."""
        unit.faults += 1
        doubled = self._rules.quarantine_s * 2.0 ** min(unit.faults - 1, 30)
        until_s = now_s + min(doubled, max(_LONGEST_S, self._rules.quarantine_s))
        unit.in_service, unit.until_s = False, until_s
        heapq.heappush(self._returns, (until_s, unit.id))
        self._refresh()
        return until_s

    @property
    def next_return_s(self) -> float:
        """When the next device may come back."""
        return self._returns[0][0] if self._returns else math.inf

    def returning(self, now_s: float) -> Iterable[Unit]:
        """Put those back whose time is over; one run at a time until one succeeds."""
        back = []
        while self._returns and self._returns[0][0] <= now_s:
            until_s, device_id = heapq.heappop(self._returns)
            unit = self.units[device_id]
            if not unit.in_service and unit.until_s == until_s:
                unit.in_service, unit.on_probation = True, True
                unit.free = max(0, 1 - len(unit.running))
                back.append(unit)
        if back:
            self._refresh()
        return back

    def release(self, run: Run) -> bool:
        """Free the slot of a run that ended; False if its device was replaced meanwhile."""
        if run.unit.running.pop(run.id, None) is None:
            return False
        unit = run.unit
        most = 1 if unit.on_probation else unit.slots
        unit.free = max(0, most - len(unit.running)) if unit.in_service else 0
        return True

    def recovered(self, unit: Unit) -> None:
        """A run succeeded: the device is trusted as before."""
        unit.faults = 0
        if unit.on_probation:
            unit.on_probation = False
            unit.free = unit.slots - len(unit.running)

    def best_s(self, operator: str, items: int) -> float:
        """Least median seconds of a run on any device in service; infinity where none can."""
        able = [u.costs[operator] for u in self.serving if operator in u.costs]
        return min((c.quantile_s(items, 0.0) for c in able), default=math.inf)

    def least_s(self, operator: str, items: int) -> float:
        """Least mean seconds of a run on any device, in service or not."""
        costs = (u.costs[operator] for u in self.units.values() if operator in u.costs)
        return min(cost.mean_s(items) for cost in costs)

    def _void(self, unit: Unit) -> tuple[list[Run], list[Job]]:
        runs = list(unit.running.values())
        unit.running.clear()
        unit.free = 0
        unit.in_service = False
        return runs, unit.drain()

    def _refresh(self) -> None:
        """Find which devices serve, and how apt each is: best cost of the operator over its own."""
        self.serving = [u for u in self.units.values() if u.in_service]
        operators = {name for u in self.serving for name in u.costs}
        best = {name: self.best_s(name, _TYPICAL_ITEMS) for name in operators}
        for unit in self.serving:
            unit.aptness = {
                name: best[name] / cost.quantile_s(_TYPICAL_ITEMS, 0.0)
                for name, cost in unit.costs.items()
            }
