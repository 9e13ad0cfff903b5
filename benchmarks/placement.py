"""Task-graph placement against best known makespans, published rules, CP-SAT and saga.

Each schedule is checked by `validity.faults`, which shares no code with the schedulers. Best
known makespans leave memory and colocation out, so these runs do too. Seconds are CPU seconds
of this process, so that a busy machine does not change what is found.

    python benchmarks/placement.py [--instances FOLDER] [--seconds 3] [--cp-sat] [--json FILE]

`--cp-sat` also gives CP-SAT 25 s for each instance. CP-SAT needs `pip install ortools`, the rows
about saga `pip install anrg-saga`; without them their rows are left out, and that is said.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import resource
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from random import Random

from _placement_exact import cp_sat
from _placement_graphs import algorithm_graphs, large_graph, slow_link_graphs
from _placement_plans import plans, proofs
from _report import Report, pin, print_head, versions
from deepseek_core.runtime.instances import read_instance
from deepseek_core.schedule.dag.compiled import compile_graph
from deepseek_core.schedule.dag.execution import noise, played_back, redecided
from deepseek_core.schedule.dag.graph import TaskGraph
from deepseek_core.schedule.dag.nodes import DagDevice, DagTask
from deepseek_core.schedule.dag.rules import RULES, heft
from deepseek_core.schedule.dag.schedule import Schedule
from deepseek_core.schedule.dag.solver import solve
from deepseek_core.schedule.dag.validity import faults

HERE = Path(__file__).parent.parent / "tests" / "data" / "sched"
DATA = Path(__file__).parent / "data"
PASSES = 24
LARGE_TASKS = 100_000
NOISE, NOISE_ROUNDS = 0.3, 10
WHOLE_SET = 40  # the bars on means are for a whole set of instances, not for a handful
RULE_TASKS = 1000  # lookahead looks at everything: beyond this size it is left out


@dataclass(frozen=True, kw_only=True)
class Case:
    """An instance with what is known of it."""

    graph: TaskGraph
    best: float
    heft: float


def read_cases(folder: Path) -> list[Case]:
    """Instances of a folder; `bounds.json` lies in it or beside it."""
    beside = [folder / "bounds.json", folder.parent / "bounds.json"]
    bounds = json.loads(next(p for p in beside if p.exists()).read_text(encoding="utf-8"))
    files = sorted([*folder.glob("*.json"), *folder.glob("instances/*.json")])
    cases = [
        Case(
            graph=read_instance(path, limits="ignore"),
            best=bounds[path.stem]["best"],
            heft=bounds[path.stem]["heft"],
        )
        for path in files
        if path.stem in bounds
    ]
    if not cases:
        raise SystemExit(f"{folder} has no instance that its bounds.json names")
    return cases


def geomean(values: Iterable[float]) -> float:
    logs = [math.log(v) for v in values]
    return math.exp(sum(logs) / len(logs))


def checked(graph: TaskGraph, schedule: Schedule) -> Schedule:
    """The schedule, if it can be executed as written."""
    found = faults(graph, schedule)
    if found:
        raise SystemExit(f"{graph.name}: the schedule is not valid: {found}")
    return schedule


def against_best(report: Report, cases: Sequence[Case], seconds: float) -> list[Schedule]:
    """Within 24 passes, at default effort, and with time, on every instance."""
    few = [checked(c.graph, solve(c.graph, passes=PASSES)) for c in cases]
    usual = [checked(c.graph, solve(c.graph)) for c in cases]
    long = [
        checked(c.graph, solve(c.graph, seconds=seconds, clock=time.process_time)) for c in cases
    ]
    title = f"{seconds:g} s"
    print(f"\n{'instance':42} {'HEFT':>7} {'24 passes':>9} {'default':>8} {title:>8} {'gap':>7}")
    for c, a, u, b in zip(cases, few, usual, long, strict=True):
        mark = "  new best known" if b.makespan < c.best * (1 - 1e-6) else ""
        print(
            f"{c.graph.name:42} {c.heft / c.best:7.4f} {a.makespan / c.best:9.5f} "
            f"{u.makespan / c.best:8.5f} {b.makespan / c.best:8.5f} {b.gap:7.2%}{mark}"
        )
    for title, found, mean_bar, worst_bar in (
        ("24 list passes", few, 1.0045, 1.045),
        ("default effort", usual, 1.0035, 1.045),
        (f"{seconds:g} s of CPU time", long, 1.0020, 1.045),
    ):
        ratios = [s.makespan / c.best for s, c in zip(found, cases, strict=True)]
        print(f"geomean within {title}: {geomean(ratios):.5f}, worst {max(ratios):.5f}")
        if len(cases) >= WHOLE_SET:
            report.at_most(f"makespan / best known, geomean, {title}", geomean(ratios), mean_bar)
        report.at_most(f"makespan / best known, worst, {title}", max(ratios), worst_bar)
    own = [heft(compile_graph(c.graph)).makespan for c in cases]
    report.at_most("makespan / HEFT, worst", worst_over(few, own), 1.0 + 1e-9)
    bounds = [
        s.lower_bound / min(c.best, b.makespan) for s, c, b in zip(few, cases, long, strict=True)
    ]
    report.at_most("lower bound / best known, worst", max(bounds), 1.0 + 1e-9)
    return few


def worst_over(found: Sequence[Schedule], others: Sequence[float]) -> float:
    return max(s.makespan / other for s, other in zip(found, others, strict=True))


def beside_rules(cases: Sequence[Case]) -> None:
    """Our own list schedulers on the same instances."""
    print(f"\n{'rule':10} {'geomean':>8} {'worst':>7} {'us/task':>8}")
    for name, rule in RULES.items():
        ratios, spent, tasks = [], 0.0, 0
        for case in cases:
            if name == "lookahead" and len(case.graph.tasks) > RULE_TASKS:
                continue
            start = time.process_time()
            found = rule(compile_graph(case.graph))
            spent += time.process_time() - start
            tasks += len(case.graph.tasks)
            ratios.append(found.makespan / case.best)
        print(f"{name:10} {geomean(ratios):8.4f} {max(ratios):7.3f} {spent / tasks * 1e6:8.1f}")


def slow_links(report: Report) -> None:
    """Small random graphs with slow links at default effort, against proven optima."""
    stored = json.loads((DATA / "slow_links.json").read_text(encoding="utf-8"))["optima"]
    ratios, rule, proven = [], [], 0
    for graph, optimum in zip(slow_link_graphs(len(stored)), stored, strict=True):
        found = checked(graph, solve(graph))
        proven += found.gap <= 1e-9
        ratios.append(found.makespan / optimum)
        rule.append(heft(compile_graph(graph)).makespan / optimum)
    mean = sum(ratios) / len(ratios)
    print(f"\nslow links: {proven} of {len(stored)} proven by ours, all by CP-SAT; HEFT mean "
          f"{sum(rule) / len(rule):.2f}, worst {max(rule):.2f}")  # fmt: skip
    print(f"ours at default effort: mean {mean:.5f}, worst {max(ratios):.4f}")
    what = f"makespan / CP-SAT optimum, {len(stored)} graphs with slow links"
    report.at_most(f"{what}, mean", mean, 1.010)
    report.at_most(f"{what}, worst", max(ratios), 1.10)
    report.at_least(f"{what}, least", min(ratios), 1 - 1e-5)


def check_optima(report: Report) -> None:
    """CP-SAT again on every tenth of the graphs with slow links: the stored optima are its."""
    stored = json.loads((DATA / "slow_links.json").read_text(encoding="utf-8"))["optima"]
    graphs = list(slow_link_graphs(len(stored)))[::10]
    off = [abs(cp_sat(g, 20.0)[0] / o - 1) for g, o in zip(graphs, stored[::10], strict=True)]
    report.at_most("stored optimum against CP-SAT now, every tenth graph, worst", max(off), 2e-5)


def algorithms(report: Report) -> None:
    """Graphs of known algorithms at default effort, against the best of 2 s."""
    ratios = []
    print(f"\n{'graph':34} {'HEFT':>7} {'default':>8}")
    for graph in algorithm_graphs():
        found = checked(graph, solve(graph)).makespan
        long = checked(graph, solve(graph, seconds=2.0, clock=time.process_time)).makespan
        best = min(found, long)
        ratios.append(found / best)
        rule = heft(compile_graph(graph)).makespan / best
        print(f"{graph.name:34} {rule:7.4f} {ratios[-1]:8.5f}")
    print(f"default effort: geomean {geomean(ratios):.5f}, worst {max(ratios):.4f}")
    what = "makespan / best of 2 s, Cholesky, FFT, Gauss, fork-join"
    report.at_most(f"{what}, geomean", geomean(ratios), 1.02)


def prices(report: Report, cases: Sequence[Case]) -> None:
    """Seconds of effort against CPU seconds of this machine, on the instances."""
    ratios = []
    for case in cases:
        start = time.process_time()
        found = solve(case.graph, effort_s=0.2)
        taken = time.process_time() - start
        if found.gap > 0:  # others end before the budget does
            ratios.append(taken / 0.2)
    print(f"\nCPU time / effort of 0.2 s: geomean {geomean(ratios):.2f}, "
          f"from {min(ratios):.2f} to {max(ratios):.2f}")  # fmt: skip
    report.at_most("CPU time / stated effort, geomean", geomean(ratios), 1.25)


def long_cp_sat(cases: Sequence[Case], few: Sequence[Schedule]) -> None:
    """CP-SAT with 25 s for each instance beside our 24 passes."""
    found = [cp_sat(case.graph, 25.0)[0] for case in cases]
    ratios = [min(f / c.best, 1e3) for f, c in zip(found, cases, strict=True)]
    ours = geomean(s.makespan / c.best for s, c in zip(few, cases, strict=True))
    none = sum(math.isinf(f) for f in found)
    print(f"\nCP-SAT, 25 s, one thread: geomean {geomean(ratios):.4f}, worst {max(ratios):.2f}, "
          f"no schedule for {none}; ours within 24 passes {ours:.4f}")  # fmt: skip


def beside_saga(report: Report) -> None:
    """HEFT of saga and ours on 1,000 tasks and 12 devices; graphs built beforehand."""
    from saga import Network  # type: ignore[import-not-found]
    from saga import TaskGraph as SagaGraph
    from saga.schedulers import HeftScheduler  # type: ignore[import-not-found]

    logging.disable(logging.WARNING)  # it reports its own super sink each time
    rng, size, devices = Random(0), 1000, 12
    work = {str(i): rng.uniform(1, 9) for i in range(size)}
    pairs = {(str(max(0, i - rng.randint(1, 30))), str(i)) for i in range(1, size) for _ in "ab"}
    edges = [(a, b, 2.0) for a, b in sorted(pairs) if a != b]
    names = [f"d{n}" for n in range(devices)]
    network = Network.create(
        [(d, 1.0 + n) for n, d in enumerate(names)],
        [(a, b, 10.0) for n, a in enumerate(names) for b in names[n:]],
    )
    theirs = SagaGraph.create(list(work.items()), edges)
    ours = TaskGraph(
        devices=[DagDevice(id=d, type=d, mem=n) for n, d in enumerate(names)],
        bandwidth=[[None if a == b else 10.0 for b in names] for a in names],
        latency=[[0.0] * devices for _ in names],
        tasks=[
            DagTask(id=t, cost={d: w / (1 + n) for n, d in enumerate(names)})
            for t, w in work.items()
        ],
        edges=edges,
    )
    saga_s = least_s(lambda: HeftScheduler().schedule(network, theirs), 2)
    ours_s = least_s(lambda: heft(compile_graph(ours)), 7)
    print(f"\nHEFT, {size} tasks, {devices} devices: saga {saga_s / size * 1e6:.0f} us/task, "
          f"ours {ours_s / size * 1e6:.1f} us/task")  # fmt: skip
    report.at_least("saga's HEFT / our HEFT, CPU time per task", saga_s / ours_s, 100)
    print("saga 2.0.2 has no PEFT; ours is in the table of rules above")


def least_s(run: Callable[[], object], rounds: int) -> float:
    taken = []
    for _ in range(rounds):
        start = time.process_time()
        run()
        taken.append(time.process_time() - start)
    return min(taken)


def scale(report: Report) -> None:
    """The default effort on 100,000 tasks, and how one pass grows."""
    small, large = large_graph(1000), large_graph(LARGE_TASKS)
    one = least_s(lambda: heft(compile_graph(small)), 5) / 1000
    many = least_s(lambda: heft(compile_graph(large)), 2) / LARGE_TASKS
    report.at_most("HEFT, cost per task, 100,000 tasks / 1,000 tasks", many / one, 3.0)
    start = time.process_time()
    found = solve(large)
    taken = time.process_time() - start
    checked(large, found)
    own = heft(compile_graph(large)).makespan
    report.at_most("100,000 tasks, default effort: makespan / HEFT", found.makespan / own, 0.999)
    report.at_most("100,000 tasks on 16 devices, CPU time", taken, 20.0, "s")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    report.at_most("peak memory of this process", peak, 2.0, "GiB")
    print(f"\n100,000 tasks: {found.passes:.0f} passes, gap {found.gap:.2%}, "
          f"{one * 1e6:.1f} us/task at 1,000, {many * 1e6:.1f} at 100,000")  # fmt: skip


def under_noise(report: Report, cases: Sequence[Case], few: Sequence[Schedule]) -> None:
    """Deciding anew when a task becomes ready, against the static plan."""
    ratios = []
    for case, plan in zip(cases, few, strict=True):
        rng = Random(0)
        for _ in range(NOISE_ROUNDS):
            factors = noise(case.graph, NOISE, rng)
            static = played_back(case.graph, plan, factors)
            ratios.append(static / redecided(case.graph, plan, factors))
    mean = sum(ratios) / len(ratios)
    print(f"\nunder noise {NOISE}: the static plan takes {mean:.4f} times as long, on average")
    if len(cases) >= WHOLE_SET:
        claim = "static plan / event-driven executor, noise 0.3, mean"
        report.at_least(claim, mean, 1.02)


def main() -> int:
    """Measure, print, and say by the exit code whether every claim holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--instances", type=Path, default=HERE, metavar="FOLDER")
    parser.add_argument("--seconds", type=float, default=3.0, help="CPU time of each instance")
    parser.add_argument("--cp-sat", action="store_true", help="give CP-SAT 25 s an instance")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows to this file")
    arguments = parser.parse_args()
    pin()
    used = versions(("deepseek-core", "ortools", "anrg-saga"))
    print_head("Placement of task graphs", used)
    report = Report(versions=used)
    cases = read_cases(arguments.instances)
    few = against_best(report, cases, arguments.seconds)
    beside_rules(cases)
    under_noise(report, cases, few)
    plans(report)
    proofs(report)
    slow_links(report)
    algorithms(report)
    prices(report, cases)
    if find_spec("ortools"):
        check_optima(report)
        if arguments.cp_sat:
            long_cp_sat(cases, few)
    else:
        print("\nleft out: CP-SAT (pip install ortools)")
    if find_spec("saga"):
        beside_saga(report)
    else:
        print("left out: saga (pip install anrg-saga)")
    scale(report)
    return report.finish(arguments.json)


if __name__ == "__main__":
    sys.exit(main())
