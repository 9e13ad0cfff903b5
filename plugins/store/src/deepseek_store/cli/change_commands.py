"""`ds-sdk store rm`, `cp` and `mv`: changes of keys, each in one step."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import attrs

from deepseek_core import console, errors
from deepseek_store.cli.common import (
    Command,
    add_dry_run,
    add_home,
    add_json,
    count,
    keys_below,
    open_store,
    tell,
)

if TYPE_CHECKING:
    from deepseek_store.store import Store

_RM_EXAMPLES: Final = """examples:
  ds-sdk store rm data runs/7/model.onnx
  ds-sdk store rm data runs/7/ --recursive --dry-run    what would go
  ds-sdk store rm data runs/7/ --recursive

Snapshots keep what they hold. The room is freed by ds-sdk store gc."""

_CP_EXAMPLES: Final = """examples:
  ds-sdk store cp data runs/7/model.onnx best.onnx"""

_MV_EXAMPLES: Final = """examples:
  ds-sdk store mv data incoming/7 runs/7/model.onnx    in one step: never both, never none"""


def _add_rm_arguments(parser: argparse.ArgumentParser) -> None:
    add_home(parser)
    parser.add_argument("keys", metavar="KEY", nargs="+")
    parser.add_argument("--recursive", "-r", action="store_true", help="all whose key begins so")
    parser.add_argument(
        "--force", "-f", action="store_true", help="one that is not there is no error"
    )
    parser.add_argument(
        "--if-generation", type=int, metavar="N", help="only if that is its generation now"
    )
    add_dry_run(parser)
    add_json(parser)


def _rm(args: argparse.Namespace) -> int:
    with open_store(args) as store:
        keys = _wanted(store, args)
        nbytes = sum(store.stat(key).nbytes for key in keys)
        done = keys
        if not args.dry_run:
            done = [key for key in keys if store.delete(key, if_generation=args.if_generation)]
    verb = "would delete" if args.dry_run else "deleted"
    text = f"{verb} {count(len(done), 'object')}, {console.format_bytes(nbytes)}"
    facts = {"dry_run": args.dry_run, "deleted": done, "nbytes": nbytes}
    tell(facts, "\n".join([*(done if args.dry_run else ()), text]), as_json=args.json)
    return 0


def _wanted(store: Store, args: argparse.Namespace) -> list[str]:
    """Keys that are there; all are looked up before the first is deleted."""
    if args.recursive:
        found = {key for prefix in args.keys for key in _below(store, prefix, args.force)}
        return sorted(found)
    missing = [key for key in args.keys if not store.exists(key)]
    if missing and not args.force:
        raise errors.ObjectMissing(
            f"there is no object {missing[0]!r}; nothing was deleted",
            url=store.url,
            remedy="ds-sdk store ls HOME, or --force",
        )
    return [key for key in dict.fromkeys(args.keys) if key not in missing]


def _below(store: Store, prefix: str, force: bool) -> list[str]:
    try:
        return keys_below(store, prefix)
    except errors.InputError:
        if force:
            return []
        raise


def _add_two_keys(parser: argparse.ArgumentParser) -> None:
    add_home(parser)
    parser.add_argument("source", metavar="SOURCE")
    parser.add_argument("target", metavar="TARGET", help="what is there is replaced")
    parser.add_argument(
        "--if-generation",
        type=int,
        metavar="N",
        help="only if that is the target's generation now; 0: there is none",
    )
    add_json(parser)


def _link(rename: bool) -> Callable[[argparse.Namespace], int]:
    def run(args: argparse.Namespace) -> int:
        with open_store(args) as store:
            link = store.rename if rename else store.copy
            receipt = link(args.source, args.target, if_generation=args.if_generation)
        text = f"{args.source} is {'now' if rename else 'also'} {args.target}, generation "
        tell(attrs.asdict(receipt), text + str(receipt.generation), as_json=args.json)
        return 0

    return run


COMMANDS: Final = {
    "rm": Command(add_arguments=_add_rm_arguments, run=_rm, examples=_RM_EXAMPLES),
    "cp": Command(add_arguments=_add_two_keys, run=_link(rename=False), examples=_CP_EXAMPLES),
    "mv": Command(add_arguments=_add_two_keys, run=_link(rename=True), examples=_MV_EXAMPLES),
}
