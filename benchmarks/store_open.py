"""Opening a store with very many objects: time, memory, and commands that need little of it.

    python benchmarks/store_open.py [--objects N] [--many N] [--folder FOLDER] [--json FILE]

`SELECT *` reads the same rows with sqlite3 into Python tuples, in turns with the store in one
process. A store is open when `Store(home)` returns and has answered one `get`; `all` is what it
takes until everything is in memory. Times of both are of the processor, for a machine that others
use. Memory is the growth of the resident set of a fresh process. Commands are whole processes, with
Python's start; beside them stands `python -c pass` of the same moment.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from _report import Report, pin, print_head, versions

FOLDER = 2000  # objects in each folder
ROUNDS = 5
_MEMORY = """
import gc, sys
from deepseek_store import Store
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
store = Store(sys.argv[1])
gc.collect()
before = resident()
count = len(store)
next(store.list())
gc.collect()
print((resident() - before) / count)
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--objects", type=int, default=200_000)
    parser.add_argument("--many", type=int, default=1_000_000, help="shown once; 0: not at all")
    parser.add_argument("--folder", type=Path, help="where to write (default: a temporary one)")
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    args = parser.parse_args()
    pin(cores=2)
    used = versions(("deepseek-store", "xxhash"))
    print_head("Opening a store", used)
    report = Report(versions=used)
    for count in (args.objects, args.many):
        with tempfile.TemporaryDirectory(dir=args.folder) as folder:
            if count:
                _measure(Path(folder) / "home", count, report, judged=count == args.objects)
    return report.finish(args.json)


def _measure(home: Path, count: int, report: Report, *, judged: bool) -> None:
    _fill(home, count)
    ratio, whole_ratio = _opening(home, count)
    memory_nbytes = float(_run([sys.executable, "-c", _MEMORY, str(home)]))
    ls_s = _command_s("store", "ls", str(home), "data/00001/")
    status_s = _command_s("store", "status", str(home))
    bare_s = _best_s(lambda: _run([sys.executable, "-c", "pass"]))
    print(
        f"\n{count:,} objects: `ls` of {FOLDER} {ls_s:.2f} s, `status` {status_s:.2f} s, "
        f"`python -c pass` {bare_s:.3f} s; {memory_nbytes:.0f} bytes of memory an object"
    )
    if not judged:
        return
    what = f"{count:,} objects"
    report.at_most(f"{what}: open and read one, over SELECT *", ratio, 1.2)
    report.at_most(f"{what}: open and have all in memory, over SELECT *", whole_ratio, 1.2)
    report.at_most(f"{what}: `ds-sdk store ls` of a folder of {FOLDER}", ls_s, 0.3, "s")
    report.at_most(f"{what}: `ds-sdk store status`", status_s, 1.0, "s")
    report.at_most(f"{what}: memory of each", memory_nbytes, 300, "bytes")


def _fill(home: Path, count: int) -> None:
    from deepseek_store import Store

    with Store.init(home) as store:
        for number in range(count):
            key = f"data/{number // FOLDER:05d}/object-{number:08d}.bin"
            store.put(key, b"%d" % number, durable=False)


def _opening(home: Path, count: int) -> tuple[float, float]:
    """Opening with one read, and with all in memory, over a `SELECT *`."""
    from deepseek_store import Store

    middle = count // 2
    key = f"data/{middle // FOLDER:05d}/object-{middle:08d}.bin"
    opened_s, whole_s, select_s = [], [], []
    for _ in range(ROUNDS):
        select_s.append(_cpu_s(lambda: _select(home)))
        start_s = time.process_time()
        with Store(home) as store:
            assert bytes(store.get(key)) == b"%d" % middle
            opened_s.append(time.process_time() - start_s)
            assert len(store) == count
            whole_s.append(time.process_time() - start_s)
    print(
        f"\n{count:,} objects: open and read one {min(opened_s) * 1e3:.1f} ms, all in memory "
        f"{min(whole_s) * 1e3:.0f} ms, SELECT * {min(select_s) * 1e3:.0f} ms (of the processor)"
    )
    return min(opened_s) / min(select_s), min(whole_s) / min(select_s)


def _select(home: Path) -> None:
    connection = sqlite3.connect(home / "index.sqlite")
    rows = connection.execute("SELECT * FROM versions").fetchall()
    connection.close()
    assert rows


def _cpu_s(call: Callable[[], object]) -> float:
    start_s = time.process_time()
    call()
    return time.process_time() - start_s


def _command_s(*words: str) -> float:
    """Of a whole `ds-sdk` process, as quick as it gets here."""
    program = shutil.which("ds-sdk")
    assert program is not None
    return _best_s(lambda: _run([program, *words]))


def _best_s(call: Callable[[], object]) -> float:
    times = []
    for _ in range(ROUNDS):
        start_s = time.perf_counter()
        call()
        times.append(time.perf_counter() - start_s)
    return min(times)


def _run(command: list[str]) -> str:
    # With the byte code that an installed package has: compiling is no part of a command.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return done.stdout


if __name__ == "__main__":
    raise SystemExit(main())
