"""`ds-sdk store du`: how many bytes lie in each folder."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from typing import Final

import attrs

from deepseek_core import console, errors
from deepseek_store.cli.common import Command, add_home, add_json, open_store, tell
from deepseek_store.cli.key_view import KeyView, is_folder_mark
from deepseek_store.cli.local.patterns import is_glob
from deepseek_store.cli.partial_failures import shown
from deepseek_store.cli.selection import (
    Chosen,
    NameSelection,
    add_names,
    choose,
    folder_name,
    matches,
    selection_of,
)

_EXAMPLES: Final = """examples:
  ds-sdk store du data                         each folder of the store, and all
  ds-sdk store du data -h -d 1                 folders at the top, in KiB, MiB, GiB
  ds-sdk store du data train sets/masks -s     one line each
  ds-sdk store du data 'runs/*' -s -h | sort -h
  ds-sdk store du data train --include '*.png' -s

Bytes of objects as users see them; what they take on tiers, with their redundancy, is in
ds-sdk store status."""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_home(parser, reads=True)
    add_names(parser, nargs="*")
    parser.add_argument("--snapshot", metavar="NAME", help="as it was in this snapshot")
    group = parser.add_argument_group("output", conflict_handler="resolve")
    group.add_argument("-h", "--human-readable", action="store_true", help="sizes such as 1.5 MiB")
    group.add_argument("-s", "--summarize", action="store_true", help="one line for each KEY")
    group.add_argument(
        "-d", "--depth", "--max-depth", type=int, metavar="N", help="folders down to that depth"
    )
    add_json(parser)


@attrs.define
class _Sum:
    """Sums over what a folder holds."""

    objects: int = 0
    nbytes: int = 0


def _run(args: argparse.Namespace) -> int:
    if args.depth is not None and (args.depth < 0 or args.summarize):
        raise errors.ConfigError("--depth is 0 or more, and not beside --summarize", remedy="-d 1")
    depth = 0 if args.summarize else args.depth
    rows: list[tuple[str, _Sum]] = []
    with open_store(args) as store:
        view = KeyView(store, args.snapshot)
        for name, selection in _expanded(view, args):
            rows += _rows(view, selection, name, depth)
    told = [
        {"name": name, "objects": found.objects, "nbytes": found.nbytes} for name, found in rows
    ]
    lines = (f"{_size(found.nbytes, args)}\t{shown(name)}" for name, found in rows)
    tell({"folders": told}, "\n".join(lines), as_json=args.json)
    return 0


def _expanded(view: KeyView, args: argparse.Namespace) -> Iterator[tuple[str, NameSelection]]:
    """The names, and for a glob what it matches: a row each, as a shell would have it."""
    for name in args.names or [""]:
        plain = args.prefix or args.no_glob or not is_glob(name) or view.has(name)
        found = [] if plain or view.is_folder(name) else list(matches(view, name))
        if not found:
            yield name, selection_of(args, [name], recursive=True)
        for each in found:
            yield each, selection_of(args, [each], recursive=each.endswith("/"))


def _rows(
    view: KeyView, selection: NameSelection, name: str, depth: int | None
) -> list[tuple[str, _Sum]]:
    """Folders below a name, the deepest first, as du has them; its own sum last."""
    try:
        chosen: Iterable[Chosen] = choose(view, selection)
    except errors.ObjectMissing:
        if folder_name(name):
            raise
        chosen = ()  # an empty store is no error
    sums: dict[str, _Sum] = {}
    total = sums.setdefault("", _Sum())
    for each in chosen:
        if is_folder_mark(each.key) or (info := view.look(each.key)) is None:
            continue
        for folder in _folders(each.path, depth):
            found = total if not folder else sums.setdefault(folder, _Sum())
            found.objects += 1
            found.nbytes += info.nbytes
    del sums[""]
    base = folder_name(name)
    below = sorted(sums.items(), key=lambda row: [*row[0].split("/"), "\U0010ffff"])
    return [(f"{base}{path}/", found) for path, found in below] + [(name or "/", total)]


def _folders(path: str, depth: int | None) -> Iterable[str]:
    """All folders that a path lies in, down to a depth; `""` for the whole."""
    yield ""
    at = path.find("/")
    level = 1
    while at >= 0 and (depth is None or level <= depth):
        yield path[:at]
        at, level = path.find("/", at + 1), level + 1


def _size(nbytes: int, args: argparse.Namespace) -> str:
    return console.format_bytes(nbytes).replace(" ", "") if args.human_readable else str(nbytes)


COMMANDS: Final = {"du": Command(add_arguments=_add_arguments, run=_run, examples=_EXAMPLES)}
