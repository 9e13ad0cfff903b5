"""Graphs that `placement.py` makes: random ones, stages of plans, and those of known algorithms."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from random import Random

from deepseek_core import Concurrency, Estimate
from deepseek_core.schedule.dag.graph import TaskGraph
from deepseek_core.schedule.dag.nodes import DagDevice, DagTask
from deepseek_core.schedule.problem import Candidate, Link, Objective, Problem, StageOptions

Edges = list[tuple[str, str]]


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


def slow_link_graphs(count: int) -> Iterator[TaskGraph]:
    """Small random graphs with links 15 to 45 times slower than the tasks."""
    rng = Random(1)
    for _ in range(count):
        yield random_graph(rng, rng.randint(8, 12), 3, slow=rng.uniform(15, 45))


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


def stage_problem(rng: Random, stages: int, devices: int) -> Problem:
    """Stages of one batch: some devices take two at once, some refuse some stages.

    A stage reads one to three of those not far before it; a transfer takes from a fiftieth of a
    stage's time to three times as much, the same magnitude for all links of a problem.
    """
    ids = [f"d{n}" for n in range(devices)]
    wide, slow = rng.choice((2, 4, 8)), math.exp(rng.uniform(math.log(0.02), math.log(3)))
    rows = tuple(_stage(rng, number, ids, wide) for number in range(stages))
    pairs = [(a, b) for a in ids for b in ids if a != b]
    return Problem(
        stages=rows,
        concurrency={d: Concurrency(slots=rng.choice((1, 1, 1, 2))) for d in ids},
        host_cores=64,
        objective=Objective.MAKESPAN,
        links={
            pair: Link(latency_s=0.05 * slow, s_per_byte=1e-6 * slow * rng.uniform(0.5, 2))
            for pair in pairs
        },
    )


def _stage(rng: Random, number: int, ids: list[str], wide: int) -> StageOptions:
    before = range(max(0, number - 2 * wide), number)
    reads = sorted({rng.choice(before) for _ in range(rng.randint(1, 3))}) if number else []
    base = rng.lognormvariate(0, 0.7)
    costs = {d: base * rng.lognormvariate(0, 0.6) for d in ids}
    refusing = set(rng.sample(ids, len(ids) // 2)) if number % 5 == 4 else set()
    return StageOptions(
        name=f"s{number}",
        predecessors=tuple(f"s{p}" for p in reads),
        read_bytes={f"s{p}": int(1e6 * rng.uniform(0.2, 2)) for p in reads},
        candidates=tuple(
            Candidate(device_id=d, refusal="no such operator")
            if d in refusing
            else Candidate(
                device_id=d, estimate=Estimate(seconds=costs[d], sigma=0.0, source="measured")
            )
            for d in ids
        ),
    )


def stage_problems(count: int) -> Iterator[Problem]:
    """Problems of 8 to 100 stages on 2 to 8 devices, one for each seed."""
    for seed in range(count):
        rng = Random(seed)
        yield stage_problem(rng, rng.randint(8, 100), rng.randint(2, 8))


def cholesky(tiles: int) -> Edges:
    """Right-looking tile Cholesky factorization."""
    edges, last = Edges(), dict[tuple[int, int], str]()

    def task(name: str, writes: tuple[int, int], *reads: tuple[int, int]) -> None:
        edges.extend((last[tile], name) for tile in (writes, *reads) if tile in last)
        last[writes] = name

    for k in range(tiles):
        task(f"potrf{k}", (k, k))
        for i in range(k + 1, tiles):
            task(f"trsm{i},{k}", (i, k), (k, k))
        for i in range(k + 1, tiles):
            task(f"syrk{i},{k}", (i, i), (i, k))
            for j in range(k + 1, i):
                task(f"gemm{i},{j},{k}", (i, j), (i, k), (j, k))
    return edges


def gauss(size: int) -> Edges:
    """Gaussian elimination of a matrix by columns: a pivot, then the columns behind it."""
    edges = Edges()
    for k in range(size - 1):
        for j in range(k + 1, size):
            edges.append((f"pivot{k}", f"update{k},{j}"))
            if k:
                edges.append((f"update{k - 1},{j}", f"update{k},{j}"))
        if k:
            edges.append((f"update{k - 1},{k}", f"pivot{k}"))
    return edges


def fft(points: int) -> Edges:
    """The recursive calls as a binary tree, then log2(points) layers of butterflies."""
    levels = points.bit_length() - 1
    edges = [
        (f"call{depth},{n}", f"call{depth + 1},{2 * n + side}")
        for depth in range(levels)
        for n in range(2**depth)
        for side in (0, 1)
    ]
    name = [f"call{levels},{n}" for n in range(points)]
    for layer in range(levels):
        now = [f"fly{layer},{n}" for n in range(points)]
        edges += [(name[n], now[n]) for n in range(points)]
        edges += [(name[n ^ 2**layer], now[n]) for n in range(points)]
        name = now
    return edges


def fork_join(width: int, phases: int = 4) -> Edges:
    """Phases of independent tasks between two points where all wait for each other."""
    edges = Edges()
    for phase in range(phases):
        for n in range(width):
            edges += [
                (f"fork{phase}", f"work{phase},{n}"),
                (f"work{phase},{n}", f"fork{phase + 1}"),
            ]
    return edges


_SHAPES: tuple[tuple[str, Callable[[int], Edges], tuple[int, int]], ...] = (
    ("Cholesky", cholesky, (5, 8)),
    ("FFT", fft, (8, 32)),
    ("Gauss", gauss, (7, 14)),
    ("fork-join", fork_join, (6, 24)),
)


def algorithm_graphs() -> Iterator[TaskGraph]:
    """Each algorithm in two sizes, with transfers a tenth, as long and five times as long as tasks.

    Costs as in Topcuoglu, Hariri, Wu 2002: a mean for each task, devices off by up to half of it.
    """
    for shape, make, sizes in _SHAPES:
        for size in sizes:
            for ratio in (0.1, 1.0, 5.0):
                rng = Random(f"{shape} {size} {ratio}")
                yield _costed(rng, f"{shape} {size}, transfers x{ratio:g}", make(size), ratio)


def _costed(rng: Random, name: str, edges: Edges, ratio: float) -> TaskGraph:
    ids = list(dict.fromkeys(one for edge in edges for one in edge))
    devices = range(4 if len(ids) < 60 else 8)
    means = {i: rng.uniform(1, 19) for i in ids}
    return TaskGraph(
        name=name,
        unit="ms",
        devices=[DagDevice(id=f"d{n}", type=f"kind{n}", mem=n) for n in devices],
        bandwidth=[[None if a == b else 1.0 for b in devices] for a in devices],
        latency=[[0.0 for _ in devices] for _ in devices],
        tasks=[
            DagTask(id=i, cost={f"kind{n}": means[i] * rng.uniform(0.5, 1.5) for n in devices})
            for i in ids
        ],
        edges=[(a, b, 10 * ratio * rng.uniform(0.5, 1.5)) for a, b in dict.fromkeys(edges)],
    )
