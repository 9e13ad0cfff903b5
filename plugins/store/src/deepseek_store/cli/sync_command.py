"""`ds-sdk store sync`: makes a folder here and one in the store the same, either way."""

from __future__ import annotations

import argparse
import os
import shlex
import time
from typing import Final

import attrs

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
from deepseek_store.cli.file_options import add_kept, add_walk
from deepseek_store.cli.partial_failures import Troubles, shown
from deepseek_store.cli.selection import add_filter, folder_name
from deepseek_store.cli.sync_directions import Done, Sides, SyncDown, SyncUp
from deepseek_store.planning.amounts import counted

_EXAMPLES: Final = """examples:
  ds-sdk store sync data images ds://train               the folder images into the store
  ds-sdk store sync data ds://train images               and out of it
  ds-sdk store sync data images ds://train --delete      what only the target has goes
  ds-sdk store sync data images ds://train --dry-run     what would be done
  ds-sdk store sync data images ds://train --checksum    compare bytes, not times
  ds-sdk store sync data . ds:// --exclude '.git/' --exclude 'node_modules/'

What is in SOURCE comes to lie in TARGET, with a slash behind their names or without one, as
`rclone sync` has it. Files are the same if their size and time of change are; unchanged ones are
not read. Deletes nothing without --delete, nothing that a filter leaves out, and nothing at all
where SOURCE could not be read whole."""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_home(parser)
    parser.add_argument("source", metavar="SOURCE", help="a folder here, or ds://FOLDER")
    parser.add_argument("target", metavar="TARGET", help="the other one")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("-c", "--checksum", action="store_true", help="compare bytes, not times")
    how.add_argument("--size-only", action="store_true", help="compare nothing but sizes")
    parser.add_argument(
        "--modify-window",
        type=float,
        default=0.0,
        metavar="S",
        help="times that differ less are the same",
    )
    parser.add_argument("--delete", action="store_true", help="delete what only TARGET has")
    parser.add_argument(
        "--max-delete", type=int, metavar="N", help="do nothing if more were to be deleted"
    )
    parser.add_argument(
        "--snapshot", metavar="NAME", help="the store as it was in this snapshot, as SOURCE"
    )
    add_filter(parser)
    add_walk(parser)
    add_kept(parser)
    add_dry_run(parser)
    add_json(parser)
    add_quiet(parser)


def _run(args: argparse.Namespace) -> int:
    start_s = time.monotonic()
    sides = _sides(args)
    troubles = Troubles()
    with open_store(args) as store:
        sync = (SyncUp if sides.up else SyncDown)(store, args, sides, troubles)
        done = sync.run()
    facts = {
        "dry_run": args.dry_run,
        "direction": "up" if sides.up else "down",
        **attrs.asdict(done),
        **troubles.to_json(),
    }
    text = _text(args, done, troubles, time.monotonic() - start_s)
    tell(facts, text, as_json=args.json)
    return troubles.exit_code


def _sides(args: argparse.Namespace) -> Sides:
    from deepseek_store.fs.address import split

    stored = [text.startswith("ds:") for text in (args.source, args.target)]
    if all(stored):
        paths = [url.removeprefix("ds:").strip("/") for url in (args.source, args.target)]
        source, target = (shlex.quote(f"{path}/") for path in paths)
        raise errors.ConfigError(
            "SOURCE and TARGET are both of the store",
            remedy=f"ds-sdk store cp HOME {source} {target} -r",
        )
    if not any(stored):
        guess = f"{args.source} ds://{args.target.lstrip('/')}"
        raise errors.ConfigError(
            "one of SOURCE and TARGET is a folder of the store, and begins with ds://",
            remedy=f"ds-sdk store sync HOME {guess}",
        )
    url, local = (args.source, args.target) if stored[0] else (args.target, args.source)
    home, path = split(url if url.startswith("ds://") else f"ds://{url[3:]}")
    if home is not None and os.path.realpath(home) != os.path.realpath(args.home):
        raise errors.ConfigError(
            f"{url} is of another store than {args.home}", remedy=f"ds://{path}"
        )
    if args.snapshot is not None and stored[1]:
        raise errors.ConfigError("a snapshot can't be written to", remedy="leave --snapshot out")
    return Sides(local=local, folder=folder_name(path), up=stored[1])


def _text(args: argparse.Namespace, done: Done, troubles: Troubles, took_s: float) -> str:
    """`copied 3 files (1.2 MiB), deleted 2, 9,995 the same, in 1.3 s`, and which in a dry run."""
    would = "would copy" if args.dry_run else "copied"
    files = sum(not path.endswith("/") for path in done.copied)
    parts = [f"{would} {counted(files, 'file')} ({console.format_bytes(done.nbytes)})"]
    if args.delete:
        parts.append(f"{'would delete' if args.dry_run else 'deleted'} {len(done.deleted):,}")
    if done.permissions:
        parts.append(f"permissions of {done.permissions:,}")
    parts.append(f"{done.same:,} the same")
    parts += filter(None, [troubles.sentence(), f"in {console.format_seconds(took_s)}"])
    lines = []
    if args.dry_run:
        lines += [f"would copy {shown(path)}" for path in done.copied]
        lines += [f"would delete {shown(path)}" for path in done.deleted]
    return "\n".join([*lines, ", ".join(parts)])


COMMANDS: Final = {
    "sync": Command(add_arguments=_add_arguments, run=_run, examples=_EXAMPLES),
}
