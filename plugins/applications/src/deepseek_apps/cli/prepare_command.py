"""`ds-sdk app NAME prepare`: from a user's data to parts that a training reads."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from deepseek_apps.cli import common
from deepseek_apps.work.elsewhere import is_url
from deepseek_apps.work.folder import WorkFolder
from deepseek_core import applications, console, errors

EXAMPLES: Final = """examples:
  ds-sdk app NAME prepare work --data DATA                 a file or a folder; see ds-sdk app list
  ds-sdk app NAME prepare work --data ds://parts           of a store: $DEEPSEEK_STORE_HOME
  ds-sdk app NAME prepare work --data DATA --set seed=3    an option; ds-sdk app NAME --help has all
  ds-sdk app NAME prepare work --data DATA --again         in the place of what was prepared

It leaves FOLDER/data and FOLDER/app.json, or the folder as it was."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    common.add_folder(parser)
    parser.add_argument(
        "--data", required=True, metavar="DATA",
        help="your data: a file or a folder, or its URL: ds://parts, s3://bucket/parts",
    )  # fmt: skip
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", dest="pairs",
        help="an option of the application",
    )  # fmt: skip
    common.add_again(parser, "replace what was prepared before")


def run(args: argparse.Namespace) -> int:
    """Prepare, and print the data card.

    Raises:
        InputError: data that can't be used.
        ConfigError: an option or a folder that can't be used.
    """
    common.check_threads(args.threads)
    source = args.data if is_url(args.data) else _path(Path(args.data), args.folder)
    options = common.settings_of(args.pairs)
    opened = applications.open_application(args.application, options)
    with common.at_work(args, "prepare") as context:
        work = WorkFolder(args.folder, args.application)
        card = work.prepare(opened, source, context, again=args.again)
    if args.json:
        console.print_json({"schema": 1, "folder": str(args.folder), "card": card.to_json()})
    else:
        _print(args, card)
    return 0


def _path(data: Path, work: Path) -> Path:
    """Data that lie here, by their whole path."""
    if not data.exists():
        raise errors.InputError(f"no such file or folder: {data}", remedy="check --data")
    if work.resolve().is_relative_to(data.resolve()):
        raise errors.ConfigError(
            f"the work folder {work} lies in the data {data}: it would be read",
            remedy="choose a work folder elsewhere",
        )
    return data.resolve()


def _print(args: argparse.Namespace, card: applications.DataCard) -> None:
    counts = ", ".join(f"{count:,} {part}" for part, count in card.parts.items())
    console.print_text(f"prepared in {args.folder}: {counts}")
    console.print_text(f"split: {card.split} ({card.split_hash[:12]})")
    console.print_text(f"data: {card.source}; license: {card.license}")
    for warning in card.warnings:
        console.print_text(f"warning: {warning}")
    for note in card.notes:
        console.print_text(note)
    console.print_text(f"next: ds-sdk app {args.application} train {args.folder} --seeds 0-4")
