"""How commands report: errors as sentences, exit codes, warnings without source lines."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from threading import main_thread
from typing import Final, cast

from deepseek_core.cli.answer import end_stream, flush, stream
from deepseek_core.contracts.errors import (
    ConfigError,
    DeepSeekError,
    GraphError,
    InputError,
    Interrupted,
)
from deepseek_core.contracts.secret import scrub
from deepseek_core.contracts.units import printable
from deepseek_core.discovery.strangers import attribute, is_a, one_line, raise_if_ours, text_of
from deepseek_core.discovery.switch_table import SWITCHES

_RULE_OUT: Final = (
    "run it with --debug for the traceback; "
    "--no-plugins (DEEPSEEK_NO_PLUGINS=1) or --disable-plugins NAME rules plugins out"
)
_LAST_WORDS_S: Final = 10.0
_MAIN: Final = main_thread().name  # a plugin may replace the object, and what tells of it
_LOOKS: Final = {"error": "red", "fix": "cyan", "note": "yellow"}
_FILES: Final = "check the path, its permissions, and whether the disk has space left"


def report(error: BaseException, debug: bool) -> int:
    """One sentence and what to do about it, on stderr."""
    from deepseek_core.discovery.status import as_remedy

    if debug:
        sys.stderr.write(_traceback(error))
    if is_a(error, DeepSeekError):
        _say("error", _plain(attribute(error, "message")) or one_line(error))
        _say("fix", as_remedy(_plain(attribute(error, "remedy"))))
        return _code_of(error)
    if is_a(error, OSError) and error.strerror:
        _say("error", ": ".join(map(text_of, filter(None, (error.filename, error.strerror)))))
        _say("fix", _FILES)
        return 1
    if is_a(error, MemoryError):
        _say("error", f"there is not enough memory: {text_of(error)}".removesuffix(": "))
        _say("fix", "run smaller batches (--batch), or smaller inputs")
        return 1
    _say("error", f"unexpected {one_line(error)}")
    _say("fix", _RULE_OUT)
    return 1


def _traceback(error: BaseException) -> str:
    from traceback import format_exception

    try:
        return printable(scrub("".join(format_exception(error))), keep="\n\t")
    except BaseException as second:  # noqa: BLE001 - an error that can't be told must do no harm
        raise_if_ours(second)
        return f"no traceback: {one_line(second)}\n"


def _plain(told: object) -> str:
    """Message or remedy: a text of ours, lines and all, or what a stranger's class has there."""
    if type(told) is str:
        return told
    return "" if told is None else text_of(told)


def _code_of(error: DeepSeekError) -> int:
    if is_a(error, Interrupted):
        return 130
    wrong = (ConfigError, InputError, GraphError)
    return 2 if any(is_a(error, kind) for kind in wrong) else 1


def _say(label: str, text: str | None) -> None:
    if text:
        shown = printable(scrub(text), keep="\n")
        sys.stderr.write(f"{_colored(label)}: {shown}\n")


def _colored(label: str) -> str:
    if not (sys.stderr.isatty() or os.environ.get("FORCE_COLOR")):
        return label  # without the import
    from deepseek_core.cli.color import has_color, painted

    return painted(label, _LOOKS[label]) if has_color(sys.stderr) else label


def tell(notices: Iterable[object]) -> None:
    """Say what has no effect, a line each, on stderr and after the answer on stdout."""
    for notice in notices:
        flush()
        _say("note", str(notice))


def tell_of_idle_switches() -> None:
    """Say which names in flags and variables mean nothing here.

    Those in the configuration file are left to the commands that show it: one file may serve
    several environments, for years.
    """
    if not any(os.environ.get(switch.variable) for switch in SWITCHES if switch.is_of_names):
        return
    from deepseek_core.discovery.notices import unknown_names
    from deepseek_core.discovery.scan import scan
    from deepseek_core.discovery.switches import Switches

    try:
        switches = Switches.resolve()
    except ConfigError:  # the command itself says it, if it needs the switches
        return
    tell(notice for notice in unknown_names(switches, scan()) if not notice.of_file)


def exit_code(leaving: SystemExit) -> int:
    """The code with which argparse or a plugin's command leaves; a text is printed."""
    code = attribute(leaving, "code")
    if code is None or isinstance(code, int):
        return int(code or 0)
    _say("error", text_of(code))
    return 1


def reader_left() -> int:
    """The reader of our pipe went away: no error of ours."""
    # What is still in the buffer would raise once more when Python leaves.
    out = stream()
    if out is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())
    return 141


def occupy_closed_descriptors() -> None:
    """Let no file of a command become stdin, stdout or stderr where the caller closed those.

    What native code prints would else land in it. Python's own streams stay as they are.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:  # the lowest free number is given out
            os.open(os.devnull, os.O_RDWR)


def end_answer(code: int) -> None:
    """Let nothing follow the answer on stdout, and no thread keep the process from its end.

    What handlers of `atexit` and threads of plugins still print goes to stderr.
    """
    end_stream()
    if _running_threads():
        from threading import Thread

        Thread(target=_end_without_them, args=(code,), daemon=True).start()


def _running_threads() -> list[str]:
    from threading import enumerate as threads

    return [t.name for t in threads() if not t.daemon and t.name != _MAIN]


def _end_without_them(code: int) -> None:
    import time

    time.sleep(_LAST_WORDS_S)
    running = _running_threads()
    if running:
        names = ", ".join(text_of(name) for name in running)
        _say("note", f"ended without waiting any longer for threads that do not end: {names}")
        sys.stderr.flush()
        os._exit(code)


def plain_warnings() -> Callable[[], None]:
    """Print warnings as a sentence, without file, line and source; returns what undoes that."""
    import warnings

    # Of deprecations, Python shows only those of the main script unless it is told to.
    warnings.filterwarnings("default", "plugin '", DeprecationWarning)
    usual = warnings.formatwarning

    def sentence(message: Warning | str, *_: object, **__: object) -> str:
        return "warning: " + printable(scrub(str(message)), keep="\n") + "\n"

    def restore() -> None:
        warnings.formatwarning = usual

    warnings.formatwarning = cast("Callable[..., str]", sentence)
    return restore
