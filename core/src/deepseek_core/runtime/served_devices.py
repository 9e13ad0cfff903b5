"""The devices that serve a graph: what each stage costs on each, and the loaded executables."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable
from typing import Final

from deepseek_core.contracts.device import Estimate, LoadOptions
from deepseek_core.contracts.errors import NoDevice
from deepseek_core.contracts.graph import Graph
from deepseek_core.contracts.stage import Stage
from deepseek_core.contracts.task import LatencyClass, Workload
from deepseek_core.discovery.strangers import raise_if_ours, text_of
from deepseek_core.runtime.loaded import Loaded
from deepseek_core.runtime.logs import warn
from deepseek_core.runtime.planner import Planner
from deepseek_core.runtime.request import Request
from deepseek_core.runtime.routes import Route, route_of
from deepseek_core.schedule.online.records import OnlineDevice, RunCost
from deepseek_core.schedule.problem import Problem, StageOptions

_Z90: Final = 1.2816


def served_route(planner: Planner, graph: Graph) -> Route:
    """The graph as it is served: in one piece, or cut as a plan for quick answers cuts it.

    Raises:
        NoDevice: a stage that no device can run.
    """
    request = Request(latency=LatencyClass.REALTIME, workload=Workload.INFERENCE, batch=1)
    _, placement = planner.problems.decide(graph, request)

    def may_run(stage: Stage, device_id: str) -> bool:
        return not planner.refusal(stage, device_id, request)

    return route_of(graph, placement.devices, may_run, decision=0)


class ServedDevices:
    """Loads every stage on every device that supports it, and again after a device failed.

    `most_items` bounds a run; costs are asked for one item and for that many.

    Raises:
        NoDevice: a stage that no device can run.
    """

    def __init__(self, planner: Planner, graph: Graph, *, most_items: int) -> None:
        self._planner, self._graph, self._most_items = planner, graph, most_items
        self._loaded: dict[tuple[str, str], Loaded] = {}
        self._left: set[str] = set()  # taken from the session's plans while a run hangs
        # One lock for each device: while one is opened again the others go on.
        self._locks = {info.id: threading.RLock() for info in planner.pool.infos}
        try:
            self.devices = self._ask()
        except BaseException:
            self.close()
            raise
        self._tails = self._ahead()

    def executable(self, stage: Stage, device_id: str) -> Loaded:
        """The stage on a device, opened and loaded if it is not.

        Raises:
            DeviceError: it can't be.
        """
        key = stage.name, device_id
        loaded = self._loaded.get(key)
        if loaded is not None:
            return loaded
        with self._locks[device_id]:
            if key not in self._loaded:
                options = LoadOptions(latency=LatencyClass.REALTIME, strict=True)
                self._loaded[key] = self._planner.pool.load(stage, device_id, options)
            return self._loaded[key]

    def evict(self, device_id: str, failed: Loaded | None) -> None:
        """Close a device that failed and what it had loaded, unless it was opened again since."""
        with self._locks[device_id]:
            mine = [key for key in list(self._loaded) if key[1] == device_id]
            if failed is not None and failed not in [self._loaded[key] for key in mine]:
                return
            for key in mine:
                self._loaded.pop(key).close()
            self._planner.pool.forget(device_id)

    def leave(self, device_id: str, reason: str) -> None:
        """Let no plan of the session use a device in which a run hangs, nor wait for it."""
        if self._planner.pool.leave(device_id, reason):
            self._left.add(device_id)

    def come_back(self, device_id: str) -> None:
        """Open a device again whose run has come back after all; plans may use it again."""
        self.abandon(device_id)
        if device_id in self._left:
            self._left.discard(device_id)
            self._planner.pool.readmit(device_id)
        self.revive(device_id)

    def abandon(self, device_id: str) -> None:
        """Forget a device in which a call hangs, and what it had loaded, without a call to it."""
        self._locks[device_id] = threading.RLock()  # a call that hangs may hold the old one
        for key in [key for key in list(self._loaded) if key[1] == device_id]:
            self._loaded.pop(key)
        self._planner.pool.abandon(device_id)

    def online(self, device_id: str) -> OnlineDevice:
        """A device as the scheduler knows it."""
        return next(device for device in self.devices if device.id == device_id)

    def revive(self, device_id: str) -> None:
        """Open a device that failed again, while it is in quarantine; a failure shows later."""
        served = self.online(device_id).costs
        for stage in self._graph.stages:
            if stage.name in served and not self._is_ready(stage, device_id):
                return

    def tail_s(self, stage: str, items: int) -> float:
        """Seconds that the stages after this one need at the least, 90 % quantile."""
        fixed_s, item_s = self._tails[stage]
        return fixed_s + item_s * items

    def close(self) -> None:
        """Free the executables, once no run is left; idempotent."""
        loaded, self._loaded = list(self._loaded.values()), {}
        for executable in loaded:
            executable.close()

    def _ask(self) -> tuple[OnlineDevice, ...]:
        one, many = self._problem(1), self._problem(self._most_items)
        costs: dict[str, dict[str, RunCost]] = {}
        for stage, small, large in zip(self._graph.stages, one.stages, many.stages, strict=True):
            told, told_many = _estimates(small), _estimates(large)
            ready = [d for d in told if d in told_many and self._is_ready(stage, d)]
            if not ready:
                self._planner.pool.check_open()
                raise NoDevice(f"no device could load stage {stage.name!r}", refusals={})
            for device in ready:
                line = _line(told[device], told_many[device], self._most_items)
                costs.setdefault(device, {})[stage.name] = line
        slots = {device: takes.slots for device, takes in one.concurrency.items()}
        return tuple(OnlineDevice(id=d, slots=slots[d], costs=costs[d]) for d in sorted(costs))

    def _problem(self, batch: int) -> Problem:
        request = Request(latency=LatencyClass.REALTIME, workload=Workload.INFERENCE, batch=batch)
        return self._planner.problems.problem(self._graph, request)

    def _is_ready(self, stage: Stage, device_id: str) -> bool:
        try:
            self.executable(stage, device_id).warmup(1)
        except BaseException as error:  # noqa: BLE001 - a driver may raise anything
            raise_if_ours(error)
            warn(__name__, f"{device_id} does not serve stage {stage.name}: {text_of(error)}")
            return False
        return True

    def _ahead(self) -> dict[str, tuple[float, float]]:
        """Fixed seconds and seconds for each item on the way from each stage to the end."""
        tails = {stage.name: (0.0, 0.0) for stage in self._graph.stages}
        for stage in reversed(self._graph.stages):
            fixed_s, item_s = _least(self.devices, stage.name)
            mine = tails[stage.name]
            through = (mine[0] + fixed_s, mine[1] + item_s)
            for name in self._graph.predecessors(stage):
                tails[name] = max(tails[name], through, key=sum)
        return tails


def _estimates(options: StageOptions) -> dict[str, Estimate]:
    return {c.device_id: c.estimate for c in options.allowed() if c.estimate is not None}


def _line(one: Estimate, many: Estimate, items: int) -> RunCost:
    """The fixed part and the part for each item, from runs of one item and of many."""
    item_s = max((many.seconds - one.seconds) / (items - 1), 0.0) if items > 1 else one.seconds
    return RunCost(
        fixed_s=max(one.seconds - item_s, 0.0),
        item_s=item_s or 1e-9,
        sigma=max(one.sigma, many.sigma),
        most_items=items,
        founded="prior" not in (one.source, many.source),
    )


def _least(devices: Iterable[OnlineDevice], stage: str) -> tuple[float, float]:
    """The cheapest device's cost of a run at its 90 % quantile."""
    costs = [d.costs[stage] for d in devices if stage in d.costs]
    best = min(costs, key=lambda c: c.seconds(1) * math.exp(_Z90 * c.sigma))
    factor = math.exp(_Z90 * best.sigma)
    return best.fixed_s * factor, best.item_s * factor
