"""Long versions of what the tests do briefly: power cuts, kills, processes, operators.

python tests/deepseek_store/hammer.py crash --cuts 20000
python tests/deepseek_store/hammer.py kill --kills 500
python tests/deepseek_store/hammer.py shared --seconds 60
python tests/deepseek_store/hammer.py postgres --seconds 60
python tests/deepseek_store/hammer.py operator --sequences 300
python tests/deepseek_store/hammer.py homes --sequences 300
python tests/deepseek_store/hammer.py disks --sequences 100
python tests/deepseek_store/hammer.py reopen --shards 100000
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import store_crash
import store_disks
import store_kill
import store_operator
import store_shared
from postgres_server import PostgresServer, missing

from deepseek_store import Store

_MEMORY = Path("/dev/shm")


def crash(folder: Path, arguments: argparse.Namespace) -> str:
    """Cut the power under a store of one process, and under one that is shared."""
    seed = arguments.seed
    alone = store_crash.crash_runs(folder, arguments.cuts * 3 // 4, seed)
    shared = store_crash.crash_runs(folder, arguments.cuts // 4, seed, shared=True)
    total = {kind: alone.get(kind, 0) + shared.get(kind, 0) for kind in {*alone, *shared}}
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(total.items()))
    return f"{sum(total.values())} power cuts ({kinds}): nothing lost, nothing wrong, no orphan"


def kill(folder: Path, arguments: argparse.Namespace) -> str:
    """Kill processes."""
    loop = store_kill.Loop(folder, arguments.seed)
    loop.run(arguments.kills, lies=arguments.lies)
    text = (
        f"{loop.kills} kills: {loop.acknowledged} operations acknowledged, {loop.objects} objects"
        f" read, {loop.lost} lost or wrong, {loop.orphans} orphans"
    )
    if loop.lost or loop.orphans or loop.acknowledged < loop.kills:
        raise AssertionError(text)
    return text


def shared(folder: Path, arguments: argparse.Namespace) -> str:
    """Two processes, one store, SQLite."""
    home = store_shared.make_store(folder)
    return f"{store_shared.hammer(home, arguments.seconds, seed=arguments.seed)}: nothing lost"


def postgres(folder: Path, arguments: argparse.Namespace) -> str:
    """Two processes, one store, PostgreSQL, which is killed and started again and again."""
    if why := missing():
        raise SystemExit(why)
    with PostgresServer() as server:
        home = store_shared.make_store(folder, server.url("hammer"))
        crashes = Crashes(server, every_s=2.5)
        result = store_shared.hammer(
            home, arguments.seconds, seed=arguments.seed, meanwhile=crashes
        )
    return f"{result}, the server was killed {crashes.count} times: nothing lost"


class Crashes:
    """Kills a database now and then, and starts it again."""

    def __init__(self, server: PostgresServer, *, every_s: float) -> None:
        self._server, self._every_s = server, every_s
        self._next_s = time.monotonic() + every_s / 2
        self.count = 0

    def __call__(self) -> None:
        """Kill it if it is time."""
        if time.monotonic() > self._next_s:
            self._server.stop("immediate")
            self._server.start()
            self.count += 1
            self._next_s = time.monotonic() + self._every_s


def operator(folder: Path, arguments: argparse.Namespace) -> str:
    """Do to stores what operators do, in random order."""
    return _sequences(folder, arguments, store_operator.ALL)


def homes(folder: Path, arguments: argparse.Namespace) -> str:
    """Restore, copy, force and lose homes and their indexes, in random order."""
    return _sequences(folder, arguments, store_operator.HOMES)


def disks(folder: Path, arguments: argparse.Namespace) -> str:
    """Take the disks of the log away in turn, under processes that are shot."""
    logging.disable(logging.CRITICAL)
    seeds = range(arguments.seed, arguments.seed + arguments.sequences)
    return f"{store_disks.sequences(folder, iter(seeds))}: nothing lost, wrong or back"


def _sequences(folder: Path, arguments: argparse.Namespace, kind: store_operator.Kind) -> str:
    logging.disable(logging.CRITICAL)  # a store says all of it loudly
    steps = 0
    for seed in range(arguments.seed, arguments.seed + arguments.sequences):
        with tempfile.TemporaryDirectory(dir=folder) as one:
            steps += store_operator.sequence(Path(one), seed, kind)
    return f"{arguments.sequences} sequences, {steps} steps: nothing lost, wrong, untrue or back"


def reopen(folder: Path, arguments: argparse.Namespace) -> str:
    """How long a large store takes to open."""
    with Store.init(folder / "home") as store:
        for number in range(arguments.shards):
            store.put(f"shard/{number:07d}", b"x" * 64, durable=False)
        store.flush()
    times_s = []
    for _ in range(5):
        start_s = time.perf_counter()
        with Store(folder / "home") as store:
            times_s.append(time.perf_counter() - start_s)
            found = len(store)
    if found != arguments.shards:
        raise AssertionError(f"{found} shards of {arguments.shards}")
    times_s.sort()
    return f"{found} shards: opened in {times_s[2]:.3f} s (median), {times_s[0]:.3f} s (best)"


MODES: dict[str, Callable[[Path, argparse.Namespace], str]] = {
    "crash": crash, "kill": kill, "shared": shared, "postgres": postgres, "reopen": reopen,
    "operator": operator, "homes": homes, "disks": disks,
}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("mode", choices=list(MODES))
    parser.add_argument("--cuts", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--shards", type=int, default=100_000)
    parser.add_argument("--sequences", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", help="where to work; in memory without")
    parser.add_argument("--lies", action="store_true", help="acknowledge early: must be found out")
    arguments = parser.parse_args()
    start_s = time.monotonic()
    base = arguments.folder or (_MEMORY if _MEMORY.is_dir() else None)
    with tempfile.TemporaryDirectory(dir=base) as folder:
        try:
            text = MODES[arguments.mode](Path(folder), arguments)
        except AssertionError as error:
            print(f"FAILED: {error}", *getattr(error, "__notes__", ()))
            return 1
    print(f"{text} ({time.monotonic() - start_s:.1f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
