"""Kills a process that writes to a log, again and again, and looks for what was acknowledged.

    python tests/deepseek_store/kill_loop.py --kills 500

Each round forks a writer of four threads over the same log, reads its acknowledgements from a pipe,
kills it with SIGKILL at a random moment, recovers the log and compares all bytes.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import select
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

from deepseek_store.log.file_disk import FileDisk
from deepseek_store.log.journal import Journal
from deepseek_store.log.records import Kind, Record
from deepseek_store.log.recovery import Recovered, recover
from deepseek_store.log.segment import sealed_name

STORE = b"store to be shot"
SEGMENT_NBYTES = 256 << 10
THREADS = 4
LONGEST_S = 0.04


def payload_of(generation: int) -> bytes:
    """Bytes that anyone can tell from the generation alone."""
    rng = random.Random(generation)
    return rng.randbytes(rng.choice((0, 10, 3000, 20_000)))


def write_forever(folder: Path, pipe: int, first: int, *, lies: bool) -> None:
    """In the child: append and acknowledge until the end; a liar acknowledges before."""
    generations, ids = itertools.count(first), itertools.count(first)
    journal = Journal(
        FileDisk(folder),
        store_id=STORE,
        writer=1,
        segment_nbytes=SEGMENT_NBYTES,
        next_segment=lambda: next(ids),
        clock=time.time,
    )

    def work(number: int) -> None:
        while True:
            numbers = [next(generations) for _ in range(1 + number)]
            kinds = [Kind.PUT] * number + [Kind.PUT if numbers[0] % 3 else Kind.DELETE]
            records = [
                Record(
                    kind=kind,
                    key=f"{number}/{generation}",
                    generation=generation,
                    writer=1,
                    payload=payload_of(generation) if kind is Kind.PUT else b"",
                )
                for kind, generation in zip(kinds, numbers, strict=True)
            ]
            line = " ".join(f"{r.kind}:{r.key}:{r.generation}" for r in records)
            if lies:
                os.write(pipe, f"{line}\n".encode())
            journal.append(records)
            if not lies:
                os.write(pipe, f"{line}\n".encode())

    for number in range(THREADS):
        threading.Thread(target=work, args=(number,), daemon=True).start()
    threading.Event().wait()


def one_round(folder: Path, first: int, rng: random.Random, *, lies: bool = False) -> list[str]:
    """Fork a writer, kill it, return its acknowledged records."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            write_forever(folder, writing, first, lies=lies)
        finally:
            os._exit(3)
    os.close(writing)
    chunks = []
    end_s = time.monotonic() + rng.uniform(0.002, LONGEST_S)
    while (left_s := end_s - time.monotonic()) > 0:
        if select.select([reading], [], [], left_s)[0]:
            chunks.append(os.read(reading, 1 << 16))
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    while chunk := os.read(reading, 1 << 16):
        chunks.append(chunk)
    os.close(reading)
    if not os.WIFSIGNALED(status):
        raise SystemExit(f"the writer ended by itself: {status}")
    text = b"".join(chunks).decode()
    # What follows the last newline was being said when the shot fell.
    return text[: text.rfind("\n") + 1].splitlines()


class Ledger:
    """What was acknowledged so far, and what the log has."""

    def __init__(self, folder: Path) -> None:
        self._disk = FileDisk(folder)
        self._known: set[int] = set()
        self._there: set[tuple[int, str, int]] = set()
        self.acknowledged = self.lost = self.wrong = self.half = 0
        self.torn = self.recovered = self.last = 0

    def settle(self, lines: list[str]) -> None:
        """Recover the log after a kill and compare."""
        recovered = recover(
            self._disk, store_id=STORE, writer_alive=lambda writer: False, known=self._known
        )
        if recovered.faults:
            self.wrong += len(recovered.faults)
        self.torn += len(recovered.truncated)
        for info in recovered.segments:
            self._read(recovered, info.id)
        for line in lines:
            names = [tuple(part.split(":")) for part in line.split()]
            found = [(int(kind), key, int(number)) in self._there for kind, key, number in names]
            self.acknowledged += len(found)
            self.lost += found.count(False)
        self._forget()

    def _read(self, recovered: Recovered, segment: int) -> None:
        """Each record's bytes are what its generation says; batches of one thread are whole."""
        batches: dict[int, int] = {}
        self.last = max(self.last, segment)
        for placed in recovered.placed(segment):
            record = placed.record
            wanted = payload_of(record.generation) if record.kind is Kind.PUT else b""
            self.wrong += self._disk.read_extent(placed.extent) != wanted
            self._there.add((int(record.kind), record.key, record.generation))
            self.last = max(self.last, record.generation)
            self.recovered += 1
            number = int(record.key[0])
            batches[number] = batches.get(number, 0) + 1
        self.half += sum(bool(count % (1 + number)) for number, count in batches.items())
        self._known.add(segment)

    def _forget(self) -> None:
        """Old segments go, so that a long loop stays small."""
        for segment in sorted(self._known)[:-20]:
            self._disk.remove(sealed_name(segment))
            self._known.discard(segment)
        self._there.clear()


def run(kills: int, seed: int, folder: Path, *, lies: bool = False) -> Ledger:
    """So many rounds over one log."""
    rng, ledger = random.Random(seed), Ledger(folder)
    for _ in range(kills):
        ledger.settle(one_round(folder, ledger.last + 1, rng, lies=lies))
    return ledger


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--lies", action="store_true", help="acknowledge early: must be found out")
    arguments = parser.parse_args()
    start_s = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        ledger = run(arguments.kills, arguments.seed, Path(folder), lies=arguments.lies)
    print(
        f"{arguments.kills} kills in {time.monotonic() - start_s:.1f} s:"
        f" {ledger.acknowledged} records acknowledged, {ledger.recovered} recovered,"
        f" {ledger.torn} torn tails, {ledger.lost} lost, {ledger.wrong} wrong, {ledger.half} half"
    )
    enough = ledger.acknowledged > arguments.kills and ledger.recovered >= ledger.acknowledged
    return 0 if enough and not ledger.lost + ledger.wrong + ledger.half else 1


if __name__ == "__main__":
    sys.exit(main())
