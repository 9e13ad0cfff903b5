"""`ds-sdk store ls` and `stat`: what there is, and what is known of it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import attrs

from deepseek_core import console
from deepseek_store.cli.common import Command, add_home, add_json, count, open_store, tell

if TYPE_CHECKING:
    from deepseek_store.store import ObjectInfo, Store

_BATCH: Final = 10_000  # rows of a table that are measured together

_LS_EXAMPLES: Final = """examples:
  ds-sdk store ls data                  objects and folders at the top
  ds-sdk store ls data train/           right below train/
  ds-sdk store ls data train --all      all whose key begins with train
  ds-sdk store ls data --long           with size, generation and place"""

_STAT_EXAMPLES: Final = """examples:
  ds-sdk store stat data runs/7/model.onnx
  ds-sdk store stat data runs/7/model.onnx --snapshot monday"""


def _add_ls_arguments(parser: argparse.ArgumentParser) -> None:
    add_home(parser, reads=True)
    parser.add_argument(
        "prefix", metavar="PREFIX", nargs="?", default="", help="a folder, or its start"
    )
    parser.add_argument(
        "--all", "-a", action="store_true", help="all below it, not folder by folder"
    )
    parser.add_argument("--long", "-l", action="store_true", help="size, generation, place, age")
    add_json(parser)


def _ls(args: argparse.Namespace) -> int:
    with open_store(args) as store:
        if args.json:
            tell(_listing(store, args), "", as_json=True)
        elif args.long:
            _print_long(store, args)
        else:
            for name in _names(store, args):
                print(name)
    return 0


def _names(store: Store, args: argparse.Namespace) -> Iterator[str]:
    """Keys, and folders, which end in `/`."""
    if args.all:
        return (info.key for info in store.list(args.prefix))
    folder = args.prefix if not args.prefix or args.prefix.endswith("/") else f"{args.prefix}/"
    return store.children(folder)


def _listing(store: Store, args: argparse.Namespace) -> dict[str, Any]:
    names = list(_names(store, args))
    return {
        "folders": [name for name in names if name.endswith("/")],
        "objects": [_object_facts(store, name) for name in names if not name.endswith("/")],
    }


def _print_long(store: Store, args: argparse.Namespace) -> None:
    names = _names(store, args)
    head: tuple[str, ...] = ("SIZE", "GENERATION", "TIER", "STORED", "KEY")
    while batch := list(islice(names, _BATCH)):
        console.print_table(head, [_row(store, name) for name in batch])
        head = ("", "", "", "", "")


def _row(store: Store, name: str) -> tuple[str, ...]:
    if name.endswith("/"):
        return "-", "-", "-", "-", name
    info = store.stat(name)
    size = console.format_bytes(info.nbytes)
    return size, str(info.generation), _tier(store, name), _when(info.created_s), name


def _object_facts(store: Store, key: str) -> dict[str, Any]:
    return {**attrs.asdict(store.stat(key)), "tier": _tier(store, key)}


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
    parser.add_argument("--snapshot", metavar="NAME", help="as it was then")
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
        info.key,
        f"  size        {console.format_bytes(info.nbytes)} ({info.nbytes:,} bytes) in "
        f"{count(info.shards, 'shard')}",
        f"  generation  {info.generation}",
        f"  stored      {_when(info.created_s)}",
    ]
    if tier is not None:
        lines.append(f"  tier        {tier}")
    lines += [f"  meta        {name} = {text}" for name, text in info.meta.items()]
    return "\n".join(lines)


COMMANDS: Final = {
    "ls": Command(add_arguments=_add_ls_arguments, run=_ls, examples=_LS_EXAMPLES),
    "stat": Command(add_arguments=_add_stat_arguments, run=_stat, examples=_STAT_EXAMPLES),
}
