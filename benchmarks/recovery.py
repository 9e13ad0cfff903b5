"""From a lost worker to the next right step, beside torchrun; and a worker that joins.

Four workers train a small network on this machine. One is killed (SIGKILL), or stopped (SIGSTOP),
in the middle; another run begins with three and a fourth joins. Each worker writes down when it
took which step with which loss. torchrun starts its whole group again, from a checkpoint that is
written after each step. torchft, whose replicas are one process each here, has the same limit for
a silent worker as we do, for heartbeats and groups (with its own limit of a group, 60 s, ranks that
are no neighbors of the lost one wait for that). It is timed where it is installed, here or where
`--torchft` says:

    python -m venv /tmp/peer
    /tmp/peer/bin/pip install --no-deps torchft-nightly
    /tmp/peer/bin/pip install opentelemetry-sdk opentelemetry-exporter-otlp-proto-http
    python benchmarks/recovery.py [--rounds 3] [--torchft /tmp/peer/bin/python] [--json FILE]
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
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from _recovery_worker import LOST_AFTER_S, model, take_step
from _report import Report, pin, print_head, versions

WORKERS: Final = 4
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
    return first_told_s - at_s, next_s - first_told_s, off_from_one(left)


def off_from_one(workers: list[list[Line]]) -> float:
    """The largest distance of the losses from those of one process, relative."""
    wanted = alone()
    off = 0.0
    for one in workers:
        steps = of(one, "step")
        check_whole([x["step"] for x in steps])
        off = max(off, *(abs(x["loss"] / wanted[x["step"] - 1] - 1) for x in steps))
    return off


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


def has_torchft(python: str) -> bool:
    """Whether an interpreter finds torchft."""
    code = "import torchft"
    done = subprocess.run([python, "-c", code], env=_of_peers(), capture_output=True, check=False)
    return done.returncode == 0


def _of_peers(**more: str) -> dict[str, str]:
    """The environment of a peer's interpreter, which has this one's torch."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **more}


def torchft(folder: Path, python: str) -> tuple[float, float]:
    """Seconds from a kill to the next step of all who are left; how far losses are off."""
    code = (
        "import sys\nfrom torchft.coordination import LighthouseServer\n"
        f"house = LighthouseServer(bind='127.0.0.1:0', min_replicas={WORKERS - 1}, "
        f"heartbeat_timeout_ms={int(LOST_AFTER_S * 1000)})\n"
        "print(house.address(), flush=True)\nsys.stdin.read()"
    )
    house = subprocess.Popen(
        [python, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, env=_of_peers(), text=True,
    )  # fmt: skip
    processes = []
    try:
        assert house.stdout is not None
        place = house.stdout.readline().strip()
        processes = [
            subprocess.Popen(
                [python, WORKER, str(folder), "torchft", str(STEPS)],
                env=_of_peers(TORCHFT_LIGHTHOUSE=place, GLOO_SOCKET_IFNAME="lo"),
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )
            for _ in range(WORKERS)
        ]  # fmt: skip
        until(lambda: have_come(folder, WORKERS))
        at_s = time.monotonic()
        processes[2].kill()
        until(lambda: sum(of(x, "step")[-1]["step"] >= STEPS
                          for x in lines_of(folder).values()) >= WORKERS - 1)  # fmt: skip
    finally:
        for process in (*processes, house):
            process.kill()
            process.wait()
    left = [x for x in lines_of(folder).values() if of(x, "step")[-1]["step"] >= STEPS]
    fewer = (
        [x for x in of(one, "step") if x["at_s"] > at_s and x["epoch"] == WORKERS - 1]
        for one in left
    )
    return max(steps[0]["at_s"] for steps in fewer) - at_s, off_from_one(left)


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
    parser.add_argument(
        "--torchft", default=sys.executable, metavar="PYTHON",
        help="the interpreter of an environment that has torchft (default: this one)",
    )  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    pin(cores=2)
    used = versions(["deepseek-parallel", "torch"])
    print_head(f"Recovery of {WORKERS} workers on one machine", used)
    report = Report(versions=used)
    whole_s = {}  # from the signal to the next step of all
    for how, bar_s in ((signal.SIGKILL, 0.1), (signal.SIGSTOP, LOST_AFTER_S + 0.5)):
        found = [
            figures(*in_folder(lambda f, h=how: elastic_run(f, struck(h), WORKERS)))
            for _ in range(args.rounds)
        ]
        told_s, next_s, off = (statistics.median(column) for column in zip(*found, strict=True))
        name = how.name
        whole_s[how] = statistics.median(told + after for told, after, _ in found)
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
    report.at_least("torchrun takes longer, times", peer_s / whole_s[signal.SIGKILL], 5.0)
    if not has_torchft(args.torchft):
        why = f"{args.torchft} has no torchft: see the lines of pip in --help, and give --torchft"
        report.not_run("torchft takes longer, times", 1.0, why)
        return report.finish(args.json)
    peers = [in_folder(lambda f: torchft(f, args.torchft)) for _ in range(args.rounds)]
    peer_s, off = (statistics.median(column) for column in zip(*peers, strict=True))
    print(f"torchft: next step {peer_s:.3f} s after the kill, loss {off:.1e}")
    report.at_least("torchft takes longer, times", peer_s / whole_s[signal.SIGKILL], 1.0)
    return report.finish(args.json)


if __name__ == "__main__":
    sys.exit(main())
