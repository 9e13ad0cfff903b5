"""What the steps of an application have in common: the work folder, seeds, options, progress."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from deepseek_apps.work.folder import WorkFolder
from deepseek_core import applications, console, errors

_MOST_SEEDS: Final = 100


def add_folder(parser: argparse.ArgumentParser, *, all_cores: bool = False) -> None:
    """Declare the work folder and what every step has."""
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="work folder of the job")
    told = "OMP_NUM_THREADS, or all cores" if all_cores else "1"
    parser.add_argument(
        "--threads", type=int, default=_all_threads() if all_cores else 1, metavar="N",
        help=f"that it may use (default: {told})",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _all_threads() -> int:
    told = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(told) if told.isdecimal() and int(told) else console.usable_cores()


def add_again(parser: argparse.ArgumentParser, what: str) -> None:
    """Declare that what was done may be done again."""
    parser.add_argument("--again", action="store_true", help=what)


def opened_in(args: argparse.Namespace) -> tuple[WorkFolder, applications.OpenedApplication]:
    """The work folder, and the application with the options that were set when it was prepared.

    Raises:
        ConfigError: nothing was prepared there, or by another application; threads below 1.
    """
    check_threads(args.threads)
    work = WorkFolder(args.folder, args.application)
    return work, applications.open_application(args.application, work.state().options)


def check_threads(threads: int) -> None:
    """Refuse a number of threads that is none.

    Raises:
        ConfigError: it is below 1.
    """
    if threads < 1:
        raise errors.ConfigError(
            f"--threads must be 1 or more, got {threads}", remedy="--threads 1"
        )


@contextmanager
def at_work(args: argparse.Namespace, title: str) -> Iterator[applications.ApplicationContext]:
    """What a step may use; its progress is shown on stderr."""
    with console.ProgressReporter(title, quiet=args.json) as show:
        yield applications.ApplicationContext(
            folder=args.folder.resolve(), threads=args.threads, progress=show
        )


def settings_of(pairs: Sequence[str]) -> dict[str, str]:
    """Options of `--set NAME=VALUE`, as text.

    Raises:
        ConfigError: a word that is no pair, or a name twice.
    """
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.strip():
            raise errors.ConfigError(
                f"--set {pair!r} has no name and value", remedy="--set epochs=3"
            )
        if name.strip() in found:
            raise errors.ConfigError(f"--set {name.strip()} is given twice", remedy="give it once")
        found[name.strip()] = value
    return found


def seeds_of(text: str) -> list[int]:
    """`0,1,2` or `0-4` as numbers, each once and in order.

    Raises:
        ConfigError: it is none of these, or more than 100.
    """
    try:
        found = sorted({seed for part in text.split(",") for seed in _range(part)})
    except ValueError:
        found = []
    if not 0 < len(found) <= _MOST_SEEDS:
        raise errors.ConfigError(
            f"seeds {text!r} are not 1 to {_MOST_SEEDS} whole numbers of 0 or more",
            remedy="--seeds 0-4, or --seeds 0,1,2",
        )
    return found


def _range(part: str) -> range:
    first, dash, last = part.strip().partition("-")
    if not first.isdecimal() or (dash and not last.isdecimal()):
        raise ValueError(part)
    begin, end = int(first), int(last or first)
    if end < begin or end - begin > _MOST_SEEDS:
        raise ValueError(part)
    return range(begin, end + 1)
