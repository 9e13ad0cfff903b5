"""Steady-state placement: exact on small streams, near the MILP optimum on DNN graphs.

Random streams against brute force and for the gain of replication. With `--instances FOLDER`, task
graphs `dnn_thr_*.json` (format: sdk_docs) against scipy's MILP solver (HiGHS), given
`--milp-seconds` for each; where it does not finish, its best solution and bound are shown. The
load of a device is its compute time plus one hop for each edge that leaves or enters it.

    python benchmarks/throughput.py [--instances FOLDER] [--milp-seconds 120] [--json FILE]
"""

from __future__ import annotations

import argparse
import itertools
import math
import random
import sys
import time
from pathlib import Path
from statistics import mean
from typing import Any

from _report import Report, pin, print_head, versions
from deepseek_core.runtime.instances import read_instance
from deepseek_core.schedule.throughput.model import Model
from deepseek_core.schedule.throughput.of_graph import stream_of_graph
from deepseek_core.schedule.throughput.placement import place_stream
from deepseek_core.schedule.throughput.problem import (
    Link,
    StreamDevice,
    StreamEdge,
    StreamProblem,
    StreamStage,
)


def random_stream(rng: random.Random, stages: int, devices: int, *, slow: bool) -> StreamProblem:
    """A random graph with unrelated costs; transfers cost about as much as stages if `slow`."""
    names = [f"d{j}" for j in range(devices)]
    pairs = itertools.combinations(range(stages), 2)
    edges = [(i, j) for i, j in pairs if slow and rng.random() < 2.0 / stages]
    link = Link(bytes_per_s=1.0, at_sender=1.0, at_receiver=1.0)
    return StreamProblem(
        stages=tuple(
            StreamStage(name=f"s{i}", seconds={d: 0.2 + 4 * rng.random() for d in names})
            for i in range(stages)
        ),
        devices=tuple(StreamDevice(id=d, mem_node=d) for d in names),
        edges=tuple(
            StreamEdge(source=f"s{i}", target=f"s{j}", nbytes=2 * rng.random()) for i, j in edges
        ),
        links=dict.fromkeys(itertools.permutations(names, 2), link),
    )


def brute_force(problem: StreamProblem) -> float:
    """The least period over all assignments."""
    model = Model(problem)
    return min(max(model.loads(a)) for a in itertools.product(*model.allowed))


def small(report: Report) -> None:
    worst = 0.0
    for seed in range(500):
        rng = random.Random(seed)
        problem = random_stream(rng, rng.randint(1, 6), rng.randint(1, 3), slow=seed % 2 == 0)
        plan = place_stream(problem, replicate=False)
        worst = max(worst, plan.period_s / brute_force(problem))
    report.at_most("500 random small streams: period over brute force, worst", worst, 1 + 1e-9)


def medium(report: Report) -> None:
    taken, proven, gains = [], 0, []
    for seed in range(20):
        problem = random_stream(random.Random(seed), 20, 6, slow=False)
        start_s = time.process_time()
        plain = place_stream(problem, replicate=False)
        taken.append(time.process_time() - start_s)
        proven += plain.optimal
        gains.append(plain.period_s / place_stream(problem).period_s)
    report.at_least("20 stages x 6 devices, of 20 streams: proven optimal", proven, 20, "")
    report.at_most("the same: CPU time of the slowest plan", max(taken) * 1e3, 500.0, "ms")
    report.at_least("the same: rate with replication over the best without, mean", mean(gains), 1.1)


def read_stream(path: Path) -> StreamProblem:
    """A task graph as a stream, with the limits that its file holds."""
    return stream_of_graph(read_instance(path, limits="respect"))


def milp_optimum(problem: StreamProblem, seconds: float) -> tuple[float, float]:
    """Best period and lower bound of the mixed-integer program that HiGHS finds in the time.

    Variables: group on device (binary), edge cut at device (continuous), period.
    """
    import numpy as np
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import csr_matrix

    model = Model(problem)
    pairs, weights = _cuts(model)
    ends = sorted({d for row in weights for d in row})
    place = {(g, d): g * model.m + d for g in range(model.n) for d in range(model.m)}
    first = len(place)
    cut = {(e, d): first + i for i, (e, d) in enumerate(itertools.product(range(len(pairs)), ends))}
    width = first + len(cut) + 1
    rows: list[dict[int, float]] = []
    low, high = [], []

    def add(row: dict[int, float], least: float, most: float) -> None:
        rows.append(row)
        low.append(least)
        high.append(most)

    for g in range(model.n):
        add({place[g, d]: 1.0 for d in range(model.m)}, 1.0, 1.0)
    for d in range(model.m):
        load = {place[g, d]: model.cost[g][d][0] for g in range(model.n) if model.cost[g][d]}  # type: ignore[index]
        load |= {cut[e, d]: row[d] for e, row in enumerate(weights) if d in row}
        add({**load, width - 1: -1.0}, -np.inf, 0.0)
        if model.room[d] < math.inf:
            held = {place[g, d]: model.mem[g] / model.room[d] for g in range(model.n)}
            add(held, -np.inf, 1.0)
    for (e, d), index in cut.items():
        a, b = pairs[e]
        add({place[a, d]: 1.0, place[b, d]: -1.0, index: -1.0}, -np.inf, 0.0)
        add({place[b, d]: 1.0, place[a, d]: -1.0, index: -1.0}, -np.inf, 0.0)
    entries = [(i, j, v) for i, row in enumerate(rows) for j, v in row.items()]
    which, columns, values = zip(*entries, strict=True)
    matrix = csr_matrix((values, (which, columns)), shape=(len(rows), width))
    most = np.ones(width)
    most[-1] = np.inf
    for (g, d), index in place.items():
        if d not in model.allowed[g]:
            most[index] = 0.0
    found = milp(
        np.eye(1, width, width - 1)[0],
        constraints=LinearConstraint(matrix, low, high),
        integrality=np.arange(width) < first,
        bounds=Bounds(0, most),
        options={"time_limit": seconds, "mip_rel_gap": 0.001},
    )
    return (math.inf if found.fun is None else found.fun), found.mip_dual_bound


def _cuts(model: Model) -> tuple[list[tuple[int, int]], list[dict[int, float]]]:
    """Pairs of groups, and by device what it costs there that the other one is elsewhere."""
    pairs, weights = [], []
    for t in model.transfers:
        there = {}
        for d in range(model.m):
            other = (d + 1) % model.m
            at_d = model.transfer_loads(t, d, other)[0]
            if at_d:
                there[d] = at_d
        if there:
            pairs.append((t.a, t.b))
            weights.append(there)
    return pairs, weights


def large(report: Report, paths: list[Path], seconds: float) -> None:
    print(f"\n  {'ours':>9} {'CPU s':>6} {'MILP':>9} {'its bound':>9}  instance")
    for path in paths:
        problem = read_stream(path)
        start_s = time.process_time()
        plan = place_stream(problem, replicate=False)
        taken_s = time.process_time() - start_s
        best, bound = milp_optimum(problem, seconds)
        print(f"  {plan.period_s:9.3f} {taken_s:6.2f} {best:9.3f} {bound:9.3f}  {path.stem}")
        known = "optimum" if best <= bound * 1.002 else f"best of {seconds:g} s"
        claim = f"{path.stem}: period over the MILP's ({known})"
        report.at_most(claim, plan.period_s / best, 1.02)


def run(args: argparse.Namespace) -> int:
    """Measure, print, judge."""
    used = versions(["deepseek-core", "scipy"])
    print_head("Steady-state placement", used)
    report = Report(versions=used)
    small(report)
    medium(report)
    if args.instances:
        paths = sorted(args.instances.glob("dnn_thr_*.json"))
        if not paths:
            print(f"no dnn_thr_*.json in {args.instances}", file=sys.stderr)
            return 2
        large(report, paths, args.milp_seconds)
    return report.finish(args.json)


def parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    add: Any = parser.add_argument
    add("--instances", type=Path, metavar="FOLDER", help="where dnn_thr_*.json lie")
    add("--milp-seconds", type=float, default=120.0, metavar="S", help="for each instance")
    add("--json", type=Path, metavar="FILE", help="write the figures there")
    return parser.parse_args(argv)


if __name__ == "__main__":
    pin()
    sys.exit(run(parse(sys.argv[1:])))
