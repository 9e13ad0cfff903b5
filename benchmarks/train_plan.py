"""`ds-sdk train plan` beside what was measured and published, and the time of its search.

Published: times of a step and activation memory of four Megatron models on A100-80GB, without data
parallelism (Korthikanti et al., arXiv 2205.05198, Table 5 and Figure 1, as the validation of
Calculon lists them, Apache-2.0). The planner's two constants of matrix products were chosen on the
four times with full recomputation; the other times and the memory were not used. Nothing here
needs a GPU.

    python benchmarks/train_plan.py [--json FILE]
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any, Final

from _report import Report, pin, print_head, versions

# model: mesh, batch, seconds with full recomputation, seconds and GiB of activations with selective
# recomputation and sequence parallelism, GiB without recomputation
PUBLISHED: Final = {
    "22b": ({"dp": 1, "tp": 8, "pp": 1, "micro": 4}, 4, 1.42, 1.10, 9.5625, 59.25),
    "175b": ({"dp": 1, "tp": 8, "pp": 8, "interleave": 3}, 64, 18.13, 13.75, 12.3515625, 66.84375),
    "530b": (
        {"dp": 1, "tp": 8, "pp": 35, "interleave": 3}, 280, 49.05, 37.83, 23.076171875, 114.0234375
    ),
    "1t": ({"dp": 1, "tp": 8, "pp": 64}, 512, 94.42, 71.49, 26.5625, 131.25),
}  # fmt: skip
GPUS: Final = 1024
ROUNDS: Final = 5


def estimated(name: str, **training: Any) -> Any:
    """The mesh of a published run, on GPUs with all the memory that it may need."""
    import attrs

    from deepseek_parallel.planning.estimate import estimate
    from deepseek_parallel.planning.mesh import Mesh

    sizes, batch = PUBLISHED[name][:2]
    mesh = Mesh(**sizes)
    made = problem(name, mesh.pp, batch=batch, **training)
    group = attrs.evolve(made.cluster.groups[0], memory_nbytes=2**40)
    roomy = attrs.evolve(made, cluster=attrs.evolve(made.cluster, groups=(group,)))
    return estimate(roomy, mesh, "tp-dp-pp")


def problem(name: str, *nodes: int, **training: Any) -> Any:
    """A model on as many nodes of A100, and then of H100."""
    import attrs

    from deepseek_parallel.planning.cluster import GPUS as KNOWN
    from deepseek_parallel.planning.cluster import Cluster
    from deepseek_parallel.planning.estimate import Problem
    from deepseek_parallel.planning.model import MODELS
    from deepseek_parallel.planning.training import ASSUMED, Training

    kinds = ("a100-80g", "h100-80g")[: len(nodes)]
    groups = tuple(
        attrs.evolve(KNOWN[kind], nodes=num) for kind, num in zip(kinds, nodes, strict=True)
    )
    return Problem(
        model=MODELS[name],
        cluster=Cluster(groups=groups),
        training=Training(**training),
        assumed=ASSUMED,
    )


def add_published(report: Report) -> None:
    """Times and memory of the four models."""
    print(f"{'model':6}{'what':34}{'published':>10}{'model':>10}{'off':>9}")
    for name, (_, _, full_s, selective_s, selective_gib, none_gib) in PUBLISHED.items():
        full = estimated(name, recompute="full")
        selective = estimated(name, recompute="selective", sequence_parallel=True)
        none = estimated(name, recompute="none")
        none_found, selective_found = (one.memory.activations / 2**30 for one in (none, selective))
        rows = [
            ("step, full recomputation", full_s, full.seconds.total, 3.0, "s"),
            ("step, selective, sequence parallel", selective_s, selective.seconds.total, 5.0, "s"),
            ("activations, no recomputation", none_gib, none_found, 5.0, "GiB"),
            ("activations, selective, seq. par.", selective_gib, selective_found, 5.0, "GiB"),
        ]
        for what, published, found, bar, unit in rows:
            off = 100 * (found / published - 1)
            print(f"{name:6}{what:34}{published:10.2f}{found:10.2f}{off:+8.2f} %  {unit}")
            report.at_most(f"{name}: {what}, off from published", abs(off), bar, "%")


def add_search(report: Report) -> None:
    """Wall seconds of the search of all meshes."""
    from deepseek_parallel.planning.search import search

    for what, nodes in (("equal", (GPUS // 8,)), ("two kinds of", (GPUS // 16, GPUS // 16))):
        made = problem("175b", *nodes, batch=1536, recompute="selective", sequence_parallel=True)
        took = []
        for _ in range(ROUNDS):
            start_s = time.perf_counter()
            plans = search(made)
            took.append(time.perf_counter() - start_s)
        best = plans.fitting[0]
        print(
            f"\n{GPUS} {what} GPUs, 175b, batch 1536: {len(plans.fitting)} plans fit, "
            f"{len(plans.refused)} refused; {min(took):.2f} to {max(took):.2f} s\n  {best.mesh}, "
            f"{best.order}: {best.seconds.total:.2f} s a step (model)"
        )
        median_s = sorted(took)[ROUNDS // 2]
        report.at_most(f"search of all meshes of {GPUS} {what} GPUs", median_s, 1.0, "s")


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    pin()
    used = versions(["deepseek-core", "numpy"])
    print_head("Steps of a training by the planner's model, beside published ones", used)
    report = Report(versions=used)
    add_published(report)
    add_search(report)
    return report.finish(args.json)


if __name__ == "__main__":
    sys.exit(main())
