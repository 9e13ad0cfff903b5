"""All that watches a training, opened together and closed together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import attrs

from deepseek_parallel.trainer.events import Event, Watcher
from deepseek_parallel.trainer.watch.line import Line, Show, shown
from deepseek_parallel.trainer.watch.lines import Lines, begun
from deepseek_parallel.trainer.watch.tensorboard import TensorBoard

LOG, PAGE = "log.jsonl", "report.html"


@attrs.frozen(kw_only=True, eq=False)
class Watched:
    """Who is told: `callbacks` on all ranks; the folder `log` and the line `show` by rank 0."""

    callbacks: Sequence[Watcher] = ()
    log: Path | None = None
    show: Show | None = None


@contextmanager
def telling(
    watched: Watched, first: Watcher, *, steps: int, is_resumed: bool, is_first: bool
) -> Iterator[Callable[[Event], None]]:
    """What tells each event to all of them, `first` before the others.

    Raises:
        WriteError: the log can't be written.
    """
    with ExitStack() as stack:
        all_of_them: list[Watcher] = [first]
        if is_first and watched.log is not None:
            file = begun(watched.log / LOG, resumed=is_resumed)
            lines = Lines(file)
            stack.callback(lines.close)
            board = TensorBoard(watched.log)
            stack.callback(board.close)
            all_of_them += [lines, board]
        show = stack.enter_context(shown(watched.show)) if is_first else None
        if show is not None:
            all_of_them.append(Line(show, steps))
        all_of_them += watched.callbacks

        def tell(event: Event) -> None:
            for one in all_of_them:
                one(event)

        yield tell
