"""Folders and big files by the command line, beside the tools that people use.

Whole commands, started anew each time, in turns in one run: `ds-sdk store sync` of 10,000 small
files into a store, `rclone sync` (the Debian package) and `rsync -a` into a folder beside it. First
all files are new, then nothing has changed. Then one file of 3 GB goes into a store and comes back,
and so do ten that make 3 GB together; the peak memory of each command is the kernel's own figure.
A tool that is not installed is left out, and that is said.

    python benchmarks/store_sync.py [--folder FOLDER] [--json FILE]
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from _report import Report, print_head, versions

FILES = 10_000
LARGEST_NBYTES = 4_000
BIG_NBYTES = 3_000_000_000
PARTS = 10
ROUNDS = 5
COMMAND = (sys.executable, "-m", "deepseek_core", "store")
PEERS = {
    "rclone": ("rclone", "sync", "-q"),
    "rsync": ("rsync", "-a", "--delete"),
}


def make_files(folder: Path) -> int:
    """Small files in 100 folders; how many bytes."""
    rng = random.Random(12)
    nbytes = 0
    for number in range(FILES):
        path = folder / f"{number % 100:02}" / f"{number:05}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        nbytes += path.write_bytes(rng.randbytes(rng.randrange(LARGEST_NBYTES)))
    return nbytes


def run(words: Sequence[str | Path]) -> tuple[float, int]:
    """Seconds and peak bytes of memory of one command."""
    start_s = time.perf_counter()
    process = subprocess.Popen([*map(str, words)], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"{words[0]} ended with {process.returncode}")
    return time.perf_counter() - start_s, used.ru_maxrss * 1024


def sync_of(name: str, source: Path, place: Path) -> list[str | Path]:
    """The command that brings a folder to a place."""
    if name == "store":
        return [*COMMAND, "sync", place, source, "ds://t", "--quiet"]
    # A slash behind the source: its content, for rsync; rclone does that anyway.
    return [*PEERS[name], f"{source}/", place]


def small_files(folder: Path, report: Report) -> None:
    """All new, and nothing changed; each tool in turn."""
    source = folder / "source"
    nbytes = make_files(source)
    names = ["store"]
    for name, words in PEERS.items():
        if shutil.which(words[0]):
            names.append(name)
        else:
            print(f"{name} is left out: it is not installed (apt-get install {name})")
    places = {name: folder / f"to-{name}" for name in names}
    run([*COMMAND, "init", places["store"]])
    first = {name: run(sync_of(name, source, places[name]))[0] for name in names}
    again: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(ROUNDS):
        for name in names:
            again[name].append(run(sync_of(name, source, places[name]))[0])
    print(f"\nsync of {FILES:,} files, {nbytes / 1e6:.0f} MB, seconds of whole commands:")
    for name in names:
        median_s = statistics.median(again[name])
        print(f"  {name:8} all new {first[name]:6.2f}   nothing changed {median_s:6.2f}")
    unchanged_s = statistics.median(again["store"])
    report.at_most(f"sync of {FILES:,} files, none changed", unchanged_s, 3.0, "s")
    if "rclone" in names:
        first_x = first["store"] / first["rclone"]
        again_x = unchanged_s / statistics.median(again["rclone"])
        print(f"  over rclone: all new {first_x:.2f}x, nothing changed {again_x:.2f}x")


def big_files(folder: Path, report: Report) -> None:
    """3 GB in one file, and in ten; in and out."""
    home, back = folder / "home", folder / "back"
    for name, parts in (("one file", 1), ("ten files", PARTS)):
        source = folder / "big"
        source.mkdir()
        for number in range(parts):
            write_random(source / f"{number}", BIG_NBYTES // parts)
        run([*COMMAND, "init", home])
        took = {}
        took["put"] = run([*COMMAND, "put", home, "big", source, "-r", "--quiet"])
        took["get"] = run([*COMMAND, "get", home, "big", back, "-r", "--quiet"])
        run(["diff", "-r", source, back])
        for verb, (took_s, nbytes) in took.items():
            print(f"  {verb} of 3 GB in {name}: {took_s:.1f} s, {nbytes / 1e6:.0f} MB of memory")
            report.at_most(f"memory of {verb} of 3 GB in {name}", nbytes / 1e6, 100.0, "MB")
        for path in (source, home, back):
            shutil.rmtree(path)


def write_random(path: Path, nbytes: int) -> None:
    """A file of bytes that can't be compressed."""
    block = os.urandom(16 << 20)
    with path.open("wb") as file:
        for at in range(0, nbytes, len(block)):
            file.write(block[: nbytes - at])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="on the disk to measure")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    report = Report(versions=versions(["deepseek-store"]))
    print_head("folders and big files by the command line", report.versions)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        small_files(Path(name), report)
        print()
        big_files(Path(name), report)
    return report.finish(arguments.json)


if __name__ == "__main__":
    sys.exit(main())
