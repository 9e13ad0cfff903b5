"""A source in a thread of its own, so that one that hangs holds nobody up."""

from __future__ import annotations

import threading
from typing import Final

from deepseek_observe.monitor.families import UP, Series
from deepseek_observe.monitor.sample import Reading, Source, plain

LIMIT_S: Final = 0.8
"""How long a sample waits for its sources, all together."""


class Watched:
    """Asks a source without waiting for it.

    `name` is the source's. `_asked` wakes its thread, `_answered` is set while it does not read;
    `_fault` says why there is no reading, `_ended` that the thread should end. `_known` are the
    devices that it told of, which are lost to us while it is silent.
    """

    def __init__(self, source: Source) -> None:
        self.name = source.name
        self._source = source
        self._asked, self._answered = threading.Event(), threading.Event()
        self._answered.set()
        self._reading: Reading | None = None
        self._fault = "it has not been asked yet"
        self._known: frozenset[Series] = frozenset()
        self._ended = False
        threading.Thread(target=self._run, name=f"source {self.name}", daemon=True).start()

    def ask(self) -> None:
        """Let it begin, unless it still reads."""
        if self._answered.is_set():
            self._answered.clear()
            self._asked.set()

    def answer(self, limit_s: float) -> tuple[Reading, str | None]:
        """What it told, or its devices as lost and why it did not tell."""
        if not self._answered.wait(max(limit_s, 0.0)):
            return self._lost("it does not answer")
        if self._reading is None:
            return self._lost(self._fault)
        self._known = frozenset(s for s in self._reading.values if s[0] == UP)
        return self._reading, None

    def end(self) -> None:
        """Let the thread end after what it reads now."""
        self._ended = True
        self._asked.set()

    def _lost(self, why: str) -> tuple[Reading, str]:
        return Reading(values=dict.fromkeys(self._known, 0.0)), why

    def _run(self) -> None:
        while True:
            self._asked.wait()
            self._asked.clear()
            if self._ended:
                return
            try:
                self._reading = self._source.read()
            except Exception as error:  # noqa: BLE001  # a plugin's or a driver's; told as its state
                self._reading, self._fault = None, plain(f"{type(error).__name__}: {error}")
            self._answered.set()
