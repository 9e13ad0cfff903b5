"""`ds-sdk store ls` and `stat`: what there is, and what is known of it."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import attrs

from deepseek_core import console
from deepseek_store.cli.common import Command, add_home, add_json, open_store, stdout_bytes, tell
from deepseek_store.cli.key_view import KeyView, is_folder_mark
from deepseek_store.cli.local.patterns import is_glob, literal_folder
from deepseek_store.cli.partial_failures import shown
from deepseek_store.cli.selection import (
    NameSelection,
    add_names,
    choose,
    folder_name,
    matches,
    nothing_there,
    selection_of,
)
from deepseek_store.planning.amounts import counted

if TYPE_CHECKING:
    from deepseek_store.store import ObjectInfo, Store

_BATCH: Final = 10_000  # rows of a table that are measured together

_LS_EXAMPLES: Final = """examples:
  ds-sdk store ls data                  objects and folders at the top
  ds-sdk store ls data train            right in the folder train
  ds-sdk store ls data train -R         all in it, with all folders below
  ds-sdk store ls data 'runs/*/*.onnx' -lh
  ds-sdk store ls data train --prefix   all whose key begins with train
  ds-sdk store ls data -R0 | xargs -0 -n1 ds-sdk store stat data

Names stand one in a line; with -0 a NUL follows each, so that line breaks in names do no harm."""

_STAT_EXAMPLES: Final = """examples:
  ds-sdk store stat data runs/7/model.onnx
  ds-sdk store stat data runs/7/model.onnx --snapshot monday"""


def _add_ls_arguments(parser: argparse.ArgumentParser) -> None:
    add_home(parser, reads=True)
    add_names(parser, nargs="*")
    parser.add_argument("--snapshot", metavar="NAME", help="as it was in this snapshot")
    group = parser.add_argument_group("output", conflict_handler="resolve")
    group.add_argument(
        "-R",
        "--recursive",
        "-a",
        "--all",
        action="store_true",
        help="all below, not folder by folder",
    )
    group.add_argument("-l", "--long", action="store_true", help="size, generation, place, age")
    group.add_argument("-h", "--human-readable", action="store_true", help="with -l: 1.5 MiB")
    group.add_argument(
        "-1", dest="one", action="store_true", help="one name a line, which is the default"
    )
    group.add_argument("-0", "--null", action="store_true", help="end each name with a NUL")
    add_json(parser)


def _ls(args: argparse.Namespace) -> int:
    with open_store(args) as store:
        view = KeyView(store, args.snapshot)
        names = (name for wanted in args.names or [""] for name in _names(view, args, wanted))
        if args.json:
            tell(_listing(view, list(dict.fromkeys(names))), "", as_json=True)
        elif args.long:
            _print_long(view, names, args)
        else:
            _print_names(names, args)
    return 0


def _names(view: KeyView, args: argparse.Namespace, name: str) -> Iterator[str]:
    """Keys, and folders, which end in `/`."""
    selection = selection_of(args, [name])
    if args.recursive or args.prefix:
        yield from _below(view, selection, name)
        return
    if selection.glob and is_glob(name) and not view.has(name) and not view.is_folder(name):
        yield from _matching(view, selection, name)
        return
    folder = folder_name(name)
    key = folder.rstrip("/")
    if key and not name.endswith("/") and view.has(key):
        yield key
    elif not view.is_folder(folder):
        raise nothing_there(view, selection, name)
    for child in view.children(folder):
        if not is_folder_mark(child) and _is_taken(selection, child, folder):
            yield child


def _below(view: KeyView, selection: NameSelection, name: str) -> Iterator[str]:
    """All objects that are meant."""
    if not folder_name(name) and not selection.prefix and view.is_empty():
        return
    for each in choose(view, selection):
        if not is_folder_mark(each.key):
            yield each.key


def _matching(view: KeyView, selection: NameSelection, name: str) -> Iterator[str]:
    base, some = literal_folder(name), False
    for found in matches(view, name):
        some = True
        if not is_folder_mark(found) and _is_taken(selection, found, base):
            yield found
    if not some:
        raise nothing_there(view, selection, name)


def _is_taken(selection: NameSelection, child: str, folder: str) -> bool:
    path = child[len(folder) :]
    if path.endswith("/"):
        return not selection.filter.leaves_out(path[:-1])
    return selection.filter.takes(path)


def _print_names(names: Iterable[str], args: argparse.Namespace) -> None:
    """One a line, with what would steer a terminal or look like a line escaped; --null as it is."""
    if args.null:
        out = stdout_bytes()
        for name in names:
            out.write(os.fsencode(name) + b"\0")
        out.flush()
    else:
        for name in names:
            console.print_lines(shown(name))


def _listing(view: KeyView, names: Sequence[str]) -> dict[str, Any]:
    return {
        "folders": [name for name in names if name.endswith("/")],
        "objects": [
            _object_facts(view, info)
            for name in names
            if not name.endswith("/") and (info := view.look(name)) is not None
        ],
    }


def _print_long(view: KeyView, names: Iterator[str], args: argparse.Namespace) -> None:
    head: tuple[str, ...] = ("SIZE", "GENERATION", "TIER", "STORED", "KEY")
    while batch := list(islice(names, _BATCH)):
        rows = (_row(view, name, args) for name in batch)
        console.print_table(head, [row for row in rows if row is not None])
        head = ("", "", "", "", "")


def _row(view: KeyView, name: str, args: argparse.Namespace) -> tuple[str, ...] | None:
    if name.endswith("/"):
        return "-", "-", "-", "-", shown(name)
    if (info := view.look(name)) is None:
        return None
    size = console.format_bytes(info.nbytes) if args.human_readable else str(info.nbytes)
    tier = _tier(view.store, name) if view.snapshot is None else "-"
    return size, str(info.generation), tier, _when(info.created_s), shown(name)


def _object_facts(view: KeyView, info: ObjectInfo) -> dict[str, Any]:
    tier = _tier(view.store, info.key) if view.snapshot is None else None
    return {**attrs.asdict(info), "tier": tier}


def _tier(store: Store, key: str) -> str:
    """Where a read of an object has to go."""
    from deepseek_store.log.records import unpack_extents
    from deepseek_store.move.census import tier_of

    state = store.parts.state
    version = state.catalog.get(key)
    extents = unpack_extents(version.extents) if version is not None else ()
    return tier_of((extent.segment for extent in extents), state)


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _add_stat_arguments(parser: argparse.ArgumentParser) -> None:
    add_home(parser, reads=True)
    parser.add_argument("key", metavar="KEY")
    parser.add_argument("--snapshot", metavar="NAME", help="as it was in this snapshot")
    add_json(parser)


def _stat(args: argparse.Namespace) -> int:
    with open_store(args) as store:
        info = store.stat(args.key, snapshot=args.snapshot)
        facts = attrs.asdict(info)
        if args.snapshot is None:
            facts["tier"] = _tier(store, args.key)
        tell(facts, _told(info, facts.get("tier")), as_json=args.json)
    return 0


def _told(info: ObjectInfo, tier: str | None) -> str:
    lines = [
        shown(info.key),
        f"  size        {console.format_bytes(info.nbytes)} ({info.nbytes:,} bytes) in "
        f"{counted(info.shards, 'shard')}",
        f"  generation  {info.generation}",
        f"  stored      {_when(info.created_s)}",
    ]
    if tier is not None:
        lines.append(f"  tier        {tier}")
    lines += [f"  meta        {shown(name)} = {shown(text)}" for name, text in info.meta.items()]
    return "\n".join(lines)


COMMANDS: Final = {
    "ls": Command(add_arguments=_add_ls_arguments, run=_ls, examples=_LS_EXAMPLES),
    "stat": Command(add_arguments=_add_stat_arguments, run=_stat, examples=_STAT_EXAMPLES),
}
