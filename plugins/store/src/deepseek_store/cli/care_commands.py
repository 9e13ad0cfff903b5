"""`ds-sdk store scrub`, `repair`, `fsck`, `gc` and `rebuild`: is all there, and put it right."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Final

import attrs

from deepseek_core import console
from deepseek_store.cli.common import (
    Command,
    add_dry_run,
    add_home,
    add_json,
    add_quiet,
    open_store,
    tell,
)
from deepseek_store.planning.amounts import counted

if TYPE_CHECKING:
    from deepseek_store.move.gc import GcReport

_SCRUB_EXAMPLES: Final = """examples:
  ds-sdk store scrub data                            all of it, as fast as it goes
  ds-sdk store scrub data --rate 50M --limit 20G     a part each night; the next run goes on there
  ds-sdk store scrub data --repair                   and rebuild what is damaged

Exit code 1: something is wrong that was not repaired."""

_REPAIR_EXAMPLES: Final = """examples:
  ds-sdk store repair data --dry-run     look, and say what would be repaired
  ds-sdk store repair data

It looks first: are all domains there, are all files and fragments there by name and length, are
the bytes of a sample right. What readers, scrubs and openings had found is repaired, too.
Fragments that can't be reached get another place, unless --wait. Exit code 1: something is left,
or a tier is away."""

_FSCK_EXAMPLES: Final = """examples:
  ds-sdk store fsck data
  ds-sdk store fsck data --deep     reads every byte

Exit code 1: something is lost or damaged."""

_GC_EXAMPLES: Final = """examples:
  ds-sdk store gc data --dry-run
  ds-sdk store gc data

What a move has replaced waits for grace_s of the policy. Where the disk of the home is short of
space, what lives in segments that are partly dead is rewritten, so that they can go."""

_REBUILD_EXAMPLES: Final = """examples:
  ds-sdk store rebuild data     when index.sqlite is lost or damaged

The log and the fragments on the tiers are the truth; the index is made from them alone. Snapshots
and pins come back from the notes in the home; heat is lost. No process may have the store open."""


def _add_scrub_arguments(parser: argparse.ArgumentParser) -> None:
    add_home(parser)
    parser.add_argument("--repair", action="store_true", help="repair what is wrong")
    parser.add_argument(
        "--rate", type=console.nbytes_of, metavar="SIZE", help="bytes to read a second: 50M"
    )
    parser.add_argument(
        "--limit", type=console.nbytes_of, metavar="SIZE", help="end after so many bytes"
    )
    parser.add_argument(
        "--shallow", action="store_true", help="only heads and ends of what is stored"
    )
    parser.add_argument("--restart", action="store_true", help="from the beginning")
    add_json(parser)
    add_quiet(parser)


def _scrub(args: argparse.Namespace) -> int:
    with open_store(args) as store, console.ProgressReporter("scrub", quiet=args.quiet) as progress:
        report = store.maintenance.scrub(
            repair=args.repair,
            bytes_per_s=args.rate,
            limit_nbytes=args.limit,
            deep=not args.shallow,
            resume=not args.restart,
            progress=progress,
        )
    tell(report.to_json(), "\n".join(report.sentences()), as_json=args.json)
    return 0 if report.ok else 1


def _add_repair_arguments(parser: argparse.ArgumentParser) -> None:
    add_home(parser)
    parser.add_argument("--wait", action="store_true", help="leave what can't be reached as it is")
    add_dry_run(parser)
    add_json(parser)
    add_quiet(parser)


def _repair(args: argparse.Namespace) -> int:
    with (
        open_store(args) as store,
        console.ProgressReporter("repair", quiet=args.quiet) as progress,
    ):
        report = store.maintenance.repair(
            unreachable=not args.wait, dry_run=args.dry_run, progress=progress
        )
    tell(report.to_json(), "\n".join(report.sentences()), as_json=args.json)
    return 0 if report.ok else 1


def _add_fsck_arguments(parser: argparse.ArgumentParser) -> None:
    add_home(parser, reads=True)
    parser.add_argument("--deep", action="store_true", help="read every byte")
    add_json(parser)


def _fsck(args: argparse.Namespace) -> int:
    with open_store(args) as store:
        report = store.maintenance.fsck(deep=args.deep)
    tell(report.to_json(), "\n".join(report.sentences()), as_json=args.json)
    return 0 if report.ok else 1


def _add_gc_arguments(parser: argparse.ArgumentParser) -> None:
    add_home(parser)
    add_dry_run(parser)
    add_json(parser)


def _gc(args: argparse.Namespace) -> int:
    with open_store(args) as store:
        report = store.maintenance.gc(dry_run=args.dry_run)
    tell(attrs.asdict(report), "\n".join(_freed(report)), as_json=args.json)
    return 0


def _freed(report: GcReport) -> list[str]:
    verb = "would free" if report.dry_run else "freed"
    gone = (
        (report.versions, "old version"),
        (report.tombstones, "tombstone"),
        (report.segments, "segment"),
        (report.stripes, "stripe"),
        (report.orphans, "orphan"),
    )
    parts = (
        ", ".join(counted(number, noun) for number, noun in gone if number) or "nothing to collect"
    )
    lines = [f"{verb} {console.format_bytes(report.freed_nbytes)}: {parts}"]
    if report.stripes_waiting:
        lines.append(
            f"{counted(report.stripes_waiting, 'stripe')} wait for the end of their grace period"
        )
    lines += _among_the_living(report)
    lines += [f"left alone: {what}" for what in report.unknown]
    return lines + [f"can't be reached: {place}" for place in report.unreachable]


def _among_the_living(report: GcReport) -> list[str]:
    """What becomes of space that is dead among objects that live."""
    lines = []
    if report.rewritten:
        verb = "would be" if report.dry_run else "was"
        what = counted(report.rewritten, "segment")
        lines.append(f"live data of {what} {verb} rewritten, since the disk is nearly full")
    if report.left_nbytes:
        left = f"{console.format_bytes(report.left_nbytes)} deleted, in segments with live data"
        if report.needed_nbytes:
            room = console.format_bytes(report.needed_nbytes)
            lines.append(f"{left}: free {room} on the disk of the home, then run gc again")
        else:
            lines.append(f"{left}; it is reclaimed when the disk is short of space")
    return lines


def _add_rebuild_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("home", metavar="HOME", help="the folder that `store init` made")
    parser.add_argument("--verify", action="store_true", help="read all bytes of the data, too")
    parser.add_argument(
        "--force",
        action="store_true",
        help="even if a tier can't be reached; what lies there is missing then",
    )
    add_json(parser)
    add_quiet(parser)


def _rebuild(args: argparse.Namespace) -> int:
    from deepseek_store.store import Store

    with console.ProgressReporter("rebuild", quiet=args.quiet) as progress:
        report = Store.rebuild(args.home, verify=args.verify, force=args.force, progress=progress)
    tell(report.to_json(), "\n".join(report.sentences()), as_json=args.json)
    return 0 if report.ok else 1


COMMANDS: Final = {
    "scrub": Command(add_arguments=_add_scrub_arguments, run=_scrub, examples=_SCRUB_EXAMPLES),
    "repair": Command(add_arguments=_add_repair_arguments, run=_repair, examples=_REPAIR_EXAMPLES),
    "fsck": Command(add_arguments=_add_fsck_arguments, run=_fsck, examples=_FSCK_EXAMPLES),
    "gc": Command(add_arguments=_add_gc_arguments, run=_gc, examples=_GC_EXAMPLES),
    "rebuild": Command(
        add_arguments=_add_rebuild_arguments, run=_rebuild, examples=_REBUILD_EXAMPLES
    ),
}
