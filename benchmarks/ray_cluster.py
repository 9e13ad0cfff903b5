"""Visual search on a Ray cluster of two nodes: a plan of ours beside a pipeline by hand.

Both have one actor for each stage, on a node of its own of a cluster on this machine, the same
loaded stages in them, references between the stages, results in order, and as many batches in
flight. What differs is all that the SDK does: checks, limits, traces, moves when a node is lost.
One run, contestants in turn, medians. Two processes of one program differ by some percent for as
long as they live, so the cluster is started several times; the ratio is the median of its starts.

    python benchmarks/ray_cluster.py [--starts 3] [--rounds 15] [--batches 60] [--json FILE]
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from _report import Report, interleave, pin, print_head, print_timings, versions

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "visual_search"
BATCH = 32
NEIGHBORS = 5
IN_FLIGHT = 6
STORE_BYTES = 200 * 2**20

OURS = "(b) a plan of the SDK over both nodes"
BY_HAND = "(a) two actors by hand"
LOCAL = "(c) the same plan on this machine, without Ray"


class Stage:
    """What somebody writes who needs no more: a loaded stage in an actor."""

    def __init__(self, stage: Any) -> None:
        from deepseek_core import LoadOptions, Session

        self._session = Session(threads=1)
        self._loaded = self._session.planner.pool.open("onnx:cpu").load(stage, LoadOptions())
        self._given, self._made = stage.inputs[0].name, stage.outputs[0].name

    def run(self, value: Any) -> Any:
        """One batch."""
        return self._loaded.run({self._given: value})[self._made]


def by_hand(graph: Any, nodes: dict[str, str]) -> Any:
    """A function of batches to results, over an actor on each node."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    actors = [
        ray.remote(Stage)
        .options(num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False))
        .remote(stage.carried())
        for stage, node in zip(graph.stages, nodes.values(), strict=True)
    ]

    def search(batches: list[Any]) -> Iterator[Any]:
        waiting: deque[Any] = deque()
        for images in batches:
            reference = images
            for actor in actors:
                reference = actor.run.remote(reference)
            waiting.append(reference)
            if len(waiting) == IN_FLIGHT:
                yield ray.get(waiting.popleft())
        while waiting:
            yield ray.get(waiting.popleft())

    return search


def of_plan(plan: Any, name: str) -> Any:
    """A function of batches to results, by a plan."""

    def search(batches: list[Any]) -> Iterator[Any]:
        for result in plan.stream(({"images": b} for b in batches), max_in_flight=IN_FLIGHT):
            yield result[name]

    return search


def bound_graph(session: Any, gallery: Any) -> Any:
    """The model in two stages, with its gallery."""
    import numpy as np

    graph = session.load(EXAMPLE / "models" / "visual_search_int8.onnx")
    with session.plan(graph.until("embedding"), batch=BATCH) as plan:
        known = np.concatenate([r["embedding"] for r in plan.stream(split(gallery))])
    return graph.bind(gallery=known, k=np.array([NEIGHBORS]))


def split(crops: Any) -> list[dict[str, Any]]:
    """Pictures in batches."""
    return [{"images": crops.images[i : i + BATCH]} for i in range(0, len(crops), BATCH)]


def measured(args: argparse.Namespace, cluster: Any) -> tuple[Any, bool]:
    """Timings of all, and whether their answers are the same bits."""
    import numpy as np
    import ray

    from dataset import load_crops, split_by_board
    from deepseek_core import Session

    gallery, queries = split_by_board(load_crops())
    asked = [b["images"] for b in split(queries) if len(b["images"]) == BATCH]
    asked = (asked * (args.batches // len(asked) + 1))[: args.batches]
    settings = {"cluster_ray": {"address": cluster.address}}
    with (
        Session(threads=1) as here,
        Session(threads=1, executor="ray", devices=["onnx"], settings=settings) as there,
    ):
        graph = bound_graph(here, gallery)
        ids = {row["NodeName"]: row["NodeID"] for row in ray.nodes()}
        on = {s.name: f"ray:{n}/onnx:cpu" for s, n in zip(graph.stages, ids, strict=True)}
        local = {stage.name: "onnx:cpu" for stage in graph.stages}
        contestants = {
            BY_HAND: by_hand(graph, ids),
            OURS: of_plan(there.plan(graph, batch=BATCH, pin=on), "indices"),
            LOCAL: of_plan(here.plan(graph, batch=BATCH, pin=local), "indices"),
        }
        answers = [np.concatenate(list(search(asked))) for search in contestants.values()]
        timings = interleave(
            {name: lambda c=search: list(c(asked)) for name, search in contestants.items()},
            rounds=args.rounds,
        )
    return timings, all(np.array_equal(answers[0], one) for one in answers[1:])


def run(args: argparse.Namespace) -> int:
    """Measure, print, judge."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    try:
        import ray.cluster_utils  # noqa: F401 - whether it is there
    except ImportError:
        print("Ray isn't installed (make install-dev); nothing was measured")
        return 1
    sys.path.insert(0, str(EXAMPLE))
    used = versions(["deepseek-core", "deepseek-ray", "ray", "numpy", "onnxruntime"])
    print_head("Visual search on two nodes of a Ray cluster, both on this machine", used)
    ratios, all_same = [], True
    for start in range(1, args.starts + 1):
        timings, same = on_a_cluster(args)
        title = f"start {start}: {args.batches} batches of {BATCH} pictures"
        print_timings(title, timings, BY_HAND)
        for name, timing in timings.items():
            print(f"  {timing.median_s / args.batches * 1e3:8.2f} ms a batch  {name}")
        ratios.append(timings[OURS].median_s / timings[BY_HAND].median_s)
        all_same = all_same and same
    report = Report(versions=used)
    report.at_most("time of a batch, (b) over (a)", statistics.median(ratios), 1.10)
    report.at_least("answers of all are the same bits", float(all_same), 1.0, unit="")
    return report.finish(args.json)


def on_a_cluster(args: argparse.Namespace) -> tuple[Any, bool]:
    """What `measured` gives, on a cluster of its own."""
    import ray
    from ray.cluster_utils import Cluster

    with tempfile.TemporaryDirectory() as cache:
        os.environ["DEEPSEEK_CACHE_DIR"] = cache
        node = {"num_cpus": 1, "object_store_memory": STORE_BYTES}
        head = {**node, "include_dashboard": False, "node_name": "a"}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        try:
            cluster.add_node(**node, node_name="b")
            return measured(args, cluster)
        finally:
            ray.shutdown()
            cluster.shutdown()


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--starts", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=15, help="default: %(default)s")
    parser.add_argument("--batches", type=int, default=60, help="default: %(default)s")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    pin(cores=2)
    return run(args)


if __name__ == "__main__":
    sys.exit(main())
