"""`ds-sdk store pin`, `unpin`, `send` and `warm`: where objects are to lie."""

from __future__ import annotations

import argparse
from typing import Final

from deepseek_core import console, errors
from deepseek_store.cli.common import (
    Command,
    add_dry_run,
    add_home,
    add_json,
    add_quiet,
    count,
    keys_below,
    open_store,
    tell,
)

_TIERS: Final = ("hot", "warm", "cold")

_PIN_EXAMPLES: Final = """examples:
  ds-sdk store pin data models/ hot       ds-sdk store apply brings them there
  ds-sdk store pin data archive/ cold"""

_UNPIN_EXAMPLES: Final = """examples:
  ds-sdk store unpin data models/"""

_SEND_EXAMPLES: Final = """examples:
  ds-sdk store send data runs/2024/ cold
  ds-sdk store send data runs/7/model.onnx hot --dry-run

Objects that are sent together share stripes. To keep them there, pin them."""

_WARM_EXAMPLES: Final = """examples:
  ds-sdk store warm data train/           into the log on the local disk, before the job starts

From Python, store.prefetch(order) fetches ahead of a reader whose order is known."""


def _add_prefix(parser: argparse.ArgumentParser) -> None:
    add_home(parser)
    parser.add_argument("prefix", metavar="PREFIX", help="all objects whose key begins so")


def _add_pin_arguments(parser: argparse.ArgumentParser) -> None:
    _add_prefix(parser)
    parser.add_argument("tier", choices=_TIERS)
    add_json(parser)


def _pin(args: argparse.Namespace) -> int:
    with open_store(args) as store:
        if args.tier != "hot":
            store.parts.tiers.places(args.tier)  # refused now rather than by each later plan
        keys_below(store, args.prefix)
        pinned = store.pin(args.prefix, args.tier)
    text = f"pinned {count(pinned, 'object')} to {args.tier}; ds-sdk store apply brings them there"
    tell({"objects": pinned, "tier": args.tier}, text, as_json=args.json)
    return 0


def _add_unpin_arguments(parser: argparse.ArgumentParser) -> None:
    _add_prefix(parser)
    add_json(parser)


def _unpin(args: argparse.Namespace) -> int:
    with open_store(args) as store:
        keys_below(store, args.prefix)
        freed = store.unpin(args.prefix)
    text = f"{count(freed, 'object')} of that prefix: their temperature decides"
    tell({"objects": freed}, text, as_json=args.json)
    return 0


def _add_send_arguments(parser: argparse.ArgumentParser) -> None:
    _add_prefix(parser)
    parser.add_argument("tier", choices=_TIERS)
    _add_send_options(parser)


def _add_send_options(parser: argparse.ArgumentParser) -> None:
    add_dry_run(parser)
    add_json(parser)


def _send(args: argparse.Namespace) -> int:
    with open_store(args) as store:
        keys = keys_below(store, args.prefix)
        nbytes = sum(store.stat(key).nbytes for key in keys)
        if args.tier != "hot":
            store.parts.tiers.places(args.tier)
        if not args.dry_run:
            store.send(keys, args.tier)
    verb = "would send" if args.dry_run else "sent"
    text = f"{verb} {count(len(keys), 'object')}, {console.format_bytes(nbytes)}, to {args.tier}"
    facts = {"dry_run": args.dry_run, "objects": len(keys), "nbytes": nbytes, "tier": args.tier}
    tell(facts, text, as_json=args.json)
    return 0


def _add_warm_arguments(parser: argparse.ArgumentParser) -> None:
    _add_prefix(parser)
    add_quiet(parser)
    _add_send_options(parser)


def _warm(args: argparse.Namespace) -> int:
    """Into the hot tier: the cache in memory would be gone with this process."""
    from deepseek_store.move.census import free_nbytes

    with open_store(args) as store:
        keys = keys_below(store, args.prefix)
        nbytes = sum(store.stat(key).nbytes for key in keys)
        free = free_nbytes(store.home)
        if nbytes > free:
            raise errors.TierFull(
                f"{console.format_bytes(nbytes)} do not fit in the {console.format_bytes(free)} "
                f"that are free in {store.home}",
                url=store.url,
                remedy="warm less, or ds-sdk store gc HOME",
            )
        if not args.dry_run:
            with console.ProgressReporter("warm", quiet=args.quiet) as progress:
                for done, key in enumerate(keys):
                    progress(done, len(keys), key)
                    store.send([key], "hot")
                progress(len(keys), len(keys), "done")
    verb = "would bring" if args.dry_run else "brought"
    text = f"{verb} {count(len(keys), 'object')}, {console.format_bytes(nbytes)}, to hot"
    facts = {"dry_run": args.dry_run, "objects": len(keys), "nbytes": nbytes}
    tell(facts, text, as_json=args.json)
    return 0


COMMANDS: Final = {
    "pin": Command(add_arguments=_add_pin_arguments, run=_pin, examples=_PIN_EXAMPLES),
    "unpin": Command(add_arguments=_add_unpin_arguments, run=_unpin, examples=_UNPIN_EXAMPLES),
    "send": Command(add_arguments=_add_send_arguments, run=_send, examples=_SEND_EXAMPLES),
    "warm": Command(add_arguments=_add_warm_arguments, run=_warm, examples=_WARM_EXAMPLES),
}
