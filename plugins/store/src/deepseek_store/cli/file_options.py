"""The options of commands that read or write many files: links, filters, what is kept."""

from __future__ import annotations

import argparse
from contextlib import suppress
from pathlib import Path

from deepseek_core import errors
from deepseek_store.cli.local.file_facts import Kept
from deepseek_store.cli.local.patterns import Filter
from deepseek_store.cli.local.walk import Identity, Links, WalkOptions, identity


def add_kept(parser: argparse.ArgumentParser) -> None:
    """What beside its bytes is kept of a file, and brought back."""
    parser.add_argument("--no-mode", action="store_true", help="leave permissions out")
    parser.add_argument("--no-times", action="store_true", help="leave times of change out")


def add_walk(parser: argparse.ArgumentParser) -> None:
    """What is taken along from a folder."""
    links = parser.add_mutually_exclusive_group()
    links.add_argument(
        "-L",
        "--copy-links",
        action="store_true",
        help="follow symbolic links",
    )
    links.add_argument(
        "--links", action="store_true", help="keep symbolic links as links, broken ones too"
    )
    parser.add_argument("--no-empty-dirs", action="store_true", help="leave empty folders out")
    parser.add_argument(
        "-x",
        "--one-file-system",
        action="store_true",
        help="leave out what is mounted below the folder",
    )


def kept_of(args: argparse.Namespace) -> Kept:
    """What is to be kept."""
    return Kept(mode=not args.no_mode, times=not args.no_times)


def walk_options_of(args: argparse.Namespace, never: frozenset[Identity]) -> WalkOptions:
    """How to walk through a folder of this machine."""
    links: Links = "follow" if args.copy_links else "keep" if args.links else "skip"
    return WalkOptions(
        links=links,
        filter=Filter(args.rules),
        one_file_system=args.one_file_system,
        empty_folders=not args.no_empty_dirs,
        never=never,
    )


def check_outside(path: str, *, own: frozenset[Identity], never: frozenset[Identity]) -> None:
    """Whether a folder is none of the store's.

    `own` are folders that nobody else has anything in; beside a tier on a disk others may.

    Raises:
        InputError: it is one of the store's, or lies in one of its own.
    """
    at = Path(path).absolute()
    for folder in (at, *at.parents):
        with suppress(OSError):
            if identity(folder.stat()) in (own | never if folder == at else own):
                raise errors.InputError(
                    f"{path} is of the store itself, which has {folder} to itself",
                    remedy="choose a folder outside of it",
                )
