"""A thread that decodes pictures, so that one that hangs is left behind by a limit."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from deepseek_core import errors


class Decoder:
    """Calls `read(file)` in a thread of its own and waits `limit_s` seconds for the answer.

    A decoder of foreign files, or a share that does not answer, can't be interrupted: its thread is
    left behind (a daemon, which keeps no process alive) and the next picture gets a new one.
    Close it, or use it in a `with`.
    """

    def __init__(self, read: Callable[[Path], Any], limit_s: float) -> None:
        self._read, self._limit_s = read, limit_s
        self._asked: queue.SimpleQueue[tuple[Path, queue.SimpleQueue[Any]] | None] | None = None

    def __call__(self, file: Path) -> Any:
        """What `read` gives.

        Raises:
            InputError: what `read` raises, or the limit passed.
        """
        asked = self._asked or self._started()
        answer: queue.SimpleQueue[Any] = queue.SimpleQueue()
        asked.put((file, answer))
        try:
            found, error = answer.get(timeout=self._limit_s)
        except queue.Empty:
            self.close()
            raise errors.InputError(
                f"{file}: was not decoded within {self._limit_s:g} s",
                remedy="replace the file, or copy it to a disk of this machine",
            ) from None
        if error is not None:
            raise error
        return found

    def _started(self) -> queue.SimpleQueue[tuple[Path, queue.SimpleQueue[Any]] | None]:
        asked = self._asked = queue.SimpleQueue()
        threading.Thread(
            target=_work, args=(asked, self._read), name="defects-decoder", daemon=True
        ).start()
        return asked

    def close(self) -> None:
        """Let the thread end when it has nothing more to do."""
        if self._asked is not None:
            self._asked.put(None)
            self._asked = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _work(asked: queue.SimpleQueue[Any], read: Callable[[Path], Any]) -> None:
    while (wanted := asked.get()) is not None:
        file, answer = wanted
        try:
            answer.put((read(file), None))
        except errors.DeepSeekError as error:  # told to the caller, who raises it
            answer.put((None, error))
