"""Runs the stages of a route where they are placed; places them again when a device fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from deepseek_core.contracts.device import LoadOptions
from deepseek_core.contracts.errors import (
    DeepSeekError,
    DeviceClosed,
    DeviceError,
    InputError,
    NoDevice,
    OutOfMemory,
    PluginError,
    StageFailed,
    TensorLost,
)
from deepseek_core.contracts.graph import Graph
from deepseek_core.contracts.place import RemoteTensor
from deepseek_core.contracts.stage import Array, Stage
from deepseek_core.discovery.strangers import is_a, one_line, raise_if_ours, told
from deepseek_core.runtime.interrupts import stop_if_interrupted
from deepseek_core.runtime.limits import limit_s, loading_s
from deepseek_core.runtime.loaded import Loaded
from deepseek_core.runtime.logs import warn
from deepseek_core.runtime.planner import Planner
from deepseek_core.runtime.request import Request
from deepseek_core.runtime.residents import Border, Resident, on_host
from deepseek_core.runtime.routes import Route, part_of, route_of, routes_of
from deepseek_core.runtime.trace import Recorder
from deepseek_core.schedule.throughput.turns import RoundRobin

if TYPE_CHECKING:
    from deepseek_core.contracts.device import Estimate
    from deepseek_core.contracts.events.base import Event
    from deepseek_core.schedule.problem import Placement, Problem

Tensors = Mapping[str, Array]
RanOn = Mapping[str, str]
Action = Callable[[Loaded, Tensors, Border], Tensors]
Begins = Callable[[Route, Stage], None]
_NOTHING: frozenset[str] = frozenset()


class StageRunner:
    """Owns the executables of a plan; safe to use from the workers of all devices.

    Not strict: a device that is lost or crashes is quarantined, its stages are placed
    again, and the batch at hand runs there. Strict: the first failure ends the run.
    """

    def __init__(
        self,
        planner: Planner,
        graph: Graph,
        request: Request,
        *,
        strict: bool,
        emit: Callable[[Event], None],
        recorder: Recorder | None = None,
    ) -> None:
        self._planner, self._graph, self._request = planner, graph, request
        self._strict, self._emit = strict, emit
        self._loaded: dict[tuple[str, str], Loaded] = {}  # by fingerprint of the stage and device
        self._keeps = False  # whether any of them leaves tensors on its device
        self._lock = threading.RLock()
        # seconds after which a run of (stages, device) counts as hanging
        self._limits: dict[tuple[Sequence[str], str], float] = {}
        self._loading: dict[str, threading.Lock] = {}  # a device that hangs holds up itself only
        self.decision = 0  # number of the placement; routes of an older one are made anew
        self._closed = False
        self.recorder = recorder or Recorder()
        self.notices: list[str] = []
        self.only: str | None  # the device, where there is no choice; else None
        self.routes: tuple[Route, ...]
        self._decided: tuple[Problem, Placement] | None  # None: nothing had to be decided so far
        self._decide()

    @property
    def problem(self) -> Problem:
        """What the placement was decided from."""
        return self._decision()[0]

    @property
    def placement(self) -> Placement:
        """Where each stage runs."""
        return self._decision()[1]

    def _decision(self) -> tuple[Problem, Placement]:
        """The decision; where there was none to make, its costs are found out when asked for."""
        with self._lock:
            if self._decided is None:
                self._decided = self._planner.problems.decide(self._graph, self._request)
            return self._decided

    @property
    def devices(self) -> dict[str, str]:
        """Stage -> device of the route that most batches take."""
        return self.routes[0].ran_on() if self.only else dict(self.placement.devices)

    @property
    def used(self) -> frozenset[str]:
        """All devices that a batch passes."""
        return frozenset(device for route in self.routes for device in route.devices.values())

    def slots(self, device_id: str) -> int:
        """How many runs at once the device takes; of one that was lost, one run moves the next."""
        try:
            return self._planner.concurrency(device_id, self._request).in_flight
        except (PluginError, DeviceError):
            return 1

    def route(self, sequence: int) -> Route:
        """The way of a batch; batches take the routes in turn."""
        routes = self.routes
        if len(routes) == 1:
            return routes[0]
        with self._lock:
            while len(self._turns) <= sequence:
                self._turns.append(self._round_robin.next())
            return self.routes[self._turns[sequence]]

    def _decide(self) -> None:
        only = self._planner.only_device(self._graph, self._request)
        decided = None if only else self._planner.problems.decide(self._graph, self._request)
        self.only, self._decided = only, decided
        self._lay_routes()

    def _lay_routes(self) -> None:
        """Routes of the placement; those that were laid before are no more."""
        if self.only is None:
            routes, order = self.placement.routes, self.placement.order
            holds = self.placement.holds
        else:
            routes, order, holds = (({self._graph.stages[0].name: self.only}, 1.0),), (), ()
        self.decision += 1
        self._limits.clear()
        self.routes = routes_of(
            self._graph, routes, self._may_run, self.decision, order, holds=holds
        )
        self._round_robin = RoundRobin([share for _, share in routes])
        self._turns: list[int] = []

    def _may_run(self, stage: Stage, device_id: str) -> bool:
        return not self._planner.refusal(stage, device_id, self._request)

    def prepare(self, batch: int) -> None:
        """Load and warm up every stage wherever it is placed.

        Raises:
            StageFailed: it could not be loaded there nor anywhere else.
        """

        def warm(executable: Loaded, _tensors: Tensors, _border: Border) -> Tensors:
            executable.warmup(batch)
            return {}

        for route in self.routes:
            for stage in route.graph.stages:
                self._persist(route, stage, {}, warm)

    def run(
        self,
        route: Route,
        stage: Stage,
        tensors: Tensors,
        *,
        sequence: int,
        batch: int,
        begins: Begins | None = None,
    ) -> tuple[Tensors, RanOn]:
        """Outputs of a stage of a route, and where each stage that it stands for ran.

        `begins` is told of each attempt.

        Raises:
            InputError: the inputs do not fit.
            StageFailed: it failed and no other device can take it.
            TensorLost: what it reads or made is gone; the batch is to begin again.
        """

        def once(executable: Loaded, tensors: Tensors, border: Border) -> Tensors:
            name, device_id = executable.stage.name, executable.device_id
            inputs = {s.name: tensors[s.name] for s in executable.stage.inputs if s.name in tensors}
            if self._keeps:
                inputs = {name: executable.taken(value) for name, value in inputs.items()}
            keep = border.stays if executable.keeps else _NOTHING
            outputs, slot, start_s, end_s = executable.run(inputs, keep)
            if executable.keeps:
                outputs = executable.left(outputs)
                for output in outputs.keys() - (keep - border.leaves):
                    on_host(outputs[output])  # while the device is at hand, not when it is read
            self.recorder.note((name, device_id, slot, sequence, batch, start_s, end_s))
            return self._landed(outputs) if self._planner.pool.is_elsewhere else outputs

        return self._persist(route, stage, tensors, once, begins)

    def _landed(self, outputs: Tensors) -> Tensors:
        """What the caller gets is fetched at once; what other stages read may stay where it is."""
        wanted = self._graph.outputs
        return {
            name: value.to_host() if name in wanted and isinstance(value, RemoteTensor) else value
            for name, value in outputs.items()
        }

    def _persist(
        self,
        route: Route,
        stage: Stage,
        tensors: Tensors,
        action: Action,
        begins: Begins | None = None,
    ) -> tuple[Tensors, RanOn]:
        """Do it where the route says; elsewhere if that device fails, or failed since."""
        parts, device_id = route.parts[stage.name], route.devices[stage.name]
        if route.decision == self.decision:
            begins = begins or _nothing
            try:
                begins(route, stage)
                executable = self.executable(stage, device_id)
                begins(route, stage)  # loading is over, and has a limit of its own
                if self._keeps and not executable.can_take(tensors):  # left on one that was closed
                    return self._where_placed_now(parts, tensors, action, begins)
                outputs = action(executable, tensors, route.borders[stage.name])
            except InputError:
                raise
            except TensorLost as error:
                self.check_open()
                self._leave_lost(stage, error)
                raise
            except BaseException as error:  # noqa: BLE001 - a driver may raise anything
                raise_if_ours(error)
                stop_if_interrupted(error)
                self.check_open()
                self.recover(route, stage, error)
            else:
                return outputs, dict.fromkeys(parts, device_id)
        return self._where_placed_now(parts, tensors, action, begins)

    def _where_placed_now(
        self, parts: Sequence[str], tensors: Tensors, action: Action, begins: Begins | None
    ) -> tuple[Tensors, RanOn]:
        parts, tensors = self._with_lost(parts, tensors)
        with self._lock:
            devices = self.devices
            now = route_of(part_of(self._graph, parts), devices, self._may_run, self.decision)
        made: dict[str, Array] = {}
        ran_on: dict[str, str] = {}
        for stage in now.graph.stages:
            outputs, where = self._persist(now, stage, {**tensors, **made}, action, begins)
            made.update(outputs)
            ran_on.update(where)
        return made, ran_on

    def _with_lost(
        self, parts: Sequence[str], tensors: Tensors
    ) -> tuple[Sequence[str], dict[str, Any]]:
        """These stages, and those that must run again: what they made is on no device any more.

        What a device that was left still gives is taken to the host.
        """
        names, there = set(parts), dict(tensors)
        todo = list(parts)
        while todo:
            for spec in self._graph.stage(todo.pop()).inputs:
                maker = self._graph.producers.get(spec.name)
                if maker is None or maker in names or self._is_there(spec.name, there):
                    continue
                names.add(maker)
                todo.append(maker)
        return [stage.name for stage in self._graph.stages if stage.name in names], there

    def _is_there(self, name: str, tensors: dict[str, Any]) -> bool:
        """Whether a tensor is on the host, or can be taken there."""
        value = tensors.get(name)
        if isinstance(value, Resident):
            try:
                tensors[name] = value.fetched(self._planner.pool.limits.ask_s)
            except BaseException as error:  # noqa: BLE001 - a driver may raise anything
                raise_if_ours(error)
                stop_if_interrupted(error)
                del tensors[name]
        return name in tensors

    def executable(self, stage: Stage, device_id: str) -> Loaded:
        """A stage loaded on a device.

        Raises:
            DeepSeekError: it can't be loaded there, or nothing may run any more.
        """
        key = stage.name, device_id
        self.check_open()
        loaded = self._loaded.get(key)
        if loaded is not None:
            return loaded
        with self._lock:
            lock = self._loading.setdefault(device_id, threading.Lock())
        with lock:
            if key not in self._loaded:
                self._planner.pool.check_in(device_id)
                options = LoadOptions(latency=self._request.latency, strict=True)
                made = self._planner.pool.load(stage, device_id, options)
                self._keep(key, made)
            return self._loaded[key]

    def _keep(self, key: tuple[str, str], made: Loaded) -> None:
        try:
            with self._lock:
                self.check_open()
                self._planner.pool.check_in(
                    made.device_id
                )  # left meanwhile, and opened again by us
                self._loaded[key] = made
                self._keeps = self._keeps or made.keeps
        except DeepSeekError:
            made.close()
            raise

    def limit_s(self, route: Route, stage: Stage) -> float:
        """After how many seconds a run of a stage of a route counts as one that hangs."""
        if self._request.hang_s is not None:
            return self._request.hang_s
        if (stage.name, route.devices[stage.name]) not in self._loaded:
            return loading_s(self._planner.pool.limits)
        key = route.parts[stage.name], route.devices[stage.name]
        found = self._limits.get(key)
        if found is None:
            found = self._limits[key] = limit_s(self._estimates(*key))
        return found

    @property
    def moving_s(self) -> float:
        """After how many seconds a stage surely runs elsewhere, or can't."""
        return loading_s(self._planner.pool.limits)

    def _estimates(self, parts: Sequence[str], device_id: str) -> list[Estimate | None]:
        """What these stages cost on a device; nobody was asked where there was no choice."""
        if self._decided is None:
            return [None]
        problem = self._decided[0]
        rows = [row for row in problem.stages if row.name in parts]
        if problem.whole is not None and len(parts) == len(problem.stages):
            rows = [problem.whole]
        found = ({c.device_id: c.estimate for c in row.candidates} for row in rows)
        return [row.get(device_id) for row in found]

    def may_move(self, route: Route, stage: Stage) -> bool:
        """Whether a stage of a route that hangs is to be moved, or ends by the caller's limit."""
        if self._request.hang_s is not None:
            return True
        here, parts = route.devices[stage.name], route.parts[stage.name]
        others = [i for i in self._planner.pool.present_ids() if i != here]
        return not self._strict and all(
            any(self._may_run(self._graph.stage(part), other) for other in others) for part in parts
        )

    def leave(self, device_id: str, reason: str) -> None:
        """Leave a device behind in which a call hangs, and all that is loaded there."""
        if self._planner.pool.leave(device_id, reason):
            self._tell_quarantined(device_id, reason)
        with self._lock:
            for key in [key for key in self._loaded if key[1] == device_id]:
                del self._loaded[key]

    def recover(
        self, route: Route, stage: Stage, error: BaseException, *, hangs: bool = False
    ) -> None:
        """Place what the failed device had again; one that `hangs` keeps nothing at all.

        Raises:
            StageFailed: strict, not worth a retry, or nobody else can run it.
        """
        parts, device_id = route.parts[stage.name], route.devices[stage.name]
        with self._lock:
            if route.decision != self.decision and not (hangs and device_id in self.used):
                return  # another worker placed it again already
            if self._was_closed(stage, device_id):
                self._lay_routes()
                return
            if self._strict:
                raise _failed(stage, device_id, error, None) from error
            self._put_out(stage, device_id, error)
            try:
                self._decide()
            except NoDevice as nobody:
                raise _failed(stage, device_id, error, nobody) from error
            moved = sorted(self._devices_of(parts))
        self._note(
            f"stage {stage.name} failed on {device_id} ({one_line(error)}) and moved to "
            f"{' and '.join(moved)}"
        )

    def _leave_lost(self, stage: Stage, error: TensorLost) -> None:
        """Place again without the device that lost what it had made.

        Raises:
            StageFailed: strict, or nobody else can run what it had.
        """
        with self._lock:
            if self._strict:
                raise _failed(stage, error.device_id, error, None) from error
            reason = one_line(error)
            if not self._planner.pool.quarantine(error.device_id, reason):
                return  # another batch came upon it first
            self._tell_quarantined(error.device_id, reason)
            if error.device_id in self.used:
                try:
                    self._decide()
                except NoDevice as nobody:
                    raise _failed(stage, error.device_id, error, nobody) from error
        self._note(f"batches that had tensors on {error.device_id} begin again ({reason})")

    def _devices_of(self, parts: Sequence[str]) -> set[str]:
        placed = (route.ran_on() for route in self.routes)
        return {devices[part] for devices in placed for part in parts}

    def _was_closed(self, stage: Stage, device_id: str) -> bool:
        """Whether a server closed the device under it; then what it had is to be loaded again."""
        loaded = self._loaded.get((stage.name, device_id))
        pool = self._planner.pool
        if loaded is None or pool.holds(loaded) or device_id not in pool.present_ids():
            return False
        for key in [key for key in self._loaded if key[1] == device_id]:
            self._loaded.pop(key).close()
        return True

    def _put_out(self, stage: Stage, device_id: str, error: BaseException) -> None:
        """A device that is gone gets no more work; one that refuses a stage keeps the others."""
        reason = one_line(error)
        refused = isinstance(error, DeepSeekError) and not error.retryable
        if refused or isinstance(error, OutOfMemory):
            whole = self._planner.problems.whole(self._graph)
            for each in (stage, whole) if whole is not None else (stage,):  # fails with it, too
                self._planner.exclude(device_id, each, reason)
        elif self._planner.pool.quarantine(device_id, reason):
            self._tell_quarantined(device_id, reason)

    def _tell_quarantined(self, device_id: str, reason: str) -> None:
        from deepseek_core.contracts.events.sessions import DeviceQuarantined  # start-up counts

        self._emit(DeviceQuarantined(time_s=time.time(), device_id=device_id, reason=reason))

    def _note(self, text: str) -> None:
        warn(__name__, text)
        self.notices.append(text)

    def check_open(self) -> None:
        """Raise if nothing may run any more.

        Raises:
            DeviceClosed: plan or session is closed.
            Interrupted: this is a forked child.
        """
        self._planner.pool.check_open()
        if self._closed:
            raise DeviceClosed(
                "the plan is closed", device_id="plan", remedy="plan again: session.plan(graph)"
            )

    def close(self) -> None:
        """Free the executables; idempotent."""
        if self._planner.pool.is_foreign:
            return  # they are the parent's
        self._closed = True
        with self._lock:
            loaded, self._loaded = list(self._loaded.values()), {}
        for executable in loaded:
            executable.close()


def _nothing(_route: Route, _stage: Stage) -> None:
    """Tell nobody."""


def _failed(
    stage: Stage, device_id: str, error: BaseException, nobody: NoDevice | None
) -> StageFailed:
    text = told(error)[0] if is_a(error, DeepSeekError) else one_line(error)
    elsewhere = f"; {nobody.message}" if nobody is not None else ""
    remedy = error.remedy if isinstance(error, DeviceError) else None
    return StageFailed(
        f"stage {stage.name!r} failed on {device_id}: {text}{elsewhere}",
        stage=stage.name,
        device_id=device_id,
        remedy=remedy or "`ds-sdk devices` shows what is there; `--debug` shows the traceback",
    )
