"""What workers tell the process that started them: a line of progress, and the report."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

from deepseek_core import console
from deepseek_parallel.trainer.watch.line import Show

_LINES, _REPORT, _BEGUN = "lines", "report-{}.json", "begun-{}"


class Teller:
    """A worker's end; where nobody listens any more, it is silent."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)

    def show(self, done: int, steps: int | None, text: str) -> None:
        """The progress line; one that finds the pipe full is left out."""
        _write(self._folder, json.dumps([done, steps, text]).encode() + b"\n")

    def begin(self) -> None:
        """This process is about to train, and takes Ctrl-C as a wish."""
        (self._folder / _BEGUN.format(os.getpid())).touch()

    def report(self, facts: dict[str, Any], rank: int) -> None:
        """What the training came to, as a rank has it."""
        with console.whole_file(self._folder / _REPORT.format(rank)) as partial:
            partial.write_text(json.dumps(facts), encoding="utf-8")


@attrs.frozen
class Channel:
    """The other end; `folder` is what workers must know."""

    folder: Path

    def num_begun(self) -> int:
        """How many workers have begun to train."""
        return len(list(self.folder.glob(_BEGUN.format("*"))))

    def report(self) -> dict[str, Any]:
        """What the first of the ranks has told that told something; empty where none has."""
        files = sorted(self.folder.glob(_REPORT.format("*")), key=_rank)
        found: dict[str, Any] = json.loads(files[0].read_text()) if files else {}
        return found


def _rank(file: Path) -> int:
    return int(file.stem.rpartition("-")[2])


@contextmanager
def listening(show: Show) -> Iterator[Channel]:
    """A channel whose lines go to `show` while the block runs."""
    with tempfile.TemporaryDirectory(prefix="ds-train-") as name:
        folder = Path(name)
        os.mkfifo(folder / _LINES, 0o600)
        # Open for both ways, so that it does not end with a worker that closes its own end.
        pipe = os.open(folder / _LINES, os.O_RDWR)
        reader = threading.Thread(target=_listen, args=(pipe, show), daemon=True)
        reader.start()
        try:
            yield Channel(folder)
        finally:
            _write(folder, b"\n")
            reader.join(1.0)


def _write(folder: Path, line: bytes) -> None:
    """Write a line; none where nobody reads any more, or the pipe is full."""
    try:
        pipe = os.open(folder / _LINES, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return
    with contextlib.suppress(OSError):
        os.write(pipe, line)
    os.close(pipe)


def _listen(pipe: int, show: Show) -> None:
    """Show lines up to an empty one; what can't be shown, as on a closed stderr, is left out."""
    with os.fdopen(pipe) as lines:  # alone has the descriptor, whose number another file gets later
        for line in lines:
            if not line.strip():
                return
            with contextlib.suppress(OSError, ValueError):
                show(*json.loads(line))
