"""A command of the SDK in a process of its own: followed, stopped in order, its last words kept."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from deepseek_core import console, errors

_LOOK_S: Final = 0.2
_STOP_S: Final = 60.0
_SILENT_S: Final = 1800.0
_INTERRUPTED: Final = 130
_LAST_WORDS: Final = 1500


def run_sdk(words: Sequence[str], log: Path, look: Callable[[], object], threads: int = 1) -> float:
    """Run `ds-sdk WORDS` to its end; `look` is called meanwhile. Returns its CPU seconds.

    Whatever ends the wait, Ctrl-C too, is passed on as Ctrl-C, so that the child saves. It ends
    with this process, too, if that is killed.

    Raises:
        Interrupted: it was stopped.
        DeepSeekError: it failed, or said nothing for half an hour; with its last words.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with log.open("wb") as out:
        child = subprocess.Popen(
            console.kept_command(words),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        )
    try:
        _watch(child, log, look)
    except BaseException:
        _stop(child)
        raise
    _check_end(child.returncode, words, log)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _watch(child: subprocess.Popen[bytes], log: Path, look: Callable[[], object]) -> None:
    seen: object = None
    alive_s = time.monotonic()
    while child.poll() is None:
        now = (look(), log.stat().st_size)
        if now != seen:
            seen, alive_s = now, time.monotonic()
        elif time.monotonic() - alive_s > _SILENT_S:
            raise errors.DeepSeekError(
                f"a training said nothing for {_SILENT_S / 60:.0f} minutes{_last_words(log)}",
                remedy="the same command goes on from what it saved",
            )
        time.sleep(_LOOK_S)


def _stop(child: subprocess.Popen[bytes]) -> None:
    """Let it save; end it where it does not, or where Ctrl-C comes again."""
    try:
        if child.poll() is None:
            child.send_signal(signal.SIGINT)
            child.wait(timeout=_STOP_S)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        child.kill()
        child.wait(timeout=_STOP_S)


def _check_end(code: int, words: Sequence[str], log: Path) -> None:
    if code == _INTERRUPTED:
        raise errors.Interrupted(
            "the training was stopped", remedy="the same command goes on from what it saved"
        )
    if code:
        told = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        raise errors.DeepSeekError(
            f"ds-sdk {' '.join(words[:2])} ended {told}{_last_words(log)}", remedy=f"see {log}"
        )


def _last_words(log: Path) -> str:
    text = log.read_text(encoding="utf-8", errors="replace")[-_LAST_WORDS:].strip()
    return f": {text}" if text else ""
