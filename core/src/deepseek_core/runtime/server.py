"""Serves a graph to many callers at once: drives the online scheduler with real devices.

One worker thread for each slot of each device. Every stage of a request is a task of the
scheduler; the first one is admitted for the whole request, later ones are promised work.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from typing import Final, Self

from deepseek_core.contracts.errors import (
    AdmissionRefused,
    ConfigError,
    DeepSeekError,
    DeviceClosed,
    InputError,
    Interrupted,
    StageFailed,
)
from deepseek_core.contracts.event import DeviceQuarantined
from deepseek_core.contracts.graph import Graph
from deepseek_core.contracts.stage import Array, Stage
from deepseek_core.contracts.task import LatencyClass
from deepseek_core.contracts.units import as_count
from deepseek_core.discovery.strangers import is_a, one_line, raise_if_ours
from deepseek_core.runtime.interrupts import held_back
from deepseek_core.runtime.loaded import Loaded
from deepseek_core.runtime.result import Result
from deepseek_core.runtime.served_costs import ServedCosts
from deepseek_core.runtime.served_devices import ServedDevices, served_route
from deepseek_core.runtime.served_requests import (
    Asked,
    ServedRequest,
    StageTask,
    answer,
    fail,
    refusal,
)
from deepseek_core.runtime.served_runs import ServedRun
from deepseek_core.runtime.session import Session
from deepseek_core.runtime.trace import Recorder
from deepseek_core.schedule.online import records as r
from deepseek_core.schedule.online.rules import Rules
from deepseek_core.schedule.online.scheduler import OnlineScheduler

_log = logging.getLogger(__name__)

_now_s = time.perf_counter
_LOOK_S: Final = 0.25  # how much later than its limit a run that hangs may be noticed
_END_S: Final = 1.0  # what the end of a server waits for calls that do not come back
_LEAST_S: Final = 0.3  # and for what comes after these

Then = Callable[[], None]


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
    """

    def __init__(
        self, session: Session, graph: Graph, *, rules: Rules | None = None, most_items: int = 16
    ) -> None:
        self._emit, self._most_items = session.registry.emit, as_count("most_items", most_items)
        self._pool = session.planner.pool
        self._route = served_route(session.planner, graph)
        self._graph = self._route.graph
        self._stages = {stage.name: stage for stage in self._graph.stages}
        before = {s.name: self._graph.predecessors(s) for s in self._graph.stages}
        self._first = [s for s in self._graph.stages if not before[s.name]]
        self._next: dict[str, list[Stage]] = {name: [] for name in before}
        for name, names in before.items():
            for each in names:
                self._next[each].append(self._stages[name])
        self._served = ServedDevices(session.planner, self._graph, most_items=self._most_items)
        devices = self._served.devices
        self._scheduler = OnlineScheduler(devices, rules)
        self._costs = ServedCosts(session.planner.problems, now_s=_now_s())
        self._changed = threading.Condition()
        self._tasks: dict[int, StageTask] = {}
        self._numbers = itertools.count(1)
        self._inbox = {d.id: SimpleQueue[r.Start | None]() for d in devices}
        self._closing = self._closed = False  # no more requests; no more answers
        self._is_telling = False  # the scheduler, for a caller
        self.recorder = Recorder()
        self.notices: list[str] = []
        self._threads = [threading.Thread(target=self._watch, name="server-clock", daemon=True)]
        self._threads += [
            threading.Thread(
                target=self._work, args=(d.id, slot), name=f"{d.id}-{slot}", daemon=True
            )
            for d in devices
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
            ConfigError: an unknown latency class, a deadline that is no time, or one of offline
                work, a caller that is no string.
            DeviceClosed: server or session is closed.
            Interrupted: this is a forked child, which has none of its threads.
        """
        self._pool.check_open()
        asked = Asked(latency=latency, deadline_s=deadline_s, caller=caller)
        request = ServedRequest(
            self._graph, inputs, asked, start_s=_now_s(), withdraw=self._withdraw
        )
        after, refused = list[Then](), None
        with self._in_turn():
            if self._closing:
                raise DeviceClosed("the server is closed", device_id="server")
            for index, stage in enumerate(self._first):
                refused = refused or self._arrive(request, stage, after, committed=index > 0)
            if self._closed:  # by a signal handler, in the middle of this
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
        with self._changed:
            self._closing = True
            self._scheduler.end(_END_S)
            self._changed.notify_all()  # the clock has other times to wait for
            # Still on where a signal handler interrupted it: then it goes on after this.
            if drain and not self._closed and not self._is_telling:
                self._changed.wait_for(lambda: not self._tasks)
            already, self._closed = self._closed, True
            left, self._tasks = self._tasks, {}
            self._changed.notify_all()
        if already:
            return
        for box in self._inbox.values():
            for _ in self._threads:
                box.put(None)
        until_s = _now_s() + _END_S
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.0, until_s - _now_s()))
        for future in {task.request.future for task in left.values()}:
            fail(future, _closed_before())
        for device_id in {t.name.rpartition("-")[0] for t in self._threads if t.is_alive()}:
            self._served.abandon(device_id)  # a call hangs in it
        for act in self._costs.write, self._served.close:
            self._aside(act).join(max(_LEAST_S, until_s - _now_s()))

    def _aside(self, act: Then) -> threading.Thread:
        """Do what may take long, or for ever, in a thread of its own."""
        thread = threading.Thread(target=act, name="server-aside", daemon=True)
        thread.start()
        return thread

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_exc: object) -> None:
        self.close(drain=kind is None)

    @contextlib.contextmanager
    def _in_turn(self) -> Iterator[None]:
        """The scheduler's turn of a caller's thread, which a signal handler may interrupt."""
        with held_back(), self._changed:
            self._is_telling = True
            try:
                yield
            finally:
                self._is_telling = False

    # -- what the scheduler is told and answers; all under `_changed` -------------------------

    def _arrive(
        self, request: ServedRequest, stage: Stage, after: list[Then], *, committed: bool
    ) -> r.Reject | None:
        number = next(self._numbers)
        self._tasks[number] = task = StageTask(request, stage)
        request.tasks.add(number)
        event = r.TaskArrived(
            time_s=_now_s(),
            task_id=number,
            operator=stage.name,
            items=request.batch if task.divisible else self._as_one_call(request),
            latency=request.latency,
            deadline_s=request.deadline_s - self._served.tail_s(stage.name, request.batch),
            committed=committed,
            divisible=task.divisible,
            caller=request.caller,
        )
        return self._tell(event, after)

    def _ended(self, number: str | int) -> StageTask:
        task = self._tasks.pop(int(number))
        task.request.tasks.discard(int(number))
        return task

    def _withdraw(self, tasks: set[int]) -> None:
        """Let what is left of a request go: nobody waits for it."""
        if self._pool.is_foreign:
            return
        after: list[Then] = []
        with self._in_turn():
            for number in list(tasks):
                if number in self._tasks:
                    self._ended(number)
                    self._tell(r.TaskWithdrawn(time_s=_now_s(), task_id=number), after)
        _do(after)

    def _tell(self, event: r.OnlineEvent, after: list[Then]) -> r.Reject | None:
        """Give an event, do what is decided; what may call foreign code goes to `after`."""
        rejected: r.Reject | None = None
        for decision in () if self._closed else self._scheduler.handle(event):
            if self._closed:  # by a signal handler, in the middle of this
                break
            match decision:
                case r.Start():
                    self._inbox[decision.device_id].put(decision)
                case r.Finish():
                    self._finish(self._ended(decision.task_id), after)
                case r.Reject():
                    self._ended(decision.task_id)
                    rejected = decision
                case r.Drop() | r.Fail():
                    self._give_up(self._ended(decision.task_id), decision, after)
                case r.Quarantine():
                    self._note(decision.device_id, f"quarantined: {decision.reason}", after)
                case r.Readmit():
                    self._note(decision.device_id, "back from quarantine, on probation", after)
        if not self._tasks:
            self._changed.notify_all()
        return rejected

    def _finish(self, task: StageTask, after: list[Then]) -> None:
        request = task.request
        if task.rejected is not None:
            self._fail(request, task.rejected, after)
            return
        try:
            task.finish()
        except ValueError as error:  # what the parts gave can't be joined
            task.error = error
            self._give_up(task, r.Fail(task_id="", reason=str(error)), after)
            return
        request.left -= 1
        if request.future.done():
            return  # another branch failed
        if request.left == 0:
            result = request.result(self._graph, _now_s())
            after.append(partial(answer, request.future, result))
        for stage in self._next[task.stage.name]:
            request.waits[stage.name] -= 1
            if request.waits[stage.name] == 0:
                refused = self._arrive(request, stage, after, committed=True)
                if refused is not None:
                    self._fail(request, refusal(refused), after)

    def _fail(self, request: ServedRequest, error: DeepSeekError, after: list[Then]) -> None:
        """End a request; what else of it waits is nobody's any more."""
        after.append(partial(fail, request.future, error))
        after.append(partial(self._withdraw, request.tasks))

    def _give_up(self, task: StageTask, why: r.Drop | r.Fail, after: list[Then]) -> None:
        error: DeepSeekError
        if isinstance(why, r.Drop):
            error = AdmissionRefused(
                f"stage {task.stage.name!r} was dropped: {why.reason}", retry_after_s=0.0
            )
        elif task.error is not None and is_a(task.error, InputError):
            error = task.error  # the caller's own fault, in the device's words
        else:
            error = StageFailed(
                f"stage {task.stage.name!r} failed: {why.reason}",
                stage=task.stage.name,
                device_id=getattr(task.error, "device_id", ""),
            )
            error.__cause__ = task.error
        self._fail(task.request, error, after)

    def _note(self, device_id: str, text: str, after: list[Then]) -> None:
        _log.warning("%s %s", device_id, text)
        self.notices.append(f"{device_id} {text}")
        self._changed.notify_all()  # the clock has a new time to wait for
        if text.startswith("quarantined"):
            event = DeviceQuarantined(time_s=time.time(), device_id=device_id, reason=text)
            after.append(partial(self._emit, event))

    def _as_one_call(self, request: ServedRequest) -> int:
        """How many items an undivided call counts for: what a run may hold, and not nothing."""
        return max(1, min(request.batch, self._most_items))

    # -- threads ------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Tick when the scheduler wants to be woken, and look after what runs meanwhile."""
        while True:
            after: list[Then] = []
            with self._changed:
                if self._closed:
                    return
                now_s, wake_s = _now_s(), self._scheduler.wake_s
                if wake_s <= now_s:
                    self._tell(r.Tick(time_s=now_s), after)
                else:
                    # Work that arrives wakes nobody: that would cost more than the look does.
                    self._changed.wait(min(wake_s - now_s, _LOOK_S))
            _do(after)
            if self._costs.is_due(_now_s()):
                self._aside(self._costs.write)

    def _work(self, device_id: str, slot: int) -> None:
        while (start := self._inbox[device_id].get()) is not None:
            self._serve(start, slot)

    def _serve(self, start: r.Start, slot: int) -> None:
        """Run what was decided; nothing of it is held once it has ended."""
        after: list[Then] = []
        with self._changed:
            known = [(self._tasks.get(int(part.task_id)), part) for part in start.parts]
            wanted = [(task, part) for task, part in known if task is not None]
            if not wanted:  # only the slot is to be freed
                self._tell(r.TaskFinished(time_s=_now_s(), run_id=start.run_id), after)
        if wanted:
            self._run(start, wanted, slot, after)
        _do(after)

    def _run(
        self, start: r.Start, wanted: list[tuple[StageTask, r.Part]], slot: int, after: list[Then]
    ) -> None:
        stage, device_id = self._stages[start.operator], start.device_id
        tasks, parts = [task for task, _ in wanted], [part for _, part in wanted]
        executable: Loaded | None = None
        with self._changed:
            begin_s = _now_s()  # in turn with those of others
            self._tell(r.TaskStarted(time_s=begin_s, run_id=start.run_id), after)
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
        with self._changed:
            if self._scheduler.runs(start.run_id):
                for (task, part), piece in zip(wanted, outputs, strict=True):
                    if isinstance(piece, InputError):
                        task.reject(piece)
                    else:
                        task.put(part, piece, device_id, self._route.parts[stage.name])
            # Where some of it was withdrawn, it says nothing of what was planned.
            seconds = end_s - begin_s if len(wanted) == len(start.parts) else None
            done = r.TaskFinished(time_s=_now_s(), run_id=start.run_id, seconds=seconds)
            self._tell(done, after)

    def _is_given_up(self, start: r.Start) -> bool:
        with self._changed:
            return not self._scheduler.runs(start.run_id)

    def _rejoin(self, start: r.Start, seconds: float, after: list[Then]) -> None:
        """A call that hung came back: its device is opened anew, and tried again."""
        if self._closed:
            return
        self._served.abandon(start.device_id)
        self._served.revive(start.device_id)
        device, late = self._served.online(start.device_id), {start.operator: seconds}
        with self._changed:
            self._tell(r.DeviceJoined(time_s=_now_s(), device=device, late=late), after)

    def _failed(
        self,
        start: r.Start,
        tasks: list[StageTask],
        error: BaseException,
        executable: Loaded | None,
        after: list[Then],
    ) -> None:
        guilty = not isinstance(error, InputError)
        if guilty:
            self._served.evict(start.device_id, executable)
        for task in tasks:
            task.error = error
        with self._changed:
            event = r.TaskFailed(
                time_s=_now_s(),
                run_id=start.run_id,
                reason=one_line(error),
                retryable=not isinstance(error, InputError),
                device_fault=guilty,
            )
            self._tell(event, after)
        if guilty:
            after.append(partial(self._served.revive, start.device_id))


def _closed_before() -> Interrupted:
    return Interrupted("the server was closed before it was done")


def _do(after: list[Then]) -> None:
    """What may call foreign code, such as a future's callbacks: it never ends a worker."""
    for act in after:
        try:
            act()
        except BaseException as error:  # noqa: BLE001 - see above
            _log.warning("a callback raised %s", one_line(error))
