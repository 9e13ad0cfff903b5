"""A plugin's device as the SDK uses it: never waited for without limit, its answers checked.

A device that lies, crashes or hangs when it is asked is not a candidate; it takes nobody else down.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Final, TypeVar

import attrs

from deepseek_core.contracts.device import (
    Concurrency,
    Device,
    DeviceInfo,
    Estimate,
    Executable,
    LoadOptions,
    Support,
)
from deepseek_core.contracts.errors import (
    DeepSeekError,
    DeviceError,
    DeviceTimeout,
    PluginError,
)
from deepseek_core.contracts.stage import Operation, Stage, Task
from deepseek_core.contracts.task import LatencyClass, Workload
from deepseek_core.discovery.strangers import one_line, raise_if_ours
from deepseek_core.runtime.bounded import Call, is_inside
from deepseek_core.runtime.interrupts import stop_if_interrupted
from deepseek_core.runtime.limits import Limits
from deepseek_core.runtime.logs import warn

T = TypeVar("T")

_LEAST_S: Final = 1e-9  # no run takes less
_MOST_S: Final = 1e9  # thirty years
_MOST_SIGMA: Final = 10.0  # a factor of 22,000
_MOST_SLOTS: Final = 1024  # each is a thread

Slots = SimpleQueue[int]
"""The numbers of a device's free slots; whoever runs there takes one and puts it back."""

LEFT: Final = -1
"""In place of a slot: the device was left behind, none will be free any more."""


class Opened:
    """An open device, its slots, and whether a call hangs in it.

    `left` is told once a call has not come back, `came_back` if it does after all; the device is
    not called in between.
    """

    def __init__(
        self,
        device: Device,
        info: DeviceInfo,
        limits: Limits,
        left: Callable[[Opened], object],
        came_back: Callable[[str], object],
    ) -> None:
        self.device, self.info, self.id = device, info, info.id
        self._limits, self._left, self._came_back = limits, left, came_back
        self._lock = threading.RLock()
        self._slots: dict[LatencyClass, Slots] = {}
        self._takes: dict[LatencyClass, Concurrency] = {}
        self.silent = ""

    # -- calls within limits -------------------------------------------------------------------

    def call(
        self,
        what: str,
        do: Callable[[], T],
        limit_s: float,
        late: Callable[[T], object] = lambda _result: None,
    ) -> T:
        """What a call gives; `late` gets what comes after the limit.

        Raises:
            DeviceTimeout: it has not come back, or an earlier one has not.
            BaseException: what the device raised.
        """
        self._check_not_silent()
        if is_inside(self.id):
            return do()
        return self._result(Call(do, device_id=self.id, what=what), limit_s, late)

    def runs(self, do: Callable[[], T], count: int) -> list[T]:
        """What so many runs at once give, each as long as a stage may load.

        Raises:
            DeviceTimeout: one has not come back, or an earlier call has not.
            BaseException: what the device raised.
        """
        self._check_not_silent()
        calls = [Call(do, device_id=self.id, what="run") for _ in range(count)]
        return [self._result(call, self._limits.load_s, lambda _result: None) for call in calls]

    def _check_not_silent(self) -> None:
        if self.silent:
            raise DeviceTimeout(self.silent, device_id=self.id)

    def _result(self, call: Call[T], limit_s: float, late: Callable[[T], object]) -> T:
        try:
            return call.result(limit_s)
        except DeviceTimeout as error:
            if call.is_alive():
                self.leave(error.message)
                self._left(self)
                call.leave(late, lambda: self._came_back(self.id))
            raise

    def leave(self, reason: str) -> None:
        """Call it no more, and let nobody wait for a slot of it."""
        with self._lock:
            self.silent = self.silent or reason
            for slots in self._slots.values():
                slots.put(LEFT)

    # -- what it says of itself ----------------------------------------------------------------

    def ask(self, what: str, do: Callable[[], T], kind: type[T]) -> T:
        """What the device answers, which is of this type.

        Raises:
            PluginError: it raised what no contract foresees, or answered something else.
            DeviceError: its own error, or it does not answer.
        """
        try:
            answer = self.call(what, do, self._limits.ask_s)
        except DeviceError:
            raise
        except BaseException as error:
            raise_if_ours(error)
            stop_if_interrupted(error)
            raise PluginError(f"{self.id} can't tell its {what}: {one_line(error)}") from error
        if not isinstance(answer, kind):
            told = f"a {type(answer).__name__}, no {kind.__name__}"
            raise PluginError(f"{self.id} answered {told}, when asked for its {what}")
        return answer

    def at_once(self, do: Callable[[], T]) -> T:
        """What comes of many questions, within the limit of one; each costs no thread then.

        Raises:
            DeviceTimeout: it does not answer.
        """
        return self.call("answers", do, self._limits.ask_s)

    def supports(self, operation: Operation) -> Support:
        """Whether it supports an operation; what can't be told is a no."""
        return self._support(lambda: self.device.supports(operation))

    def supports_stage(self, stage: Stage, latency: LatencyClass, workload: Workload) -> Support:
        """The same of all of a stage."""

        def ask() -> Support:
            if workload not in self.device.workloads:
                return Support.no(f"runs {' and '.join(sorted(self.device.workloads))} only")
            return self.device.supports_stage(stage, latency)

        return self._support(ask)

    def _support(self, do: Callable[[], Support]) -> Support:
        try:
            return self.ask("support", do, Support)
        except DeepSeekError as error:
            return Support.no(error.message)

    def estimate(self, task: Task) -> Estimate:
        """The cost of a run, in seconds that can be counted with.

        Raises:
            PluginError: it gives none, or one that is not credible.
            DeviceError: its own error, or it does not answer.
        """
        given = self.ask("estimate", lambda: self.device.estimate(task), Estimate)
        if given.seconds > _MOST_S or given.sigma > _MOST_SIGMA:
            told = f"{given.seconds:g} s, sigma {given.sigma:g}"
            raise PluginError(f"{self.id} gives an estimate that is not credible: {told}")
        return given if given.seconds >= _LEAST_S else attrs.evolve(given, seconds=_LEAST_S)

    def takes(self, latency: LatencyClass) -> Concurrency:
        """How many runs it takes at once; asked once, for others count with it from then on.

        Raises:
            PluginError: it does not say, or what is not credible.
            DeviceError: its own error, or it does not answer.
        """
        known = self._takes.get(latency)
        if known is not None:
            return known
        told = self.ask("concurrency", lambda: self.device.concurrency(latency), Concurrency)
        if told.in_flight > _MOST_SLOTS:
            raise PluginError(f"{self.id} says that it takes {told.in_flight:,} runs at once")
        with self._lock:
            return self._takes.setdefault(latency, told)

    def slots(self, latency: LatencyClass) -> Slots:
        """Free slots, which all plans of the session share.

        Raises:
            PluginError, DeviceError: as `takes`.
        """
        told = self.takes(latency)
        with self._lock:
            if latency not in self._slots:
                self._slots[latency] = made = Slots()
                numbers = (number % told.slots for number in range(told.in_flight))
                for slot in [LEFT] if self.silent else numbers:
                    made.put(slot)
            return self._slots[latency]

    # -- what it does --------------------------------------------------------------------------

    def load(self, stage: Stage, options: LoadOptions) -> Executable:
        """A stage ready to run.

        Raises:
            PluginError: the device gives no executable.
            DeviceError: its own error, or it does not come back.
        """
        made = self.call(
            f"loading of {stage.name}",
            lambda: self.device.load(stage, options),
            self._limits.load_s,
            late=close_quietly,
        )
        if not isinstance(made, Executable):
            raise PluginError(f"{self.id} loaded a {type(made).__name__}, no Executable")
        return made

    def warmup(self, executable: Executable, batch: int) -> None:
        """Do what the first run of this batch size would do once.

        Raises:
            DeviceError: its own error, or it does not come back.
        """
        self.call("warm-up", lambda: executable.warmup(batch), self._limits.load_s)

    def free(self, executable: Executable, told: str) -> None:
        """Close what is loaded on it; what goes wrong is told to the log."""
        self._end(f"freeing of {told}", executable.close)

    def close(self) -> None:
        """Close the device, unless a call hangs in it; what goes wrong is told to the log."""
        self._end("closing", self.device.close)

    def _end(self, what: str, close: Callable[[], None]) -> None:
        if self.silent:
            return
        try:
            self.call(what, close, self._limits.close_s)
        except BaseException as error:  # noqa: BLE001 - the others must be closed too
            raise_if_ours(error)
            warn(__name__, f"{what} on {self.id}: {one_line(error)}")


def close_quietly(thing: object) -> None:
    """Close what a call gave after it was given up."""
    try:
        close = getattr(thing, "close", None)
        if close is not None:
            close()
    except BaseException as error:  # noqa: BLE001 - nobody waits for it
        raise_if_ours(error)
        warn(__name__, f"what came too late did not close: {one_line(error)}")
