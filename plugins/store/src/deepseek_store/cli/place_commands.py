"""`ds-sdk store pin`, `unpin` and `send`: where objects are to lie."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from deepseek_core import console, errors
from deepseek_store.cli.common import (
    Command,
    add_dry_run,
    add_home,
    add_json,
    add_quiet,
    open_store,
    tell,
)
from deepseek_store.cli.key_view import KeyView, is_folder_mark
from deepseek_store.cli.partial_failures import shown
from deepseek_store.cli.selection import add_names, keys_of, selection_of
from deepseek_store.planning.amounts import counted

if TYPE_CHECKING:
    from deepseek_store.store import Store

_TIERS: Final = ("hot", "warm", "cold")

_PIN_EXAMPLES: Final = """examples:
  ds-sdk store pin data models --tier hot      ds-sdk store apply brings them there
  ds-sdk store pin data runs/2024 runs/2025 --tier cold
  ds-sdk store pin data 'runs/*/model.onnx' --tier hot

A pin is for the objects that are there now."""

_UNPIN_EXAMPLES: Final = """examples:
  ds-sdk store unpin data models
  ds-sdk store unpin data /                    all"""

_SEND_EXAMPLES: Final = """examples:
  ds-sdk store send data runs/2024 --tier cold
  ds-sdk store send data train --tier hot      into the log on the local disk, before a job starts
  ds-sdk store send data runs/7/model.onnx --tier hot --dry-run

Objects that are sent together share stripes. To keep them there, pin them. From Python,
store.prefetch(order) fetches ahead of a reader whose order is known."""

_WARM_EXAMPLES: Final = """examples:
  ds-sdk store send data train --tier hot      what ds-sdk store warm did"""


def _add_tier(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--tier", choices=_TIERS, help="where to; may also be the last word: KEY ... cold"
    )


def _add_recursive(parser: argparse.ArgumentParser) -> None:
    """Folders are taken without it, too: hands that know the other commands write it."""
    parser.add_argument(
        "--recursive", "-r", action="store_true", default=True,
        help="folders with everything in them; they are taken without it, too",
    )  # fmt: skip


def _take_tier(args: argparse.Namespace) -> str:
    """The tier, which the last word names where no option does."""
    if args.tier is not None:
        return str(args.tier)
    if len(args.names) > 1 and args.names[-1] in _TIERS:
        return str(args.names.pop())
    raise errors.ConfigError("to which tier?", remedy="--tier hot, --tier warm or --tier cold")


def _add_pin_arguments(parser: argparse.ArgumentParser) -> None:
    add_home(parser)
    add_names(parser)
    _add_recursive(parser)
    _add_tier(parser)
    add_json(parser)


def _pin(args: argparse.Namespace) -> int:
    tier = _take_tier(args)
    with open_store(args) as store:
        _check_tier(store, tier)  # refused now rather than by each later plan
        pinned = store.maintenance.pin_keys(_keys(store, args), tier)
    brought = f"ds-sdk store apply {shlex.quote(args.home)} brings them there"
    text = f"pinned {counted(pinned, 'object')} to {tier}; {brought}"
    tell({"objects": pinned, "tier": tier}, text, as_json=args.json)
    return 0


def _keys(store: Store, args: argparse.Namespace) -> list[str]:
    """Objects with bytes to be somewhere; marks of folders have none."""
    return [key for key in keys_of(KeyView(store), selection_of(args)) if not is_folder_mark(key)]


def _check_tier(store: Store, tier: str) -> None:
    if tier != "hot":
        store.parts.tiers.places(tier)


def _add_unpin_arguments(parser: argparse.ArgumentParser) -> None:
    add_home(parser)
    add_names(parser)
    _add_recursive(parser)
    add_json(parser)


def _unpin(args: argparse.Namespace) -> int:
    with open_store(args) as store:
        freed = store.maintenance.pin_keys(_keys(store, args), None)
    text = f"{counted(freed, 'object')}: their use decides again"
    tell({"objects": freed}, text, as_json=args.json)
    return 0


def _add_send_arguments(parser: argparse.ArgumentParser) -> None:
    add_home(parser)
    add_names(parser)
    _add_recursive(parser)
    _add_tier(parser)
    add_dry_run(parser)
    add_json(parser)
    add_quiet(parser)


def _send(args: argparse.Namespace) -> int:
    tier = _take_tier(args)
    with open_store(args) as store:
        keys = _keys(store, args)
        nbytes = sum(store.stat(key).nbytes for key in keys)
        _check_tier(store, tier)
        if tier == "hot":
            _check_room(store, nbytes)
        if not args.dry_run:
            _bring(store, keys, tier, args)
    verb = "would send" if args.dry_run else "sent"
    text = f"{verb} {counted(len(keys), 'object')}, {console.format_bytes(nbytes)}, to {tier}"
    facts = {"dry_run": args.dry_run, "objects": len(keys), "nbytes": nbytes, "tier": tier}
    tell(facts, text, as_json=args.json)
    return 0


def _check_room(store: Store, nbytes: int) -> None:
    from deepseek_store.log.reserve import free_nbytes

    free = free_nbytes(store.home)
    if nbytes > free:
        raise errors.TierFull(
            f"{console.format_bytes(nbytes)} do not fit in the {console.format_bytes(free)} "
            f"that are free in {store.home}",
            url=store.url,
            remedy="send less, or ds-sdk store gc HOME",
        )


def _bring(store: Store, keys: Sequence[str], tier: str, args: argparse.Namespace) -> None:
    if tier != "hot":
        store.maintenance.send(keys, tier)  # together, so that they share stripes
        return
    with console.ProgressReporter("send", quiet=args.quiet) as progress:
        for done, key in enumerate(keys):
            progress(done, len(keys), shown(key))
            store.maintenance.send([key], tier)
        progress(len(keys), len(keys), "done")


def _add_warm_arguments(parser: argparse.ArgumentParser) -> None:
    add_home(parser)
    add_names(parser)
    parser.set_defaults(tier="hot")
    add_dry_run(parser)
    add_json(parser)
    add_quiet(parser)


def _warm(args: argparse.Namespace) -> int:
    words = shlex.join([args.home, *args.names])
    console.print_note(f"note: this is now: ds-sdk store send {words} --tier hot")
    return _send(args)


COMMANDS: Final = {
    "pin": Command(add_arguments=_add_pin_arguments, run=_pin, examples=_PIN_EXAMPLES),
    "unpin": Command(add_arguments=_add_unpin_arguments, run=_unpin, examples=_UNPIN_EXAMPLES),
    "send": Command(add_arguments=_add_send_arguments, run=_send, examples=_SEND_EXAMPLES),
    "warm": Command(add_arguments=_add_warm_arguments, run=_warm, examples=_WARM_EXAMPLES),
}
