"""Progress of long work: a bar when a person watches, plain lines in a pipe."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self

from deepseek_core.cli.answer import print_note
from deepseek_core.contracts.units import printable

_LINE_EVERY_S: Final = 2.0


class ProgressReporter:
    """Call it with (done, steps, text); writes to stderr, so that stdout stays clean.

    `shown` writes its numbers, `format_bytes` for bytes. `steps` is None where nobody knows them.
    """

    def __init__(
        self, title: str, *, quiet: bool = False, shown: Callable[[int], str] = str
    ) -> None:
        self._title, self._quiet, self._shown = title, quiet, shown
        self._bar: Any = None
        self._task: Any = None
        self._last_s = 0.0

    def __enter__(self) -> Self:
        if not self._quiet and sys.stderr.isatty():
            self._bar = _rich_bar()
        if self._bar is not None:
            self._bar.start()
            self._task = self._bar.add_task(self._title, total=None)
        return self

    def __call__(self, done: int, steps: int | None, text: str) -> None:
        """Show that `done` of `steps` are done, and what comes now."""
        text = printable(text)
        if self._bar is not None:
            self._bar.update(
                self._task, completed=done, total=steps, description=f"{self._title}: {text}"
            )
        elif not self._quiet:
            self._line(done, steps, text)

    def _line(self, done: int, steps: int | None, text: str) -> None:
        now_s = time.monotonic()
        finished = steps is not None and done >= steps
        if finished or now_s - self._last_s >= _LINE_EVERY_S:
            self._last_s = now_s
            of = "" if steps is None else f"/{self._shown(steps)}"
            line = f"{self._title}: {self._shown(done)}{of} {text}"
            print_note(line)

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()


def _rich_bar() -> Any:
    """A bar of rich, or None where rich is not installed."""
    try:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
    except ImportError:
        return None
    columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
    return Progress(*columns, console=Console(stderr=True), transient=True)
