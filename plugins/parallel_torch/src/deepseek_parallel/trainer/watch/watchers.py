"""All that watches a training, opened together and closed together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import attrs

from deepseek_parallel.trainer.events import Event, Watcher
from deepseek_parallel.trainer.watch.emitted import Emitted
from deepseek_parallel.trainer.watch.line import Line, Show, shown
from deepseek_parallel.trainer.watch.lines import Lines, begun
from deepseek_parallel.trainer.watch.tensorboard import TensorBoard

LOG, PAGE = "log.jsonl", "report.html"


@attrs.frozen(kw_only=True, eq=False)
class Watched:
    """Watchers: `callbacks` on all ranks, the folder `log` and the line `show` on rank 0.

    `emitted` tells plugins that listen of the training, on rank 0.
    """

    emitted: Emitted
    callbacks: Sequence[Watcher] = ()
    log: Path | None = None
    show: Show | None = None


class _Seen:
    """What rank 0 writes and shows; opened when this rank is that for the first time."""

    def __init__(self, watched: Watched, steps: int, stack: ExitStack) -> None:
        self._watched, self._steps, self._stack = watched, steps, stack
        self._opened: list[Watcher] | None = None

    def tell(self, event: Event, *, is_resumed: bool) -> None:
        """Tell all of them."""
        if self._opened is None:
            # A rank that became 0 later goes on in the log of the one before it.
            self._opened = self._open(is_resumed=is_resumed or event.step > 1)
        for one in self._opened:
            one(event)

    def _open(self, *, is_resumed: bool) -> list[Watcher]:
        opened: list[Watcher] = []
        if self._watched.log is not None:
            lines = Lines(begun(self._watched.log / LOG, resumed=is_resumed))
            self._stack.callback(lines.close)
            board = TensorBoard(self._watched.log)
            self._stack.callback(board.close)
            opened += [lines, board]
        show = self._stack.enter_context(shown(self._watched.show))
        if show is not None:
            opened.append(Line(show, self._steps))
        return opened


@contextmanager
def telling(
    watched: Watched, first: Watcher, *, steps: int, is_resumed: bool, is_first: Callable[[], bool]
) -> Iterator[Callable[[Event], None]]:
    """What tells each event to all of them, `first` before the others.

    Raises:
        WriteError: the log can't be written.
    """
    with ExitStack() as stack:
        seen = _Seen(watched, steps, stack)

        def tell(event: Event) -> None:
            first(event)
            if is_first():
                seen.tell(event, is_resumed=is_resumed)
                watched.emitted(event)
            for one in watched.callbacks:
                one(event)

        try:
            yield tell
        except BaseException as error:
            if is_first():
                watched.emitted.end(error)
            raise
        if is_first():
            watched.emitted.end(None)
