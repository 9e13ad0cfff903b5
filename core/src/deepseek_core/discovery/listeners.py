"""Emitting events where there is no session: to whatever listens in this process."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from deepseek_core.contracts.errors import DeepSeekError
from deepseek_core.contracts.events.base import Event
from deepseek_core.discovery.courier import COURIER, Audience, warn_once
from deepseek_core.discovery.guard import is_loading
from deepseek_core.discovery.strangers import one_line

if TYPE_CHECKING:
    from deepseek_core.discovery.registry import Registry

_MOST_EARLY: Final = 4096
_FORK_S: Final = 5.0


def emit(event: Event | Callable[[], Event], *, wait_s: float = 0.0) -> None:
    """Tell an event to the listeners of this process; never raises.

    A function is called for the event here and now, if anybody listens: for what takes a while to
    find out. Listeners are found at the first event of the process, with the switches as they are
    then; where there is none, all this does is look. They are told in a thread of their own. With
    `wait_s`, wait so many seconds at most until all have heard: before a process ends by itself.
    """
    try:
        PROCESS.take(event)
        if wait_s > 0:
            COURIER.drain(wait_s)
    except Exception as error:  # noqa: BLE001 - what happened counts, not who heard of it
        warn_once("emit", f"an event could not be told: {one_line(error)}")


class Process:
    """Knows who listens in this process, found once.

    `_early` are events that came before that, in their order; `_is_settled` once all of them were
    told: each thread's events are heard in the order in which it emitted them.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Look again at the next event."""
        self._found: tuple[Audience | None] | None = None
        self._is_settled = False
        self.renew()

    @contextmanager
    def heard_by(self, audience: Audience | None) -> Iterator[None]:
        """Tell these in the block, and nobody else; None for nobody at all."""
        before = self._found, self._is_settled
        self._found, self._is_settled = (audience,), True
        try:
            yield
        finally:
            self._found, self._is_settled = before

    def renew(self) -> None:
        """Keep in a forked child what was found, and nothing else."""
        self._look, self._is_looking = threading.RLock(), False
        self._order = threading.RLock()  # reentrant: a finalizer may emit in the midst of anything
        self._early: deque[Event | Callable[[], Event]] = deque(maxlen=_MOST_EARLY)
        self._is_settled = self._found is not None

    def hold(self) -> None:
        """Let no thread look while the process is copied: the copy would wait for its imports."""
        self._look.acquire(timeout=_FORK_S)

    def go_on(self) -> None:
        """Let them look again, after a fork."""
        with suppress(RuntimeError):  # another thread looks for too long
            self._look.release()

    def take(self, event: Event | Callable[[], Event]) -> None:
        """Queue it for the listeners; nobody hears what a plugin emits while it loads."""
        if not self._is_settled:
            if is_loading():
                return
            with self._order:
                waits = not self._is_settled  # all early ones may have been told just now
                if waits:
                    self._early.append(event)
            if waits:
                self._find()
                return
        self._tell(event)

    def _find(self) -> None:
        if self._is_looking or not self._look.acquire(blocking=False):
            return  # who looks tells what came early
        try:
            self._is_looking = True
            if self._found is None:
                self._found = (_listening(),)
            self._settle()
        finally:
            self._is_looking = False
            self._look.release()

    def _settle(self) -> None:
        """Tell what came early, and whatever comes meanwhile, until nothing waits."""
        while True:
            with self._order:
                if not self._early:
                    self._is_settled = True
                    return
                event = self._early.popleft()
            self._tell(event)

    def _tell(self, event: Event | Callable[[], Event]) -> None:
        audience = None if self._found is None else self._found[0]
        if audience is not None:
            COURIER.take(audience, event() if callable(event) else event)


def _listening() -> Registry | None:
    from deepseek_core.discovery.current import current_plugins

    try:
        registry = current_plugins()
    except DeepSeekError as error:
        warn_once("plugins", f"nobody hears of events: {error.message}")
        return None
    return registry if registry.has_listeners else None


PROCESS: Final = Process()

if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(
        before=PROCESS.hold, after_in_parent=PROCESS.go_on, after_in_child=PROCESS.renew
    )
