"""`ds-sdk store plan` and `apply`: what should move now, and that it does."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Final

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
    from deepseek_store.planning.moves import MovePlan
    from deepseek_store.store import Store

_PLAN_EXAMPLES: Final = """examples:
  ds-sdk store plan data
  ds-sdk store plan data --flush              also stripes that are not full
  ds-sdk store plan data --budget 10G --json"""

_APPLY_EXAMPLES: Final = """examples:
  ds-sdk store apply data --budget 10G        the moves most worth it, up to 10 GiB of writing
  ds-sdk store apply data --flush --dry-run

A move copies, reads back, switches the index and only then lets go: a crash loses nothing."""


def _add_plan_arguments(parser: argparse.ArgumentParser) -> None:
    add_home(parser)
    parser.add_argument("--flush", action="store_true", help="write stripes that are not full, too")
    parser.add_argument(
        "--budget",
        type=console.nbytes_of,
        metavar="SIZE",
        help="bytes that moves may write, such as 10G",
    )
    add_json(parser)


def _plan(args: argparse.Namespace) -> int:
    with open_store(args) as store:
        moves = store.maintenance.plan(flush=args.flush, budget_nbytes=args.budget)
    tell(moves.to_json(), "\n".join(moves.sentences()), as_json=args.json)
    return 0


def _add_apply_arguments(parser: argparse.ArgumentParser) -> None:
    _add_plan_arguments(parser)
    add_dry_run(parser)
    add_quiet(parser)


def _apply(args: argparse.Namespace) -> int:
    with open_store(args) as store:
        moves = store.maintenance.plan(flush=args.flush, budget_nbytes=args.budget)
        done = 0 if args.dry_run else _carry_out(store, moves, args.quiet)
    sentences = moves.sentences()
    if not args.dry_run:
        written = console.format_bytes(moves.written_nbytes)
        # The plan's own last words are of what waits; those of its moves were progress.
        sentences = (
            f"{counted(done, 'move')} done, {written} written",
            *sentences[len(moves) + 1 :],
        )
    facts = {**moves.to_json(), "dry_run": args.dry_run, "done": done}
    tell(facts, "\n".join(sentences), as_json=args.json)
    return 0


def _carry_out(store: Store, moves: MovePlan, quiet: bool) -> int:
    with console.ProgressReporter("apply", quiet=quiet) as progress:
        return store.maintenance.apply(moves, progress=progress)


COMMANDS: Final = {
    "plan": Command(add_arguments=_add_plan_arguments, run=_plan, examples=_PLAN_EXAMPLES),
    "apply": Command(add_arguments=_add_apply_arguments, run=_apply, examples=_APPLY_EXAMPLES),
}
