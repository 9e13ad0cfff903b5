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
PASSES, SMALL_PASSES = 24, 8000
SMALL_GRAPHS, LARGE_TASKS = 200, 100_000
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
    """Within 24 passes, and with time, on every instance."""
    few = [checked(c.graph, solve(c.graph, passes=PASSES)) for c in cases]
    long = [
        checked(c.graph, solve(c.graph, seconds=seconds, clock=time.process_time)) for c in cases
    ]
    print(f"\n{'instance':42} {'HEFT':>7} {'24 passes':>9} {f'{seconds:g} s':>8} {'gap':>7}")
    for c, a, b in zip(cases, few, long, strict=True):
        mark = "  new best known" if b.makespan < c.best * (1 - 1e-6) else ""
        print(
            f"{c.graph.name:42} {c.heft / c.best:7.4f} {a.makespan / c.best:9.5f} "
            f"{b.makespan / c.best:8.5f} {b.gap:7.2%}{mark}"
        )
    for title, found, mean_bar, worst_bar in (
        ("24 list passes", few, 1.0045, 1.045),
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


def random_graph(rng: Random, tasks: int, devices: int, *, slow: float = 0.0) -> TaskGraph:
    """Unrelated costs of 1 to 10; links on which a byte takes `slow`, edges of about one byte."""
    ids = [str(i) for i in range(tasks)]
    kinds = [f"kind{d}" for d in range(devices)]
    rate = None if slow == 0 else 1 / slow
    edges = [
        (ids[i], ids[j], rng.uniform(0.5, 2))
        for j in range(tasks)
        for i in range(max(0, j - 5), j)
        if rng.random() < 0.35
    ]
    return TaskGraph(
        devices=[DagDevice(id=f"d{n}", type=k, mem=n) for n, k in enumerate(kinds)],
        bandwidth=[[None if a == b else rate for b in range(devices)] for a in range(devices)],
        latency=[[0.0] * devices for _ in range(devices)],
        tasks=[DagTask(id=i, cost={k: rng.uniform(1, 10) for k in kinds}) for i in ids],
        edges=edges,
    )


def cp_sat(graph: TaskGraph, seconds: float) -> tuple[float, bool]:
    """Makespan and whether it is proven, in steps of a millionth of HEFT's."""
    from ortools.sat.python import cp_model  # type: ignore[import-not-found]

    horizon = sum(max(c for c in t.cost.values() if c is not None) for t in graph.tasks)
    horizon += sum(_slowest(graph, e.nbytes) for e in graph.edges)
    step = heft(compile_graph(graph)).makespan / 1e6
    model = cp_model.CpModel()
    limit = int(horizon / step) + len(graph.tasks) + 1
    start = {t.id: model.new_int_var(0, limit, "") for t in graph.tasks}
    end = {t.id: model.new_int_var(0, limit, "") for t in graph.tasks}
    on = {}
    for device in graph.devices:
        lane = []
        for t in graph.tasks:
            cost = t.cost.get(device.type)
            if cost is None:
                continue
            here = on[t.id, device.id] = model.new_bool_var("")
            length = round(cost / step)
            lane.append(model.new_optional_fixed_size_interval_var(start[t.id], length, here, ""))
            model.add(end[t.id] == start[t.id] + length).only_enforce_if(here)
        model.add_no_overlap(lane)
    for t in graph.tasks:
        model.add_exactly_one(on[t.id, d.id] for d in graph.devices if (t.id, d.id) in on)
    for source, target, nbytes in graph.edges:
        model.add(start[target] >= end[source])
        for a in graph.devices:
            for b in graph.devices:
                delay = round(graph.transfer(nbytes, a.mem, b.mem) / step)
                if delay and (source, a.id) in on and (target, b.id) in on:
                    both = [on[source, a.id], on[target, b.id]]
                    model.add(start[target] >= end[source] + delay).only_enforce_if(both)
    makespan = model.new_int_var(0, limit, "")
    model.add_max_equality(makespan, list(end.values()))
    model.minimize(makespan)
    solver = cp_model.CpSolver()
    solver.parameters.max_time_in_seconds = seconds
    solver.parameters.num_workers = 1
    status = solver.solve(model)
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return math.inf, False
    return solver.objective_value * step, status == cp_model.OPTIMAL


def _slowest(graph: TaskGraph, nbytes: float) -> float:
    nodes = range(len(graph.bandwidth))
    return max(graph.transfer(nbytes, a, b) for a in nodes for b in nodes)


def slow_links(report: Report) -> None:
    """Small random graphs with links 15 to 45 times slower than the tasks, against optima."""
    rng = Random(1)
    ratios, rule, proven = [], [], 0
    for _ in range(SMALL_GRAPHS):
        graph = random_graph(rng, rng.randint(8, 12), 3, slow=rng.uniform(15, 45))
        optimum, sure = cp_sat(graph, 20.0)
        proven += sure
        found = checked(graph, solve(graph, passes=SMALL_PASSES, rng=Random(0)))
        ratios.append(found.makespan / optimum)
        rule.append(heft(compile_graph(graph)).makespan / optimum)
    mean = sum(ratios) / len(ratios)
    print(f"\nslow links: {proven} of {SMALL_GRAPHS} optima proven; HEFT mean "
          f"{sum(rule) / len(rule):.2f}, worst {max(rule):.2f}")  # fmt: skip
    what = f"makespan / CP-SAT optimum, {SMALL_GRAPHS} graphs with slow links"
    print(f"ours after {SMALL_PASSES} passes: mean {mean:.5f}, worst {max(ratios):.4f}")
    report.at_most(f"{what}, mean", mean, 1.02)
    report.at_most(f"{what}, worst", max(ratios), 1.10)


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


def large_graph(tasks: int) -> TaskGraph:
    """16 devices of 4 types on 8 memories; each task waits for two of the 200 before it."""
    rng, kinds, nodes = Random(0), "abcd", range(8)
    edges = {(max(0, i - rng.randint(1, 200)), i) for i in range(1, tasks) for _ in "ab"}
    return TaskGraph(
        devices=[DagDevice(id=f"d{n}", type=kinds[n % 4], mem=n % 8) for n in range(16)],
        bandwidth=[
            [None if a == b else 1e9 * (1 + (7 * a + 3 * b) % 5) for b in nodes] for a in nodes
        ],
        latency=[[1e-5] * 8 for _ in nodes],
        tasks=[
            DagTask(id=str(i), cost={k: rng.uniform(5e-4, 2e-3) for k in kinds})
            for i in range(tasks)
        ],
        edges=[(str(a), str(b), rng.uniform(1e3, 1e6)) for a, b in sorted(edges)],
    )


def scale(report: Report) -> None:
    """The default budget of `ds-sdk schedule` on 100,000 tasks, and how one pass grows."""
    small, large = large_graph(1000), large_graph(LARGE_TASKS)
    one = least_s(lambda: heft(compile_graph(small)), 5) / 1000
    many = least_s(lambda: heft(compile_graph(large)), 2) / LARGE_TASKS
    report.at_most("HEFT, cost per task, 100,000 tasks / 1,000 tasks", many / one, 3.0)
    start = time.process_time()
    found = solve(large, passes=PASSES, seconds=10.0, clock=time.process_time)
    taken = time.process_time() - start
    checked(large, found)
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
    if find_spec("ortools"):
        slow_links(report)
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
