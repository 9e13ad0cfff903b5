"""`ds-sdk store bench`: this store beside its bare disk."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Final

from deepseek_core import console, errors
from deepseek_store.cli.common import (
    Command,
    add_home,
    add_json,
    add_quiet,
    open_store,
    tell,
)

if TYPE_CHECKING:
    from deepseek_store.report.bench import BenchReport

_EXAMPLES: Final = """examples:
  ds-sdk store bench data
  ds-sdk store bench data --size 1M --threads 1,8,32 --seconds 5 --json

It puts objects below .bench/ and deletes them; ds-sdk store gc frees their space. The bare figures
are of pwrite and fdatasync, and of pread, in the folder of the log. What the page cache holds is
read from memory, in both."""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_home(parser)
    parser.add_argument(
        "--size",
        type=console.nbytes_of,
        default=64 << 10,
        metavar="SIZE",
        help="of an object (default: 64K)",
    )
    parser.add_argument(
        "--threads",
        type=_threads,
        default=(1, 8, 32),
        metavar="N,N",
        help="how many at once (default: 1,8,32)",
    )
    parser.add_argument(
        "--seconds", type=float, default=2.0, metavar="S", help="for each measurement (default: 2)"
    )
    add_json(parser)
    add_quiet(parser)


def _threads(text: str) -> tuple[int, ...]:
    try:
        found = tuple(int(word) for word in text.split(","))
    except ValueError:
        found = (0,)
    if not all(0 < number <= 1024 for number in found):
        raise argparse.ArgumentTypeError(f"{text!r}: give numbers of threads, such as 1,8,32")
    return tuple(sorted({1, *found}))


def _run(args: argparse.Namespace) -> int:
    from deepseek_store.report.bench import bench

    if args.seconds <= 0 or args.size <= 0:
        raise errors.ConfigError("--seconds and --size are above 0", remedy="--seconds 2")
    with open_store(args) as store, console.ProgressReporter("bench", quiet=args.quiet) as progress:
        report = bench(
            store,
            nbytes=args.size,
            seconds=args.seconds,
            threads=args.threads,
            progress=progress,
        )
    tell(report.to_json(), _text(report), as_json=args.json)
    return 0


def _text(report: BenchReport) -> str:
    size = console.format_bytes(report.nbytes)
    puts = console.render_table(
        ("DURABLE WRITES", "THREADS", "PER SECOND", "MB/S"),
        [
            (
                "store put" if rate.name == "store" else "pwrite + fdatasync",
                str(rate.threads),
                f"{rate.per_s:,.0f}",
                f"{rate.bytes_per_s / 1e6:,.1f}",
            )
            for rate in report.rates
        ],
    )
    gets = console.render_table(
        ("READS", "P50", "P99"),
        [
            (
                "pread" if each.name == "raw" else f"store get, {each.name}",
                console.format_seconds(each.quantile_s(0.5)),
                console.format_seconds(each.quantile_s(0.99)),
            )
            for each in report.latencies
        ],
    )
    return (
        f"objects of {size}\n{puts}\n\n{gets}\n\n"
        f"one durable put takes {report.put_time_ratio:.2f}x the time of a bare write and flush, "
        f"a hot get {report.get_time_ratio:.2f}x that of a bare pread"
    )


COMMANDS: Final = {
    "bench": Command(add_arguments=_add_arguments, run=_run, examples=_EXAMPLES),
}
