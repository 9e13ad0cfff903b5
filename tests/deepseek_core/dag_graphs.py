"""Task graphs for tests: drawn by hypothesis, large ones, and a plain oracle."""

import itertools
import random

from hypothesis import strategies as st

from deepseek_core.schedule.dag.graph import TaskGraph
from deepseek_core.schedule.dag.nodes import DagDevice, DagTask

TIMES = st.one_of(st.just(0.0), st.floats(0.01, 10))


def device(name, kind=None, mem=0, mem_bytes=None):
    return DagDevice(id=name, type=kind or name, mem=mem, mem_bytes=mem_bytes)


def task(name, mem_bytes=0.0, colocate=None, **cost):
    return DagTask(id=name, cost=cost, mem_bytes=mem_bytes, colocate=colocate)


@st.composite
def graphs(draw, most=12, limits=False):
    """Unrelated costs on two memories and up to four devices, some of them alike."""
    count = draw(st.integers(1, most))
    kinds = [*draw(st.lists(st.sampled_from("ab"), min_size=1, max_size=3)), "a"]
    devices = [device(f"d{n}", kind, mem=draw(st.integers(0, 1))) for n, kind in enumerate(kinds)]
    tasks = []
    for n in range(count):
        cost = {"a": draw(TIMES), "b": draw(st.one_of(st.none(), TIMES))}
        together = draw(st.sampled_from([None, None, "g", "h"])) if limits else None
        nbytes = draw(st.sampled_from([0.0, 1.0, 3.0])) if limits else 0.0
        state = draw(st.booleans())
        tasks.append(
            DagTask(id=str(n), cost=cost, mem_bytes=nbytes, colocate=together, stateful=state)
        )
    pairs = list(itertools.combinations(range(count), 2))
    chosen = (
        draw(st.lists(st.sampled_from(pairs), max_size=2 * count, unique=True)) if pairs else []
    )
    link = draw(st.floats(0.05, 10))
    late = draw(st.sampled_from([0.0, 0.5]))
    return TaskGraph(
        devices=devices,
        bandwidth=[[None, link], [2 * link, None]],
        latency=[[0.0, late], [late, 0.0]],
        tasks=tasks,
        edges=[(str(a), str(b), draw(st.sampled_from([0.0, 1.0, 7.5]))) for a, b in chosen],
    )


def layered(count, devices=16, seed=0):
    """Each task waits for two of the 50 before it."""
    rng = random.Random(seed)
    edges = {(max(0, i - rng.randint(1, 50)), i) for i in range(1, count) for _ in "ab"}
    return TaskGraph(
        devices=[device(f"d{n}", "abcd"[n % 4], mem=n % 4) for n in range(devices)],
        bandwidth=[[None if a == b else 1e9 for b in range(4)] for a in range(4)],
        latency=[[1e-5] * 4 for _ in range(4)],
        tasks=[task(str(i), **{k: rng.uniform(0.5, 2) for k in "abcd"}) for i in range(count)],
        edges=[(str(a), str(b), 1e6) for a, b in sorted(edges)],
    )


def optimum(graph):
    """Least makespan over all assignments and orders, without gaps to insert into.

    Memory and groups restrict the assignments.
    """
    best = float("inf")
    index = graph.index
    before = [[] for _ in graph.tasks]
    for source, target, nbytes in graph.edges:
        before[index[target]].append((index[source], nbytes))
    count = len(graph.tasks)
    orders = [
        order
        for order in itertools.permutations(range(count))
        if all(order.index(p) < order.index(t) for t in range(count) for p, _ in before[t])
    ]
    for places in itertools.product(graph.devices, repeat=count):
        costs = [graph.tasks[t].cost[places[t].type] for t in range(count)]
        if None in costs or not _allowed(graph, places):
            continue
        for order in orders:
            free, end = dict.fromkeys((d.id for d in graph.devices), 0.0), [0.0] * count
            for t in order:
                arrivals = [
                    end[p] + graph.transfer(n, places[p].mem, places[t].mem) for p, n in before[t]
                ]
                end[t] = free[places[t].id] = max([free[places[t].id], *arrivals]) + costs[t]
            best = min(best, max(end))
    return best


def _allowed(graph, places):
    """Whether groups stay together and the memory of pools suffices."""
    room = {key: float("inf") if limit is None else limit for key, limit in graph.pools.items()}
    for one, place in zip(graph.tasks, places, strict=True):
        room[graph.pool_of(place)] -= one.needs(place.type)
    together = [{places[t].id for t in members} for members in graph.groups.values()]
    return min(room.values()) >= 0 and all(len(homes) == 1 for homes in together)
