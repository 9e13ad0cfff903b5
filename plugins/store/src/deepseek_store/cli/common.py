"""What the commands share: their record, the store's arguments, units, and how they print."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import attrs

from deepseek_core import console, errors

if TYPE_CHECKING:
    from deepseek_store.store import Store


@attrs.frozen(kw_only=True)
class Command:
    """A command: its options, what it does, and what its help says below its first line."""

    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]
    examples: str
    details: str = ""


def add_home(parser: argparse.ArgumentParser, *, reads: bool = False) -> None:
    """The first argument of every command.

    `reads`: the command changes nothing, so that it can be told to open the store that way.
    """
    parser.add_argument("home", metavar="HOME", help="the folder that `store init` made")
    # Every command shares the store; the word is still taken from who learned it.
    parser.add_argument("--shared", action="store_true", help=argparse.SUPPRESS)
    if reads:
        parser.add_argument(
            "--read-only",
            action="store_true",
            help="change nothing in HOME, which may be read-only",
        )


def add_json(parser: argparse.ArgumentParser) -> None:
    """Whether to print for a script."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def add_quiet(parser: argparse.ArgumentParser) -> None:
    """Whether to keep still meanwhile."""
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress on stderr")


def add_dry_run(parser: argparse.ArgumentParser) -> None:
    """Whether only to say what would be done."""
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would be done; change nothing"
    )


def open_store(args: argparse.Namespace) -> Store:
    """The store that the arguments name; others may have it open too, if they share it as well.

    Raises:
        ConfigError: there is none.
        StoreLocked: a process has it open for itself alone.
    """
    from deepseek_store.errors import StoreLocked
    from deepseek_store.store import Store

    read_only = getattr(args, "read_only", False)
    try:
        return Store(args.home, shared=True, read_only=read_only)
    except StoreLocked as error:
        error.remedy = "wait for it, or open it there with shared=True: commands share a store"
        raise


def tell(facts: Mapping[str, Any], text: str, *, as_json: bool) -> None:
    """Print for a script, or for people."""
    if as_json:
        console.print_json(facts, indent=1, default=plain)
    elif text:
        console.print_lines(text)


def plain(value: object) -> object:
    """Records and bytes as JSON has them."""
    if attrs.has(type(value)):
        return attrs.asdict(cast(Any, value))
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, set | frozenset):
        return sorted(cast(Any, value))
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def stdout_bytes() -> BinaryIO:
    """Stdout, for bytes of objects.

    Raises:
        InputError: the caller closed it.
    """
    out = console.answer_bytes()
    if out is None:
        raise errors.InputError("stdout is closed", remedy="leave it open, or name a file")
    return out


def stdin_bytes() -> BinaryIO:
    """Stdin, for bytes of objects.

    Raises:
        InputError: the caller closed it.
    """
    if sys.stdin is None:
        raise errors.InputError("stdin is closed", remedy="leave it open, or name a file")
    return sys.stdin.buffer


def write_whole(out: BinaryIO, piece: memoryview) -> int:
    """With PYTHONUNBUFFERED, stdout is a bare file, whose `write` may take a part only."""
    rest = piece
    while rest:
        rest = rest[out.write(rest) :]
    return len(piece)
