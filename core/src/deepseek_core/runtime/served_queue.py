"""What waits and runs on a server: the scheduler is told, and what it decides is done.

Every stage of a request is a task of the scheduler; the first one is admitted for the whole
request, later ones are promised work.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final

from deepseek_core.contracts.errors import (
    AdmissionRefused,
    DeepSeekError,
    InputError,
    StageFailed,
)
from deepseek_core.contracts.events.base import Event
from deepseek_core.contracts.events.sessions import DeviceQuarantined
from deepseek_core.contracts.graph import Graph
from deepseek_core.contracts.stage import Stage
from deepseek_core.discovery.strangers import is_a, one_line
from deepseek_core.runtime.interrupts import held_back
from deepseek_core.runtime.served_devices import ServedDevices
from deepseek_core.runtime.served_requests import ServedRequest, StageTask, answer, fail, refusal
from deepseek_core.schedule.online import records as r
from deepseek_core.schedule.online.rules import Rules
from deepseek_core.schedule.online.scheduler import OnlineScheduler

if TYPE_CHECKING:
    from deepseek_core.runtime.activity import Requests

_log = logging.getLogger(__name__)
_now_s: Final = time.perf_counter

Then = Callable[[], object]
"""What may call foreign code, and so is done without the lock."""
Wanted = list[tuple[StageTask, r.Part]]


class ServedQueue:
    """Requests on their way; `inbox` has what each device is to run next.

    All is done while `changed` is held. `closing`: no more requests; `closed`: no more answers.
    """

    def __init__(
        self,
        graph: Graph,
        served: ServedDevices,
        rules: Rules | None,
        *,
        most_items: int,
        emit: Callable[[Event], object],
    ) -> None:
        self._graph, self._served, self._most_items, self._emit = graph, served, most_items, emit
        stages = {stage.name: stage for stage in graph.stages}
        before = {stage.name: graph.predecessors(stage) for stage in graph.stages}
        # stages that only inputs feed
        self._first = [stages[name] for name, names in before.items() if not names]
        # stage -> those that wait for it
        self._next: dict[str, list[Stage]] = {name: [] for name in stages}
        for name, names in before.items():
            for each in names:
                self._next[each].append(stages[name])
        self.scheduler = OnlineScheduler(served.devices, rules)
        self.changed = threading.Condition()
        self.tasks: dict[int, StageTask] = {}  # by number: those that have not ended
        self.inbox = {d.id: SimpleQueue[r.Start | None]() for d in served.devices}
        self.closing = self.closed = False
        self.notices: list[str] = []
        # requests by latency class: those that ended, of them after their deadline, and refused
        self._done, self._missed, self._refused = (Counter[str]() for _ in range(3))
        self._is_telling = False  # the scheduler, for a caller
        self._numbers = itertools.count(1)

    @contextlib.contextmanager
    def in_turn(self) -> Iterator[None]:
        """The turn of a caller's thread, which a signal handler may interrupt."""
        with held_back(), self.changed:
            self._is_telling = True
            try:
                yield
            finally:
                self._is_telling = False

    def take(self, request: ServedRequest, after: list[Then]) -> r.Reject | None:
        """Take a request in, or say why not."""
        refused: r.Reject | None = None
        for index, stage in enumerate(self._first):
            refused = refused or self._arrive(request, stage, after, committed=index > 0)
        if refused is not None:
            self._refused[request.latency] += 1
        return refused

    def requests(self) -> Requests:
        """What became of the requests so far, and how many there are now."""
        from deepseek_core.runtime.activity import Requests  # start-up counts

        with self.changed:
            now = {id(task.request): task.request.latency for task in self.tasks.values()}
            return Requests(
                queued=Counter(now.values()),
                done=self._done.copy(),
                missed=self._missed.copy(),
                refused=self._refused.copy(),
            )

    def wanted(self, start: r.Start, after: list[Then]) -> Wanted:
        """What of a run nobody has withdrawn; without any the slot is free again."""
        known = [(self.tasks.get(int(part.task_id)), part) for part in start.parts]
        found = [(task, part) for task, part in known if task is not None]
        if not found:
            self.tell(r.TaskFinished(time_s=_now_s(), run_id=start.run_id), after)
        return found

    def withdraw(self, tasks: set[int]) -> None:
        """Let what is left of a request go: nobody waits for it. Takes the lock itself."""
        after: list[Then] = []
        with self.in_turn():
            for number in list(tasks):
                if number in self.tasks:
                    self._ended(number)
                    self.tell(r.TaskWithdrawn(time_s=_now_s(), task_id=number), after)
        do_all(after)

    def close(self, outage_s: float, *, drain: bool) -> list[StageTask] | None:
        """End it, once what was accepted has ended or before; the rest, None if it was closed."""
        self.closing = True
        self.scheduler.end(outage_s)
        self.changed.notify_all()  # the clock has other times to wait for
        # Still telling where a signal handler interrupted it: then it goes on after this.
        if drain and not self.closed and not self._is_telling:
            self.changed.wait_for(lambda: not self.tasks)
        already, self.closed = self.closed, True
        left, self.tasks = list(self.tasks.values()), {}
        self.changed.notify_all()
        return None if already else left

    def tell(self, event: r.OnlineEvent, after: list[Then]) -> r.Reject | None:
        """Give an event, do what is decided; what may call foreign code goes to `after`."""
        rejected: r.Reject | None = None
        for decision in () if self.closed else self.scheduler.handle(event):
            if self.closed:  # by a signal handler, in the middle of this
                break
            match decision:
                case r.Start():
                    self.inbox[decision.device_id].put(decision)
                case r.Finish():
                    self._finish(self._ended(decision.task_id), after)
                case r.Reject():
                    self._ended(decision.task_id)
                    rejected = decision
                case r.Drop() | r.Fail():
                    self._give_up(self._ended(decision.task_id), decision, after)
                case r.Quarantine():
                    if decision.until_s == math.inf:  # a run hangs
                        self._served.leave(decision.device_id, decision.reason)
                    self._note(decision.device_id, f"quarantined: {decision.reason}", after)
                case r.Readmit():
                    self._note(decision.device_id, "back from quarantine, on probation", after)
        if not self.tasks:
            self.changed.notify_all()
        return rejected

    def _arrive(
        self, request: ServedRequest, stage: Stage, after: list[Then], *, committed: bool
    ) -> r.Reject | None:
        number = next(self._numbers)
        self.tasks[number] = task = StageTask(request, stage)
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
        return self.tell(event, after)

    def _ended(self, number: str | int) -> StageTask:
        task = self.tasks.pop(int(number))
        task.request.tasks.discard(int(number))
        return task

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
        if request.failed:
            return  # another branch did; its future would not be asked here, for it has a lock
        if request.left == 0:
            end_s = _now_s()
            self._done[request.latency] += 1
            self._missed[request.latency] += end_s > request.deadline_s
            result = request.result(self._graph, end_s)
            after.append(partial(answer, request.future, result))
        for stage in self._next[task.stage.name]:
            request.waits[stage.name] -= 1
            if request.waits[stage.name] == 0:
                refused = self._arrive(request, stage, after, committed=True)
                if refused is not None:
                    self._fail(request, refusal(refused), after)

    def _fail(self, request: ServedRequest, error: DeepSeekError, after: list[Then]) -> None:
        """End a request; what else of it waits is nobody's any more."""
        request.failed = True
        after.append(partial(fail, request.future, error))
        after.append(partial(self.withdraw, request.tasks))

    def _give_up(self, task: StageTask, why: r.Drop | r.Fail, after: list[Then]) -> None:
        error: DeepSeekError
        if isinstance(why, r.Drop):
            self._missed[task.request.latency] += not task.request.failed  # one counts once
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
        self.changed.notify_all()  # the clock has a new time to wait for
        if text.startswith("quarantined"):
            event = DeviceQuarantined(time_s=time.time(), device_id=device_id, reason=text)
            after.append(partial(self._emit, event))

    def _as_one_call(self, request: ServedRequest) -> int:
        """How many items an undivided call counts for: what a run may hold, and not nothing."""
        return max(1, min(request.batch, self._most_items))


def do_all(after: list[Then]) -> None:
    """What may call foreign code, such as a future's callbacks: it never ends a worker."""
    for act in after:
        try:
            act()
        except BaseException as error:  # noqa: BLE001 - see above
            _log.warning("a callback raised %s", one_line(error))
