"""Calls of a plugin's device that may never come back: a thread of their own waits in them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar, cast

from deepseek_core.contracts.errors import DeviceTimeout, PluginError
from deepseek_core.contracts.units import format_seconds
from deepseek_core.discovery.strangers import Overdue, is_a, one_line
from deepseek_core.runtime.interrupts import held_back

T = TypeVar("T")

_LOOK_S: Final = 0.05  # how long Ctrl-C may go unnoticed
_AFTER_CTRL_C_S: Final = 2.0  # a library that is left in the middle may crash at the end


class Call(threading.Thread, Generic[T]):
    """A call in a thread of its own, begun at once; daemon, for it may never end.

    Where nobody waits for its result any more, `late` gets it, so that nothing is left open.
    `came_back` is called then, whatever came of it.
    """

    def __init__(self, do: Callable[[], T], *, device_id: str, what: str) -> None:
        super().__init__(name=f"{device_id} {what}", daemon=True)
        self.device_id, self.what = device_id, what
        self._do: Callable[[], T] | None = do
        self._result: T | None = None
        self._error: BaseException | None = None
        self._late: Callable[[T], object] | None = None
        self._came_back: Callable[[], object] | None = None
        self._ended = threading.Lock()  # held until it has ended
        self._ended.acquire()
        self._turn = threading.Lock()
        self.start()

    def run(self) -> None:
        """Do it; for the thread."""
        do, self._do = cast("Callable[[], T]", self._do), None
        try:
            self._result = do()
        except BaseException as error:  # noqa: BLE001 - whoever waits must see every outcome
            self._error = error
        with self._turn:
            self._ended.release()
            late, came_back = self._late, self._came_back
        if late is not None and self._error is None:
            late(cast("T", self._result))
        if came_back is not None:
            came_back()

    def result(self, limit_s: float) -> T:
        """What came of it; Ctrl-C is held back for a moment, a second one is not.

        Raises:
            DeviceTimeout: it has not come back after `limit_s` seconds.
            PluginError: it raised what would be taken for the user's Ctrl-C.
            BaseException: what it raised.
        """
        if not self._is_back_within(limit_s):
            raise DeviceTimeout(
                f"{self.device_id} did not come back from its {self.what} in "
                f"{format_seconds(limit_s)}",
                device_id=self.device_id,
                remedy="`ds-sdk doctor` asks it in a process of its own",
            )
        self.join()
        error = self._error
        if error is None:
            return cast("T", self._result)
        if is_a(error, KeyboardInterrupt) or is_a(error, Overdue):  # no Ctrl-C comes to a thread
            raise PluginError(f"{self.device_id} failed at its {self.what}: {one_line(error)}")
        raise error

    def _is_back_within(self, limit_s: float) -> bool:
        with held_back() as came:
            until_s = time.perf_counter() + limit_s
            while not self._ended.acquire(timeout=_LOOK_S):
                now_s = time.perf_counter()
                if came:
                    until_s = min(until_s, now_s + _AFTER_CTRL_C_S)
                if now_s >= until_s:
                    return False
        return True

    def leave(self, late: Callable[[T], object], came_back: Callable[[], object]) -> None:
        """Wait for it no more."""
        with self._turn:
            if self._ended.locked():
                self._late, self._came_back = late, came_back
                return
        if self._error is None:
            late(cast("T", self._result))
        came_back()


def is_inside(device_id: str) -> bool:
    """Whether this is already a call of this device that somebody waits for with a limit."""
    current: Any = threading.current_thread()
    return isinstance(current, Call) and current.device_id == device_id
