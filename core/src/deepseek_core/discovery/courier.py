"""Telling listeners what happened, without waiting for them.

Events wait in a queue of the process, and a thread that lives only while some wait tells them to
one listener after the other. So an engine may emit where it must not wait: while it holds a lock,
in a run, in a finalizer. What a listener does wrong is noted once and harms nobody:

- it raises: the next event is told to it all the same;
- it takes long: it is left out from `_LIMIT_S` on, until it returns;
- it emits: that is dropped, for it would never end;
- it forks and returns in the copy: the copy ends.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections import deque
from typing import Final, Protocol

import attrs

from deepseek_core.contracts.events.base import Event
from deepseek_core.discovery.strangers import one_line, text_of
from deepseek_core.discovery.watch import TELLER

_SLOW_S: Final = 1.0
_LIMIT_S: Final = 5.0
_FORK_S: Final = 1.0  # how long a fork waits for a listener: it would be half done in the copy
_AT_EXIT_S: Final = 2.0
_MOST_WAITING: Final = 4096


class Audience(Protocol):
    """Plugins that listen: their names, those that have not returned, and how one is told."""

    @property
    def listeners(self) -> tuple[str, ...]: ...  # noqa: D102 - as the class says

    @property
    def absent(self) -> set[str]: ...  # noqa: D102

    def tell(self, plugin: str, event: Event) -> None: ...  # noqa: D102


@attrs.frozen
class _Letter:
    audience: Audience
    plugin: str
    event: Event


class Courier:
    """Takes events and tells them, in the order in which they came.

    `_waiting` are the letters; `_thread` tells them, None while none waits; `_call` is the letter
    that a listener has now, and since when; `_is_closed` at the end of the process.
    """

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Begin as a forked child does: what waited is told by its parent."""
        # Reentrant: a finalizer may emit in the midst of anything.
        self._turn = threading.Condition(threading.RLock())
        self._waiting: deque[_Letter] = deque()
        self._thread: threading.Thread | None = None
        self._call: tuple[_Letter, float] | None = None
        self._is_held = self._is_closed = False

    def take(self, audience: Audience, event: Event) -> None:
        """Queue an event for each listener of an audience; never raises.

        What is too much is dropped.
        """
        try:
            self._take(audience, event)
        except Exception as error:  # noqa: BLE001 - what happened counts, not who heard of it
            warn_once("take", f"an event could not be told: {one_line(error)}")

    def _take(self, audience: Audience, event: Event) -> None:
        if getattr(_HERE, "is_telling", False):
            warn_once("recursion", "a listener emitted an event, which was dropped")
            return
        if not isinstance(event, Event):
            kind = text_of(type(event).__name__)
            warn_once("type", f"emit takes an `events.Event`; given a {kind}, which was dropped")
            return
        plugins = audience.listeners
        with self._turn:
            if self._is_closed:
                return
            late = self._leave_behind()
            letters = [_Letter(audience, p, event) for p in plugins if p not in audience.absent]
            dropped = max(0, len(self._waiting) + len(letters) - _MOST_WAITING)
            self._waiting.extend(letters)
            for _ in range(dropped):
                self._waiting.popleft()
            self._start()
        if late is not None:
            _note_late(late)
        if dropped:
            text = f"more than {_MOST_WAITING} events wait for listeners; the oldest are dropped"
            warn_once("full", text)

    def drain(self, within_s: float) -> bool:
        """Wait until every listener has heard what was emitted; False if the time is up first."""
        if getattr(_HERE, "is_telling", False):
            return False
        with self._turn:
            return self._turn.wait_for(lambda: self._thread is None, within_s)

    def close(self) -> None:
        """Tell what waits, in a limited time, and take no more: the process ends."""
        with self._turn:
            self._is_closed = True
        self.drain(_AT_EXIT_S)

    def hold(self) -> None:
        """Let no listener be at work while the process is copied, if it ends in time."""
        if getattr(_HERE, "is_telling", False):
            return
        with self._turn:
            self._is_held = True
            spent_s = 0.0 if self._call is None else time.monotonic() - self._call[1]
        self.drain(max(0.0, _FORK_S - spent_s))

    def go_on(self) -> None:
        """Tell again, after a fork."""
        with self._turn:
            self._is_held = False
            self._start()

    def _start(self) -> None:
        if self._thread is not None or not self._waiting or self._is_held:
            return
        self._thread = threading.Thread(target=self._work, name=TELLER, daemon=True)
        try:
            self._thread.start()
        except RuntimeError:  # no more threads: the interpreter ends, or the system has none
            self._thread = None

    def _leave_behind(self) -> _Letter | None:
        """The letter of a listener that does not return; another thread goes on without it."""
        call = self._call
        if call is None or time.monotonic() - call[1] < _LIMIT_S:
            return None
        letter = call[0]
        letter.audience.absent.add(letter.plugin)
        late = letter.audience, letter.plugin
        self._waiting = deque(w for w in list(self._waiting) if (w.audience, w.plugin) != late)
        self._thread = self._call = None
        return letter

    def _work(self) -> None:
        _HERE.is_telling = True
        me, process = threading.current_thread(), os.getpid()
        while True:
            with self._turn:
                if self._thread is not me:
                    return
                if self._is_held or not self._waiting:
                    self._thread = None
                    self._turn.notify_all()
                    return
                letter = self._waiting.popleft()
                start_s = time.monotonic()
                self._call = letter, start_s
            try:
                letter.audience.tell(letter.plugin, letter.event)
            except BaseException as error:  # noqa: BLE001 - the next letter must be told
                warn_once("tell", f"an event could not be told: {one_line(error)}")
            if os.getpid() != process:
                os._exit(0)  # the listener has forked and came back here twice
            spent_s = time.monotonic() - start_s
            with self._turn:
                if self._thread is me:
                    self._call = None
                letter.audience.absent.discard(letter.plugin)
            if spent_s > _SLOW_S:
                _note_slow(letter, spent_s)


def _note_late(letter: _Letter) -> None:
    text = (
        f"plugin {letter.plugin}: its listener has not returned from "
        f"{type(letter.event).__name__} for {_LIMIT_S:g} s; it hears nothing until it does"
    )
    warn_once(f"late {letter.plugin}", text)


def _note_slow(letter: _Letter, spent_s: float) -> None:
    text = (
        f"plugin {letter.plugin}: its listener took {spent_s:.1f} s for "
        f"{type(letter.event).__name__}; let a thread of its own do what takes long"
    )
    warn_once(f"slow {letter.plugin}", text)


def warn_once(key: str, text: str) -> None:
    """Log a warning, the first of its key in this process."""
    if key in _TOLD:
        return
    _TOLD.add(key)
    import logging

    logging.getLogger(__name__).warning("%s", text)


_HERE: Final = threading.local()
_TOLD: Final[set[str]] = set()
COURIER: Final = Courier()


atexit.register(COURIER.close)
if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(
        before=COURIER.hold, after_in_parent=COURIER.go_on, after_in_child=COURIER.renew
    )
