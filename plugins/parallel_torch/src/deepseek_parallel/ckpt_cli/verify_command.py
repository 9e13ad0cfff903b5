"""`ds-sdk ckpt verify`: whether the files of checkpoints are those that were saved."""

from __future__ import annotations

import argparse
from typing import Final

import attrs

from deepseek_core import console
from deepseek_parallel.checkpoint.listing import Listing
from deepseek_parallel.checkpoint.verifying import Verified, verify
from deepseek_parallel.ckpt_cli.common import add_json, add_step, add_url, bytes_told, opened

EXAMPLES: Final = """examples:
  ds-sdk ckpt verify runs/first
  ds-sdk ckpt verify ds://runs/first --step 2000
  ds-sdk ckpt verify runs/first --json             for a script

Every file is read and its hash compared with the manifest. Files that no manifest names are told
and do no harm. Saves that did not come to their end are told, too: they do not count.

exit codes: 0 all are whole, 1 a file is missing or was changed, 2 there is nothing to verify"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_url(parser)
    add_step(parser, "all")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Verify; 1 if something is damaged.

    Raises:
        CheckpointMissing: there is none to verify.
        InputError: a file is there and can't be read.
    """
    place, found = opened(args.url)
    chosen = found.committed if args.step is None else (found.of_step(args.step, place.url),)
    damaged = found.damaged if args.step is None else ()
    if not chosen and not damaged:
        found.chosen(args.step, place.url)  # says why there is none
    nbytes = sum(one.manifest.nbytes for one in chosen)
    with bytes_told("verifying", nbytes, quiet=args.json) as tell:
        verified = [verify(place, one, tell) for one in chosen]
    is_whole = not damaged and all(one.is_whole for one in verified)
    if args.json:
        console.print_json(_facts(place.url, found, verified, is_whole), indent=1)
        return 0 if is_whole else 1
    console.print_table(("STEP", "FOLDER", "FILES", "SIZE", "STATE"), [_row(o) for o in verified])
    for one in verified:
        for what in ("missing", "changed", "extra"):
            for path in getattr(one, what):
                console.print_lines(f"{what}: {one.folder}/{path}".replace(": /", ": "))
    for folder, error in damaged:
        console.print_text(f"{folder}: {error}")
    for folder in found.torn:
        console.print_text(f"{folder}: a save that did not come to its end; it does not count")
    return 0 if is_whole else 1


def _row(one: Verified) -> tuple[str, ...]:
    state = "whole" if one.is_whole else "damaged"
    return (
        str(one.step), one.folder, str(one.num_files), console.format_bytes(one.nbytes), state
    )  # fmt: skip


def _facts(url: str, found: Listing, verified: list[Verified], is_whole: bool) -> dict[str, object]:
    return {
        "schema": 1,
        "url": url,
        "whole": is_whole,
        "checkpoints": [attrs.asdict(one) | {"whole": one.is_whole} for one in verified],
        "damaged_manifests": [{"folder": f, "error": str(e)} for f, e in found.damaged],
        "torn": list(found.torn),
    }
