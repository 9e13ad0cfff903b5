"""Serves a graph to many callers at once: drives the online scheduler with real devices.

One worker thread for each slot of each device, and one that looks at the clock.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from functools import partial
from typing import Final, Self

from deepseek_core.contracts.errors import (
    ConfigError,
    DeviceClosed,
    InputError,
    Interrupted,
    Unsupported,
)
from deepseek_core.contracts.graph import Graph
from deepseek_core.contracts.stage import Array
from deepseek_core.contracts.task import LatencyClass
from deepseek_core.contracts.units import as_count
from deepseek_core.discovery.strangers import one_line, raise_if_ours
from deepseek_core.runtime.interrupts import held_back
from deepseek_core.runtime.loaded import Loaded
from deepseek_core.runtime.result import Result
from deepseek_core.runtime.served_costs import ServedCosts
from deepseek_core.runtime.served_devices import ServedDevices, served_route
from deepseek_core.runtime.served_queue import ServedQueue, Then, Wanted, do_all
from deepseek_core.runtime.served_requests import Asked, ServedRequest, StageTask, fail, refusal
from deepseek_core.runtime.served_runs import ServedRun
from deepseek_core.runtime.session import Session
from deepseek_core.runtime.trace import Recorder
from deepseek_core.schedule.online import records as r
from deepseek_core.schedule.online.rules import Rules

_now_s = time.perf_counter
_LOOK_S: Final = 0.25  # how much later than its limit a run that hangs may be noticed
_END_S: Final = 1.0  # what the end of a server waits for calls that do not come back
_LEAST_S: Final = 0.3  # and for what comes after these


class Server:
    """Answers requests on the devices of a session until it is closed.

    `most_items` bounds a run. Every stage is loaded on every device that supports it, so that the
    first request is as fast as the next. A device in which a run hangs (`Rules.hang_factor`) gets
    no more work until the call comes back; what it had is done elsewhere.

    Work with a deadline goes by deadlines, whoever asked for it. All other work is shared between
    callers by start-time fair queueing: those who wait get equal device time. A caller has no more
    than `Rules.caller_limit` tasks in the queue, and all of them `Rules.queue_limit`.

    Raises:
        NoDevice: a stage that no device can run.
        ConfigError: the session has an executor that runs plans only.
    """

    def __init__(
        self, session: Session, graph: Graph, *, rules: Rules | None = None, most_items: int = 16
    ) -> None:
        session._check_drives("a server")
        self._pool = session.planner.pool
        # the graph as it is served: stages that one device takes are joined
        self._route = served_route(session.planner, graph)
        self._graph = self._route.graph
        self._stages = {stage.name: stage for stage in self._graph.stages}
        most_items = as_count("most_items", most_items)
        # devices, what each stage costs there, loaded executables
        self._served = ServedDevices(session.planner, self._graph, most_items=most_items)
        self._queue = ServedQueue(
            self._graph, self._served, rules, most_items=most_items, emit=session.registry.emit
        )
        # what runs took, on its way into the history
        self._costs = ServedCosts(session.planner.problems, now_s=_now_s())
        self._activity = session._open_activity("server", requests=self._queue.requests)
        self.recorder = Recorder(self._activity)  # what ran when, for a trace
        # a clock for time limits, and a worker for each slot of each device
        self._threads = [threading.Thread(target=self._watch, name="server-clock", daemon=True)]
        self._threads += [
            threading.Thread(
                target=self._work, args=(d.id, slot), name=f"{d.id}-{slot}", daemon=True
            )
            for d in self._served.devices
            for slot in range(d.slots)
        ]
        try:
            with held_back():
                for thread in self._threads:
                    thread.start()
        except BaseException:
            self.close(drain=False)
            raise

    def submit(
        self,
        inputs: Mapping[str, Array],
        *,
        latency: LatencyClass | str = LatencyClass.REALTIME,
        deadline_s: float | None = None,
        caller: str = "",
    ) -> Future[Result]:
        """Ask for one batch; `deadline_s` counts from now. The future raises what went wrong.

        Canceling it gives up its place. Callers (any names: users, tenants, programs) get equal
        shares. Arrays are not copied: leave them as they are until the answer is there.

        Raises:
            AdmissionRefused: the deadline can't be met, or too much waits; says when to try again.
            TensorMismatch: the inputs do not fit.
            ConfigError: an unknown latency class, a deadline that is not a time, or one of offline
                work, a caller that is not a string.
            DeviceClosed: server or session is closed.
            Interrupted: this is a forked child, which has none of its threads.
        """
        self._pool.check_open()
        asked = Asked(latency=latency, deadline_s=deadline_s, caller=caller)
        request = ServedRequest(
            self._graph, inputs, asked, start_s=_now_s(), withdraw=self._withdraw
        )
        after: list[Then] = []
        with self._queue.in_turn():
            if self._queue.closing:
                raise DeviceClosed("the server is closed", device_id="server")
            refused = self._queue.take(request, after)
            if self._queue.closed:  # by a signal handler, in the middle of this
                after.append(partial(fail, request.future, _closed_before()))
        for act in after:
            act()
        if refused is not None:
            self._withdraw(request.tasks)
            raise refusal(refused)
        return request.future

    def close(self, *, drain: bool = True) -> None:
        """Finish what was accepted (or not: `drain=False`), stop the workers; idempotent.

        What waits for a device that is out gets 1 s, the end of what runs and is loaded another; a
        call that hangs is left behind, after `Rules.hang_floor_s` even where patience is the rule.
        A signal handler may call it; one that interrupts `submit` drains nothing.

        Raises:
            ConfigError: called by one of its own workers, as a future's callback is.
        """
        if self._pool.is_foreign:
            return  # the workers stayed in the other process
        if threading.current_thread() in self._threads:
            raise ConfigError(
                "a server can't be closed by a callback of its own futures",
                remedy="close it in the thread that opened it",
            )
        with self._queue.changed:
            left = self._queue.close(_END_S, drain=drain)
        if left is None:
            return
        for box in self._queue.inbox.values():
            for _ in self._threads:
                box.put(None)
        until_s = _now_s() + _END_S
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.0, until_s - _now_s()))
        for future in {task.request.future for task in left}:
            fail(future, _closed_before())
        if self._activity is not None:
            self._activity.tell()
        for device_id in {t.name.rpartition("-")[0] for t in self._threads if t.is_alive()}:
            self._served.abandon(device_id)  # a call hangs in it
        for act in self._costs.write, self._served.close:
            self._aside(act).join(max(_LEAST_S, until_s - _now_s()))

    def _aside(self, act: Then) -> threading.Thread:
        """Do what may take long, or for ever, in a thread of its own."""
        thread = threading.Thread(target=act, name="server-aside", daemon=True)
        thread.start()
        return thread

    @property
    def notices(self) -> list[str]:
        """What happened to devices, oldest first."""
        return self._queue.notices

    def _withdraw(self, tasks: set[int]) -> None:
        if not self._pool.is_foreign:  # the lock may have been held as the process was forked
            self._queue.withdraw(tasks)

    def __repr__(self) -> str:
        from deepseek_core.runtime.shown import server_line

        devices = [device.id for device in self._served.devices]
        return server_line(self._graph.name, devices, closed=self._queue.closed)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_exc: object) -> None:
        self.close(drain=kind is None)

    # -- threads ------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Tick when the scheduler wants to be woken, and look after what runs meanwhile."""
        while True:
            after: list[Then] = []
            with self._queue.changed:
                if self._queue.closed:
                    return
                now_s, wake_s = _now_s(), self._queue.scheduler.wake_s
                if wake_s <= now_s:
                    self._queue.tell(r.Tick(time_s=now_s), after)
                else:
                    # Work that arrives wakes nobody: that would cost more than the look does.
                    self._queue.changed.wait(min(wake_s - now_s, _LOOK_S))
            do_all(after)
            if self._activity is not None:
                self._activity.look()
            if self._costs.is_due(_now_s()):
                self._aside(self._costs.write)

    def _work(self, device_id: str, slot: int) -> None:
        while (start := self._queue.inbox[device_id].get()) is not None:
            self._serve(start, slot)

    def _serve(self, start: r.Start, slot: int) -> None:
        """Run what was decided; nothing of it is held once it has ended."""
        after: list[Then] = []
        with self._queue.changed:
            wanted = self._queue.wanted(start, after)
        if wanted:
            self._run(start, wanted, slot, after)
        do_all(after)

    def _run(self, start: r.Start, wanted: Wanted, slot: int, after: list[Then]) -> None:
        stage, device_id = self._stages[start.operator], start.device_id
        tasks, parts = [task for task, _ in wanted], [part for _, part in wanted]
        executable: Loaded | None = None
        with self._queue.changed:
            begin_s = _now_s()  # in turn with those of others
            self._queue.tell(r.TaskStarted(time_s=begin_s, run_id=start.run_id), after)
        try:
            pieces = [task.piece(part) for task, part in wanted]
            executable = self._served.executable(stage, device_id)
            run = ServedRun(executable, divisible=tasks[0].divisible)
            outputs = run.outputs(pieces, parts)
        except BaseException as error:  # noqa: BLE001 - a driver may raise anything
            raise_if_ours(error)
            if self._is_given_up(start):
                self._rejoin(start, _now_s() - begin_s, after)
            else:
                self._failed(start, tasks, error, executable, after)
            return
        if self._is_given_up(start):
            self._rejoin(start, _now_s() - begin_s, after)
            return
        end_s = _now_s()
        items = sum(part.items for part in parts)
        self.recorder.note((stage.name, device_id, slot, start.run_id, items, begin_s, end_s))
        self._costs.note(executable, run.samples)
        with self._queue.changed:
            if self._queue.scheduler.runs(start.run_id):
                for (task, part), piece in zip(wanted, outputs, strict=True):
                    if isinstance(piece, InputError):
                        task.reject(piece)
                    else:
                        task.put(part, piece, device_id, self._route.parts[stage.name])
            # Where some of it was withdrawn, it says nothing of what was planned.
            seconds = end_s - begin_s if len(wanted) == len(start.parts) else None
            done = r.TaskFinished(time_s=_now_s(), run_id=start.run_id, seconds=seconds)
            self._queue.tell(done, after)

    def _is_given_up(self, start: r.Start) -> bool:
        with self._queue.changed:
            return not self._queue.scheduler.runs(start.run_id)

    def _rejoin(self, start: r.Start, seconds: float, after: list[Then]) -> None:
        """A call that hung came back: its device is opened again, and tried again."""
        if self._queue.closed:
            return
        self._served.come_back(start.device_id)
        device, late = self._served.online(start.device_id), {start.operator: seconds}
        with self._queue.changed:
            self._queue.tell(r.DeviceJoined(time_s=_now_s(), device=device, late=late), after)

    def _failed(
        self,
        start: r.Start,
        tasks: list[StageTask],
        error: BaseException,
        executable: Loaded | None,
        after: list[Then],
    ) -> None:
        # What was loaded and then does not take these values, may take the next.
        refused = isinstance(error, Unsupported) and executable is not None
        guilty = not refused and not isinstance(error, InputError)
        if guilty:
            self._served.evict(start.device_id, executable)
        for task in tasks:
            task.error = error
        with self._queue.changed:
            event = r.TaskFailed(
                time_s=_now_s(),
                run_id=start.run_id,
                reason=one_line(error),
                retryable=not isinstance(error, InputError),
                device_fault=guilty,
                refused=refused,
            )
            self._queue.tell(event, after)
        if guilty:
            after.append(partial(self._served.revive, start.device_id))


def _closed_before() -> Interrupted:
    return Interrupted("the server was closed before it was done")
