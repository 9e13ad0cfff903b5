"""What the commands share: the URL, the step, and bytes done."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager

from deepseek_core import console, errors
from deepseek_parallel.checkpoint.listing import Listing, listing
from deepseek_parallel.checkpoint.place import Place
from deepseek_parallel.checkpoint.verifying import Tell
from deepseek_parallel.errors import CheckpointMissing


def add_url(parser: argparse.ArgumentParser) -> None:
    """Declare the URL."""
    parser.add_argument("url", metavar="URL", help="a folder, ds://..., or any URL of fsspec")


def add_step(parser: argparse.ArgumentParser, default: str) -> None:
    """Declare the step."""
    parser.add_argument(
        "--step", type=int, metavar="N", help=f"the checkpoint of this step (default: {default})"
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    """Declare `--json`."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def opened(url: str) -> tuple[Place, Listing]:
    """The place, and the checkpoints there.

    Raises:
        CheckpointMissing: there are none, not even torn or foreign ones.
    """
    place = Place(url)
    found = listing(place)
    if not (found.committed or found.damaged or found.torn or found.foreign):
        raise CheckpointMissing(
            f"{place.url} has no checkpoint",
            remedy="see to the URL: a checkpoint has a folder below it, and a manifest in that",
        )
    return place, found


def check_count(name: str, value: int) -> None:
    """See that it is 1 or more.

    Raises:
        ConfigError: it is not.
    """
    if value < 1:
        raise errors.ConfigError(f"{name} is {value}", remedy=f"give 1 or more: {name} 1")


@contextmanager
def bytes_told(title: str, nbytes: int, *, quiet: bool) -> Iterator[Tell]:
    """Progress over bytes; what it gives is called with those of each piece."""
    done = 0
    with console.ProgressReporter(title, quiet=quiet, shown=console.format_bytes) as report:

        def tell(piece_nbytes: int) -> None:
            nonlocal done
            done += piece_nbytes
            report(min(done, nbytes), nbytes, "")

        yield tell
