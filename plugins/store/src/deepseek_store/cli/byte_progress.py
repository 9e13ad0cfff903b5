"""Progress in bytes, of one big file as well as of many: a bar, or plain lines in a pipe."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Final, Self

from deepseek_core import console
from deepseek_store.cli.partial_failures import shown

_EVERY_S: Final = 0.1
_SHORT_NBYTES, _SHORT_S = 8 << 20, 1.0  # less than both is done before anybody wonders


class ByteProgress:
    """Adds up what threads have done, and tells it now and then; `nbytes` is None if not known."""

    def __init__(self, title: str, nbytes: int | None, *, quiet: bool) -> None:
        self._reporter = console.ProgressReporter(title, quiet=quiet, shown=console.format_bytes)
        self._nbytes, self._lock = nbytes, threading.Lock()
        self._done, self._told_s = 0, 0.0
        self._start_s = time.monotonic()

    def __enter__(self) -> Self:
        self._reporter.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None and self._told_s:
            self._tell("done", self._done)
        self._reporter.__exit__(kind, error, trace)

    def add(self, nbytes: int, name: str) -> None:
        """So many bytes more are done."""
        with self._lock:
            self._done += nbytes
            now_s = time.monotonic()
            short = self._done < _SHORT_NBYTES and now_s - self._start_s < _SHORT_S
            if short or now_s - self._told_s < _EVERY_S:
                return
            self._told_s = now_s
            self._tell(shown(name), self._nbytes)

    def _tell(self, text: str, nbytes: int | None) -> None:
        took_s = time.monotonic() - self._start_s
        rate = f"{console.format_bytes(int(self._done / took_s))}/s " if took_s > 1 else ""
        # The last line is that of the end: a file that shrank meanwhile must not print one each.
        steps = None if nbytes is None else max(nbytes, self._done + (text != "done"))
        self._reporter(self._done, steps, rate + text)
