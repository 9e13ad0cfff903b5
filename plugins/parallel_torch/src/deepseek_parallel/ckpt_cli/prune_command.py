"""`ds-sdk ckpt prune`: take away checkpoints that newer, verified ones supersede."""

from __future__ import annotations

import argparse
import secrets
from typing import Final

from deepseek_core import console
from deepseek_parallel.checkpoint import claim
from deepseek_parallel.checkpoint.place import Place
from deepseek_parallel.checkpoint.verifying import Pruning, plan_pruning, remove
from deepseek_parallel.ckpt_cli.common import add_json, add_url, bytes_told, check_count, opened

EXAMPLES: Final = """examples:
  ds-sdk ckpt prune runs/first --keep 2 --dry-run     what would go
  ds-sdk ckpt prune runs/first --keep 2

The newest N that are whole stay: each is read and verified first. Older ones go, and so do saves
that did not come to their end. Damaged ones and copies under another name are left alone.

exit codes: 0 done, 1 none is whole, or something can't be removed, 2 wrong arguments"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_url(parser)
    parser.add_argument(
        "--keep", required=True, type=int, metavar="N", help="how many whole checkpoints stay"
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would go, and leave it")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Prune; 1 if no checkpoint is whole.

    Raises:
        AnotherWriter: a training saves there, and prunes itself.
        WriteError: something can't be removed.
    """
    check_count("--keep", args.keep)
    place, found = opened(args.url)
    nbytes = sum(one.manifest.nbytes for one in found.committed[-args.keep :])
    if args.dry_run:
        with bytes_told("verifying", nbytes, quiet=args.json) as tell:
            plan = plan_pruning(place, found, args.keep, tell)
    else:
        run = secrets.token_hex(8)
        claim.take(place, run, [claim.this_process()])
        try:
            with bytes_told("verifying", nbytes, quiet=args.json) as tell:
                plan = plan_pruning(place, found, args.keep, tell)
            _remove(place, plan)
        finally:
            claim.release(place, run)
    _tell(args, plan)
    return 0 if plan.kept else 1


def _remove(place: Place, plan: Pruning) -> None:
    for folder in (*(one.folder for one in plan.superseded), *plan.torn):
        remove(place, folder)


def _tell(args: argparse.Namespace, plan: Pruning) -> None:
    freed = sum(one.manifest.nbytes for one in plan.superseded)
    if args.json:
        facts = {
            "schema": 1,
            "dry_run": args.dry_run,
            "kept": [one.folder for one in plan.kept],
            "removed": [one.folder for one in plan.superseded],
            "torn": list(plan.torn),
            "damaged": [one.folder for one in plan.damaged],
            "freed_nbytes": freed,
        }
        console.print_json(facts, indent=1)
        return
    verb = "would go" if args.dry_run else "removed"
    rows = [
        *((str(o.manifest.step), o.folder, "stays, whole") for o in plan.kept),
        *((str(o.step), o.folder, "stays, damaged") for o in plan.damaged),
        *((str(o.manifest.step), o.folder, verb) for o in plan.superseded),
        *(("", name, f"{verb}, a save without an end") for name in plan.torn),
    ]
    console.print_table(("STEP", "FOLDER", "WHAT"), rows)
    console.print_text(
        f"{console.format_bytes(freed)} {'to be freed' if args.dry_run else 'freed'}"
    )
