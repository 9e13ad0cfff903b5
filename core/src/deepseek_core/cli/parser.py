"""The parser of every command: mistakes end in one sentence with what to do about them."""

from __future__ import annotations

import argparse
import re
from typing import Any, Final, NoReturn

from deepseek_core.cli.answer import write
from deepseek_core.cli.table import terminal_width
from deepseek_core.contracts.errors import ConfigError
from deepseek_core.discovery.switch_table import SWITCHES

_UNKNOWN: Final = "unrecognized arguments: "
_NO_VALUE: Final = re.compile(r"argument (?:\S+/)?(--[\w-]+): expected ")
_DATA: Final = "--input"
_CLOSE: Final = 0.75  # flags begin alike, so less makes strangers look close
_TWICE, _EMPTY = "given twice", "must not be empty"
_REMEDIES: Final = {_TWICE: "give it once", _EMPTY: "give it a value, or leave it out"}


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Knows its width: to find it out, argparse would import `shutil` at each option."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=terminal_width() or 80)


class _Once(argparse._StoreAction):
    """Stores a value and refuses a second one, of which argparse would keep the last."""

    _given_in: argparse.Namespace | None = None

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        if option_string is not None and self._given_in is namespace:
            raise argparse.ArgumentError(self, _TWICE)
        self._given_in = namespace
        super().__call__(parser, namespace, values, option_string)


class CommandParser(argparse.ArgumentParser):
    """Reports a wrong argument like every other error, and keeps the lines of its examples.

    An option that takes one value is refused when it is given twice, and so is an empty value,
    which is mostly a variable of the shell that is not set.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{"formatter_class": _Formatter, **options})
        for name in (None, "store"):
            self.register("action", name, _Once)

    def _get_values(self, action: argparse.Action, arg_strings: list[str]) -> Any:
        if "" in arg_strings and (action.option_strings or action.nargs is None):
            raise argparse.ArgumentError(action, _EMPTY)
        return super()._get_values(action, arg_strings)

    def print_help(self, file: Any = None) -> None:
        """Print help: an answer, unless it is wanted elsewhere."""
        if file is None:
            write(self.format_help())
        else:
            super().print_help(file)

    def error(self, message: str) -> NoReturn:
        """Raise what `report` tells in one sentence."""
        raise ConfigError(message, remedy=self._remedy(message))

    def _remedy(self, message: str) -> str:
        if message.startswith(_UNKNOWN):
            return self._instead_of(message.removeprefix(_UNKNOWN))
        if found := _NO_VALUE.match(message):
            flag = found[1]
            return f"{flag} VALUE, or {flag}=VALUE if the value starts with -"
        known = (remedy for end, remedy in _REMEDIES.items() if message.endswith(end))
        return next(known, f"{self.prog} --help")

    def _instead_of(self, words: str) -> str:
        """What was meant by words that the parser does not know."""
        import shlex  # here, as each start counts modules
        from difflib import get_close_matches

        flag, known = words.split(maxsplit=1)[0].partition("=")[0], self._option_string_actions
        if any(flag == switch.flag for switch in SWITCHES):
            return f"switches stand before the command: ds-sdk {flag} ..."
        if not flag.startswith("-") and _DATA in known:
            example = "FILE.npz or FOLDER" if " " in words else shlex.quote(words)
            return f"data goes after {_DATA}: {_DATA} {example}"
        close = get_close_matches(flag, sorted(known), n=2, cutoff=_CLOSE)
        meant = f"did you mean {' or '.join(close)}? " if close else ""
        return f"{meant}{self.prog} --help"


def command_parser(name: str, *, summary: str, examples: str) -> argparse.ArgumentParser:
    """A parser for `ds-sdk NAME`, whose mistakes are told like every other error's.

    Parsers made by its `add_subparsers()` are of the same kind.
    """
    return CommandParser(
        prog=f"ds-sdk {name}", description=summary, epilog=examples, allow_abbrev=False
    )
