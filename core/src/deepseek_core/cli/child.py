"""`ds-sdk` as a child process: its answer, its last words, and Ctrl-C passed on."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, Final

import attrs

from deepseek_core.cli.kept import kept_command
from deepseek_core.contracts.errors import DeepSeekError, Interrupted

_POLL_S: Final = 0.1
_LAST_WORDS: Final = 2_000
_BY_CTRL_C: Final = 130


@attrs.frozen(kw_only=True)
class Answer:
    """What a child answered: the JSON that it printed.

    `cpu_s` is what children of this process took of processors meanwhile.
    """

    answer: Any
    cpu_s: float


def run_child(
    words: Sequence[str],
    folder: Path,
    name: str,
    *,
    look: Callable[[], int],
    silent_s: float,
    stop_s: float,
    threads: int | None,
    fine: Collection[int],
) -> Answer:
    """Run `ds-sdk WORDS` to its end in a process of its own; see `console.run_child`."""
    child = _Child(words, folder, name, threads)
    try:
        child.watch(look, silent_s)
    except BaseException as stop:
        child.stop(stop_s)
        if isinstance(stop, KeyboardInterrupt):
            raise child.interrupted() from stop
        raise
    return child.ended(fine)


class _Child:
    """One run of `ds-sdk`, in a session of its own: Ctrl-C reaches it through this process alone.

    Legend: `_out`, `_err` are files of what it prints; `_seen` is their size when it last grew, and
    `_alive_s` when that was; `_before_s` is what children had taken of processors.
    """

    def __init__(self, words: Sequence[str], folder: Path, name: str, threads: int | None) -> None:
        self._out, self._err = folder / f"{name}.json", folder / f"{name}.log"
        self._name = f"ds-sdk {' '.join(words[:2])}"
        self._seen, self._alive_s = 0, time.monotonic()
        self._before_s = _children_s()
        more = {} if threads is None else {"OMP_NUM_THREADS": str(threads)}
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self._process = subprocess.Popen(
                kept_command(words),
                stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True,
                cwd=folder,  # what a recipe names is looked for beside it
                env={**os.environ, **more},
            )  # fmt: skip

    def watch(self, look: Callable[[], int], silent_s: float) -> None:
        """Wait for its end, and look now and then."""
        while self._process.poll() is None:
            size = look() + self._said()
            now_s = time.monotonic()
            if size != self._seen:
                self._seen, self._alive_s = size, now_s
            elif now_s - self._alive_s > silent_s:
                raise DeepSeekError(
                    f"{self._name} said nothing for {silent_s:g} s{self._last_words()}",
                    remedy="see whether it hangs; the same command goes on from what it saved",
                )
            time.sleep(_POLL_S)
        look()

    def _said(self) -> int:
        """Bytes that it has printed so far."""
        try:
            return self._out.stat().st_size + self._err.stat().st_size
        except FileNotFoundError as error:
            raise DeepSeekError(
                f"{self._name}: {error.filename} was taken away while it ran",
                remedy="begin that step again, in a folder that nobody else clears",
            ) from error

    def stop(self, stop_s: float) -> None:
        """Pass Ctrl-C on and wait while it saves; at a second one, or at the limit, end it."""
        try:
            if self._process.poll() is None:
                self._process.send_signal(signal.SIGINT)
                self._process.wait(timeout=stop_s)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(timeout=stop_s)

    def ended(self, fine: Collection[int]) -> Answer:
        """What it answered, if it did, and ended with one of these codes."""
        code = self._process.returncode
        if code == _BY_CTRL_C:
            raise self.interrupted()
        try:
            answer = json.loads(self._out.read_text(encoding="utf-8"))
        except ValueError:
            answer = None
        if answer is None or code not in fine:
            told = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
            raise DeepSeekError(
                f"{self._name} ended {told}{self._last_words()}", remedy=f"see {self._err}"
            )
        return Answer(answer=answer, cpu_s=_children_s() - self._before_s)

    def interrupted(self) -> Interrupted:
        """What is told of one that was stopped."""
        return Interrupted(
            f"{self._name} was stopped", remedy="the same command goes on from there"
        )

    def _last_words(self) -> str:
        text = self._err.read_text(encoding="utf-8", errors="replace")[-_LAST_WORDS:].strip()
        return f": {text}" if text else ""


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
