"""How commands report: errors as sentences, exit codes, warnings without source lines."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Final, cast

from deepseek_core.contracts.errors import (
    ConfigError,
    DeepSeekError,
    GraphError,
    InputError,
    Interrupted,
)
from deepseek_core.contracts.secret import scrub

_RULE_OUT: Final = (
    "run it with --debug for the traceback; "
    "--no-plugins (DEEPSEEK_NO_PLUGINS=1) or --disable-plugins NAME rules plugins out"
)


def report(error: BaseException, debug: bool) -> int:
    """One sentence and what to do about it, on stderr."""
    if debug:
        from traceback import format_exception

        sys.stderr.write(scrub("".join(format_exception(error))))
    if isinstance(error, DeepSeekError):
        _say("error", error.message)
        _say("fix", error.remedy)
        return _code_of(error)
    _say("error", f"unexpected {one_line(error)}")
    _say("fix", _RULE_OUT)
    return 1


def _code_of(error: DeepSeekError) -> int:
    if isinstance(error, Interrupted):
        return 130
    return 2 if isinstance(error, ConfigError | InputError | GraphError) else 1


def _say(label: str, text: str | None) -> None:
    if text:
        print(f"{label}: {scrub(text)}", file=sys.stderr)


def one_line(error: BaseException) -> str:
    """`Type: text` without line breaks."""
    return " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")


def exit_code(leaving: SystemExit) -> int:
    """The code with which argparse or a plugin's command leaves; a text is printed."""
    if leaving.code is None or isinstance(leaving.code, int):
        return leaving.code or 0
    _say("error", str(leaving.code))
    return 1


def reader_left() -> int:
    """The reader of our pipe went away: no error of ours."""
    # What is still in the buffer would raise once more when Python leaves.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 141


def plain_warnings() -> Callable[[], None]:
    """Print warnings as a sentence, without file, line and source; returns what undoes that."""
    import warnings

    # Of deprecations, Python shows only those of the main script unless it is told to.
    warnings.filterwarnings("default", "plugin '", DeprecationWarning)
    usual = warnings.formatwarning

    def sentence(message: Warning | str, *_: object, **__: object) -> str:
        return f"warning: {scrub(str(message))}\n"

    def restore() -> None:
        warnings.formatwarning = usual

    warnings.formatwarning = cast("Callable[..., str]", sentence)
    return restore
