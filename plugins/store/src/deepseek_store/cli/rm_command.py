"""`ds-sdk store rm`: deletes objects and folders."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Final

from deepseek_core import console, errors
from deepseek_store.at_once import CHANGES, AtOnce
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
from deepseek_store.cli.selection import add_names, folder_name, keys_of, selection_of
from deepseek_store.planning.amounts import counted

if TYPE_CHECKING:
    from deepseek_store.store import Store

_EXAMPLES: Final = """examples:
  ds-sdk store rm data runs/7/model.onnx
  ds-sdk store rm data runs/7 -r --dry-run         what would go
  ds-sdk store rm data runs/7 -r                   runs/7 and what lies in it, not runs/70
  ds-sdk store rm data 'runs/*/tmp' -r
  ds-sdk store rm data runs/7 --prefix             all whose key begins so: runs/70 too
  ds-sdk store rm data '**' -r                     everything

Snapshots keep what they hold. The space is freed by ds-sdk store gc."""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_home(parser)
    add_names(parser)
    parser.add_argument(
        "--recursive", "-r", action="store_true", help="folders with everything in them"
    )
    parser.add_argument("--force", "-f", action="store_true", help="ignore keys that do not exist")
    parser.add_argument(
        "--if-generation", type=int, metavar="N", help="only if its generation is N"
    )
    add_dry_run(parser)
    add_json(parser)
    add_quiet(parser)


def _run(args: argparse.Namespace) -> int:
    if not all(map(folder_name, args.names)):
        raise errors.ConfigError(
            "an empty name, or /, would be all of the store",
            remedy="ds-sdk store rm HOME '**' -r deletes everything",
        )
    with open_store(args) as store:
        view = KeyView(store)
        looked = ((key, view.look(key)) for key in _wanted(view, args))
        sizes = {key: info.nbytes for key, info in looked if info is not None}
        done = list(sizes) if args.dry_run else _delete(store, list(sizes), args)
        nbytes = sum(sizes[key] for key in done)
    objects = [key for key in done if not is_folder_mark(key)]
    verb = "would delete" if args.dry_run else "deleted"
    text = f"{verb} {counted(len(objects), 'object')}, {console.format_bytes(nbytes)}"
    facts = {"dry_run": args.dry_run, "deleted": objects, "nbytes": nbytes}
    listed = map(shown, objects) if args.dry_run else ()
    tell(facts, "\n".join([*listed, text]), as_json=args.json)
    return 0


def _wanted(view: KeyView, args: argparse.Namespace) -> list[str]:
    """Keys that are there; all are looked up before the first is deleted."""
    found: set[str] = set()
    for name in args.names:
        try:
            found.update(keys_of(view, selection_of(args, [name])))
        except errors.ObjectMissing as error:
            if not args.force or view.is_folder(name):
                error.message = f"{error.message}; nothing was deleted"
                raise
    return sorted(found)


def _delete(store: Store, keys: list[str], args: argparse.Namespace) -> list[str]:
    def delete(key: str) -> str | None:
        return key if store.delete(key, if_generation=args.if_generation) else None

    with (
        console.ProgressReporter("rm", quiet=args.quiet or len(keys) < 2) as progress,
        AtOnce(CHANGES) as at_once,
    ):
        done = []
        for key in at_once.results(delete, keys):
            if key is not None:
                done.append(key)
                progress(len(done), len(keys), shown(key))
    return sorted(done)


COMMANDS: Final = {
    "rm": Command(add_arguments=_add_arguments, run=_run, examples=_EXAMPLES),
}
