"""The log: one JSON object a line, flushed as it comes."""

from __future__ import annotations

import contextlib
import json
import math
import time
from pathlib import Path
from typing import TextIO

from deepseek_core import errors
from deepseek_parallel.trainer.events import Event


def begun(path: Path, *, resumed: bool) -> TextIO:
    """A file to write lines to; a resumed training goes on in the old one.

    Raises:
        WriteError: it can't be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("a" if resumed else "w", encoding="utf-8")
    except OSError as error:
        raise unwritten(path, error) from error


def unwritten(path: object, error: OSError) -> errors.WriteError:
    """The error of a file that can't be written."""
    return errors.WriteError(
        f"{path} can't be written: {error.strerror or error}",
        remedy="free space there, or choose another folder",
    )


class Lines:
    """Writes each event to a file; `time_s` is seconds since 1970."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def __call__(self, event: Event) -> None:
        """Write it."""
        facts = {
            "kind": event.kind, "time_s": round(time.time(), 3), "step": event.step,
            "samples": event.samples, "epoch": round(event.epoch, 6),
            **{name: _number(value) for name, value in event.figures.items()},
        }  # fmt: skip
        if event.text:
            facts["text"] = event.text
        try:
            self._file.write(json.dumps(facts) + "\n")
            self._file.flush()
        except OSError as error:
            raise unwritten(self._file.name, error) from error

    def close(self) -> None:
        """End the file; what could not be written was told."""
        with contextlib.suppress(OSError):
            self._file.close()


def _number(value: float) -> float | str:
    """JSON has no NaN and no infinity."""
    return value if math.isfinite(value) else str(value)
