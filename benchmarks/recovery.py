"""From a lost worker to the next right step, beside torchrun; and a worker that joins.

Four workers train a small network on this machine. One is killed (SIGKILL), or stopped (SIGSTOP),
in the middle; another run begins with three and a fourth joins. Each worker writes down when it
took which step with which loss. torchrun starts its whole group again, from a checkpoint that is
written after each step; torchft (torchft-nightly) is timed where it is installed.

    python benchmarks/recovery.py [--rounds 3] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from _recovery_worker import model, take_step
from _report import Report, pin, print_head, versions

WORKERS: Final = 4
LOST_AFTER_S: Final = 2.0
LIMIT_S: Final = 120.0
STEPS: Final = 400
BEFORE: Final = 60  # steps before something happens
WORKER: Final = str(Path(__file__).with_name("_recovery_worker.py"))

Line = dict[str, Any]


def lines_of(folder: Path) -> dict[int, list[Line]]:
    """What each worker has written, by its process."""
    return {
        int(path.stem): [
            json.loads(line) for line in path.read_text(encoding="utf-8").splitlines(keepends=True)
            if line.endswith("\n")
        ]
        for path in folder.glob("*.jsonl")
    }  # fmt: skip


def of(lines: list[Line], kind: str) -> list[Line]:
    """The lines of a kind."""
    return [line for line in lines if line["kind"] == kind]


def until(is_true: Callable[[], bool], look: Callable[[], object] = bool) -> None:
    """Wait."""
    until_s = time.monotonic() + LIMIT_S
    while not is_true():
        if time.monotonic() > until_s:
            raise RuntimeError("it took too long")
        look()
        time.sleep(0.02)


def have_come(folder: Path, workers: int) -> bool:
    """Whether so many have taken some steps."""
    return sum(len(of(one, "step")) >= BEFORE for one in lines_of(folder).values()) >= workers


def elastic_run(folder: Path, deed: Callable[[Any], float], first: int) -> tuple[float, Any]:
    """When the deed was done, and what the workers wrote."""
    from deepseek_parallel.elastic.launch import Launch, Workers

    command = [sys.executable, WORKER, str(folder), "elastic", str(STEPS)]
    workers = Workers(
        Launch(command=command, least=1, most=first, lost_after_s=LOST_AFTER_S, restarts=0)
    )
    workers.start()
    try:
        until(lambda: have_come(folder, first), workers.look)
        at_s = deed(workers)
        until(lambda: max(of(one, "step")[-1]["step"] for one in lines_of(folder).values()
                          if of(one, "step")) >= STEPS, workers.look)  # fmt: skip
        time.sleep(0.3)
    finally:
        workers.stop()
    return at_s, lines_of(folder)


def struck(how: signal.Signals) -> Callable[[Any], float]:
    """Send a signal to one of the workers; when that was."""

    def deed(workers: Any) -> float:
        victim = workers.running[2]
        at_s = time.monotonic()
        victim.send_signal(how)
        return at_s

    return deed


def figures(at_s: float, lines: dict[int, list[Line]]) -> tuple[float, float, float]:
    """How long it took until one was told, and all had taken the next step; how far losses are off.

    The second is seconds from the first one on, of the slowest of who is left; the third is the
    largest distance from the losses of one process, relative.
    """
    left = [one for one in lines.values() if of(one, "step")[-1]["at_s"] > at_s + 0.1]
    assert len(left) == WORKERS - 1
    told_s = max(next(x["at_s"] for x in of(one, "told") if x["at_s"] > at_s) for one in left)
    first_told_s = min(next(x["at_s"] for x in of(one, "told") if x["at_s"] > at_s) for one in left)
    next_s = max(next(x["at_s"] for x in of(one, "step") if x["at_s"] > told_s) for one in left)
    wanted = alone()
    off = 0.0
    for one in left:
        steps = of(one, "step")
        check_whole([x["step"] for x in steps])
        off = max(off, *(abs(x["loss"] / wanted[x["step"] - 1] - 1) for x in steps))
    return first_told_s - at_s, next_s - first_told_s, off


def check_whole(numbers: list[int]) -> None:
    """No step is lost and none is taken twice; one may come with the state of another worker."""
    skips = [b - a - 1 for a, b in pairwise(numbers)]
    if min(skips) < 0 or sum(skips) > 1 or numbers[-1] != STEPS:
        raise RuntimeError(f"steps were lost or taken twice: {numbers}")


def alone() -> list[float]:
    """Losses of one process."""
    net, optimizer = model()
    return [take_step(net, optimizer, number) for number in range(STEPS)]


def joined(folder: Path) -> tuple[float, float]:
    """The longest gap between two steps while a worker joins, and the usual one."""
    from deepseek_parallel.elastic.launch import Launch, Workers

    command = [sys.executable, WORKER, str(folder), "elastic", str(4 * STEPS)]
    workers = Workers(Launch(command=command, least=1, most=WORKERS, lost_after_s=LOST_AFTER_S))
    workers.start()
    try:
        until(lambda: have_come(folder, WORKERS), workers.look)
        workers.running[1].kill()  # the launcher starts another one, which joins
        until(lambda: have_come(folder, WORKERS + 1), workers.look)
    finally:
        workers.stop()
    found = []
    for one in lines_of(folder).values():
        members = of(one, "member")
        if len(members) < 3 or members[2]["size"] != WORKERS:
            continue
        steps = [x["at_s"] for x in of(one, "step")]
        gaps = [b - a for a, b in pairwise(steps)]
        at_s = members[2]["at_s"]
        gap = next(b - a for a, b in pairwise(steps) if a < at_s <= b)
        found.append((gap, statistics.median(gaps)))
    return max(gap for gap, _ in found), statistics.median(usual for _, usual in found)


def torchrun(folder: Path) -> float:
    """Seconds from a kill to the next step of the group that torchrun has started again."""
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--max-restarts", "3",
        "--monitor-interval", "0.1", f"--nproc-per-node={WORKERS}",
        WORKER, str(folder), "torchrun", str(100 * STEPS),
    ]  # fmt: skip
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    process = subprocess.Popen(command, env=environment, **quiet)  # type: ignore[call-overload]
    try:
        until(lambda: have_come(folder, WORKERS))
        before = set(lines_of(folder))
        at_s = time.monotonic()
        os.kill(next(iter(before)), signal.SIGKILL)

        def new() -> list[list[Line]]:
            return [x for p, x in lines_of(folder).items() if p not in before and of(x, "step")]

        until(lambda: len(new()) == WORKERS)
        return max(of(one, "step")[0]["at_s"] for one in new()) - at_s
    finally:
        process.terminate()
        process.wait(60)


def in_folder(work: Callable[[Path], Any]) -> Any:
    """What `work` gives with a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        return work(Path(folder))


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    pin(cores=2)
    used = versions(["deepseek-parallel", "torch"])
    print_head(f"Recovery of {WORKERS} workers on one machine", used)
    report = Report(versions=used)
    for how, bar_s in ((signal.SIGKILL, 0.1), (signal.SIGSTOP, LOST_AFTER_S + 0.5)):
        found = [
            figures(*in_folder(lambda f, h=how: elastic_run(f, struck(h), WORKERS)))
            for _ in range(args.rounds)
        ]
        told_s, next_s, off = (statistics.median(column) for column in zip(*found, strict=True))
        name = how.name
        print(f"{name}: told after {told_s:.3f} s, next step {next_s:.3f} s later, loss {off:.1e}")
        report.at_most(f"{name}: until the others are told", told_s, bar_s, "s")
        report.at_most(f"{name}: from there to the next step of all", next_s, 0.5, "s")
        report.at_most(f"{name}: loss off from one process", off, 1e-4, "")
    gaps = [in_folder(joined) for _ in range(args.rounds)]
    gap_s, usual_s = (statistics.median(column) for column in zip(*gaps, strict=True))
    print(f"join: longest gap {gap_s:.3f} s, usual {usual_s:.3f} s")
    report.at_most("join: gap beyond two usual steps", max(0.0, gap_s - 2 * usual_s), 0.1, "s")
    peer_s = statistics.median(in_folder(torchrun) for _ in range(args.rounds))
    print(f"torchrun: next step {peer_s:.3f} s after the kill")
    kill_s = next(row.figure for row in report.rows if "SIGKILL: from" in row.claim)
    report.at_least("torchrun takes longer, times", peer_s / (kill_s or 1.0), 5.0)
    if find_spec("torchft") is None:
        report.not_run("torchft takes longer, times", 1.0, "torchft-nightly is not installed")
    return report.finish(args.json)


if __name__ == "__main__":
    sys.exit(main())
