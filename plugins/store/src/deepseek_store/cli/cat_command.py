"""`ds-sdk store cat`: objects to stdout, one after the other, or parts of them."""

from __future__ import annotations

import argparse
from typing import BinaryIO, Final

from deepseek_core import console, errors
from deepseek_store.cli.common import (
    Command,
    add_home,
    open_store,
    stdout_bytes,
    write_whole,
)
from deepseek_store.cli.download_objects import Replaced, pieces_of
from deepseek_store.cli.key_view import KeyView, is_folder_mark
from deepseek_store.cli.partial_failures import Troubles
from deepseek_store.cli.selection import add_names, choose, selection_of
from deepseek_store.errors import Corrupt

_EXAMPLES: Final = """examples:
  ds-sdk store cat data log/1.txt log/2.txt | grep error
  ds-sdk store cat data 'log/*.txt' | wc -l              in the order of their keys
  ds-sdk store cat data shard.bin --offset 1M --count 4096 | xxd
  ds-sdk store cat data log/1.txt --offset=-200          its last 200 bytes

Bytes come as they are, and nothing between them. What can't be read is named on stderr, the rest is
written, and the exit code is 1."""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_home(parser, reads=True)
    add_names(parser)
    parser.add_argument(
        "--recursive", "-r", action="store_true", help="folders with everything in them"
    )
    parser.add_argument(
        "--offset",
        type=_offset,
        default=0,
        metavar="SIZE",
        help="begin there; -N: so many before its end",
    )
    parser.add_argument(
        "--count", type=console.nbytes_of, metavar="SIZE", help="at most so many of each"
    )
    parser.add_argument("--snapshot", metavar="NAME", help="as it was in this snapshot")


def _offset(text: str) -> int:
    return -console.nbytes_of(text[1:]) if text.startswith("-") else console.nbytes_of(text)


def _run(args: argparse.Namespace) -> int:
    troubles, out = Troubles(), stdout_bytes()
    with open_store(args) as store:
        view = KeyView(store, args.snapshot)
        for name in args.names:
            try:
                keys = sorted(each.key for each in choose(view, selection_of(args, [name])))
            except errors.ObjectMissing as error:
                troubles.fail(name, f"{error.message} -> {error.remedy}")
                continue
            for key in keys:
                if not is_folder_mark(key):
                    _write(out, view, args, key, troubles)
        out.flush()
    return troubles.exit_code


def _write(
    out: BinaryIO, view: KeyView, args: argparse.Namespace, key: str, troubles: Troubles
) -> None:
    try:
        info = view.info(key)
        start = args.offset if args.offset >= 0 else max(0, info.nbytes + args.offset)
        stop = None if args.count is None else start + args.count
        for piece in pieces_of(view, info, start, stop):
            write_whole(out, piece)
    except (Corrupt, Replaced, errors.ObjectMissing) as error:
        troubles.fail(key, error.message)


COMMANDS: Final = {
    "cat": Command(
        add_arguments=_add_arguments,
        run=_run,
        examples=_EXAMPLES,
        details="Wrong bytes are never written.",
    )
}
