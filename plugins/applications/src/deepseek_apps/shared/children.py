"""`ds-sdk` as a child process: its answer, its last words, and Ctrl-C passed on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import attrs

from deepseek_core import console, errors

_POLL_S: Final = 0.1
_LAST_WORDS: Final = 2_000
_BY_CTRL_C: Final = 130


@attrs.frozen(kw_only=True)
class Limits:
    """Seconds: `silent_s` without a sign of life, `stop_s` to save when it is stopped."""

    silent_s: float = 1_800.0
    stop_s: float = 120.0


@attrs.frozen(kw_only=True)
class Answer:
    """How a child ended: its exit code, and the JSON that it printed, None if that is none."""

    code: int
    answer: Any


class Child:
    """One run of `ds-sdk`, in a session of its own: Ctrl-C reaches it through this process alone.

    It works in the folder, where it leaves what it printed.

    Legend: `_out`, `_err` are files of what it prints; `_seen` is their size when it last grew, and
    `_alive_s` when that was.
    """

    def __init__(self, words: Sequence[str], folder: Path, name: str) -> None:
        self._out, self._err = folder / f"{name}.json", folder / f"{name}.log"
        self._name = f"ds-sdk {' '.join(words[:2])}"
        self._seen, self._alive_s = 0, time.monotonic()
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self._process = subprocess.Popen(
                console.kept_command(words),
                stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True,
                cwd=folder,  # what a recipe names is looked for beside it
            )  # fmt: skip

    def wait(self, limits: Limits, look: Callable[[], int]) -> Answer:
        """Wait for its end; `look()` tells what is new of it, and how many bytes that log has.

        Raises:
            Interrupted: Ctrl-C, or what `look` raises; it was passed on, and what it saved stays.
            DeepSeekError: it was silent for too long, or failed; has its last words.
        """
        try:
            self._watch(limits, look)
        except BaseException as stop:
            self._stop(limits.stop_s)
            if isinstance(stop, KeyboardInterrupt):
                raise errors.Interrupted(
                    f"{self._name} was stopped", remedy="the same command goes on from there"
                ) from stop
            raise
        return self._ended()

    def _watch(self, limits: Limits, look: Callable[[], int]) -> None:
        while self._process.poll() is None:
            size = look() + self._said()
            now_s = time.monotonic()
            if size != self._seen:
                self._seen, self._alive_s = size, now_s
            elif now_s - self._alive_s > limits.silent_s:
                raise errors.DeepSeekError(
                    f"{self._name} said nothing for {limits.silent_s:g} s{self._last_words()}",
                    remedy="see whether it hangs; the same command goes on from what it saved",
                )
            time.sleep(_POLL_S)
        look()

    def _said(self) -> int:
        """Bytes that it has printed so far."""
        try:
            return self._out.stat().st_size + self._err.stat().st_size
        except FileNotFoundError as error:
            raise errors.DeepSeekError(
                f"{self._name}: {error.filename} was taken away while it ran",
                remedy="begin that step again, in a folder that nobody else clears",
            ) from error

    def _stop(self, stop_s: float) -> None:
        """Pass Ctrl-C on and wait while it saves; at a second one, or at the limit, end it."""
        try:
            if self._process.poll() is None:
                self._process.send_signal(signal.SIGINT)
                self._process.wait(timeout=stop_s)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(timeout=stop_s)

    def _ended(self) -> Answer:
        code = self._process.returncode
        if code == _BY_CTRL_C:
            raise errors.Interrupted(
                f"{self._name} was stopped", remedy="the same command goes on from there"
            )
        try:
            answer = json.loads(self._out.read_text(encoding="utf-8"))
        except ValueError:
            answer = None
        if answer is None:
            told = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
            raise errors.DeepSeekError(
                f"{self._name} ended {told}{self._last_words()}", remedy=f"see {self._err}"
            )
        return Answer(code=code, answer=answer)

    def _last_words(self) -> str:
        text = self._err.read_text(encoding="utf-8", errors="replace")[-_LAST_WORDS:].strip()
        return f": {text}" if text else ""
