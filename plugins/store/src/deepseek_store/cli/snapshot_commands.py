"""`ds-sdk store snapshot`, `restore`, `snapshots`: all objects as they were at one moment."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from typing import Final

import attrs

from deepseek_core import console, errors
from deepseek_store.cli.common import (
    Command,
    add_dry_run,
    add_home,
    add_json,
    open_store,
    tell,
)
from deepseek_store.planning.amounts import counted

_SNAPSHOT_EXAMPLES: Final = """examples:
  ds-sdk store snapshot data before-cleaning
  ds-sdk store get data config.json - --snapshot before-cleaning
  ds-sdk store snapshot data before-cleaning --drop      its space is freed by ds-sdk store gc"""

_RESTORE_EXAMPLES: Final = """examples:
  ds-sdk store restore data before-cleaning --dry-run
  ds-sdk store restore data before-cleaning              all objects, as they were then
  ds-sdk store restore data before-cleaning runs/1       those in runs/1 only"""

_SNAPSHOTS_EXAMPLES: Final = """examples:
  ds-sdk store snapshots data"""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_home(parser)
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("--drop", action="store_true", help="let go of it instead")
    add_json(parser)


def _snapshot(args: argparse.Namespace) -> int:
    with open_store(args) as store:
        if args.drop:
            if not store.drop_snapshot(args.name):
                raise errors.InputError(
                    f"there is no snapshot {args.name!r}", remedy="ds-sdk store snapshots HOME"
                )
            tell({"dropped": args.name}, f"dropped {args.name}", as_json=args.json)
            return 0
        made = store.snapshot(args.name)
    text = f"{made.name}: {counted(made.count, 'object')}; nothing was copied"
    tell(attrs.asdict(made), text, as_json=args.json)
    return 0


def _add_restore_arguments(parser: argparse.ArgumentParser) -> None:
    add_home(parser)
    parser.add_argument("name", metavar="NAME", help="the snapshot")
    parser.add_argument(
        "only", metavar="KEY", nargs="?", default="", help="only this object, or this folder"
    )
    add_dry_run(parser)
    add_json(parser)


def _restore(args: argparse.Namespace) -> int:
    """Objects that were not there then are deleted; nothing is copied."""
    with open_store(args) as store:
        done = store.restore(args.name, args.only, dry_run=args.dry_run)
    would = "would be " if args.dry_run else ""
    text = (
        f"{counted(done.restored, 'object')} {would}restored, {done.deleted:,} {would}deleted, "
        f"{done.same:,} as in {args.name}"
    )
    tell({"dry_run": args.dry_run, **attrs.asdict(done)}, text, as_json=args.json)
    return 0


def _add_list_arguments(parser: argparse.ArgumentParser) -> None:
    add_home(parser, reads=True)
    add_json(parser)


def _snapshots(args: argparse.Namespace) -> int:
    with open_store(args) as store:
        found = list(store.snapshots())
    rows = [
        (
            f"{datetime.fromtimestamp(row.created_s, UTC):%Y-%m-%d %H:%M:%SZ}",
            f"{row.count:,}",
            row.name,
        )
        for row in found
    ]
    text = console.render_table(("MADE", "OBJECTS", "NAME"), rows) if rows else "no snapshots"
    tell({"snapshots": found}, text, as_json=args.json)
    return 0


COMMANDS: Final = {
    "snapshot": Command(add_arguments=_add_arguments, run=_snapshot, examples=_SNAPSHOT_EXAMPLES),
    "restore": Command(
        add_arguments=_add_restore_arguments, run=_restore, examples=_RESTORE_EXAMPLES
    ),
    "snapshots": Command(
        add_arguments=_add_list_arguments, run=_snapshots, examples=_SNAPSHOTS_EXAMPLES
    ),
}
