"""How well the cost model predicts what was not measured, and what its decisions cost.

Every operator is measured over batch sizes on each device that runs it; the model then sees a
few single samples and predicts the other sizes. One thread, this machine's real devices. Then
devices that follow a law, drawn at random, for which no device is needed and no quiet machine.

    python benchmarks/cost_model.py [--rounds 7] [--laws-only] [--json FILE]
"""

from __future__ import annotations

import argparse
import itertools
import math
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from onnx import TensorProto, helper, numpy_helper

import _cost_laws as laws
from _report import Report, pin, print_head, versions
from deepseek_core import Artifact, Estimate, LatencyClass, LoadOptions, Session, Task
from deepseek_core.schedule.cost import Sample, predict
from matcher import match_model, random_rows

BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
DRAWS = 40
LAW_DRAWS = 150
LAW_SIZES = (3, 4, 5, 6)
SLOWER = 3.0
# (metric, gallery rows, elements of a row): 10 matchers, both latency classes, 10 batch sizes.
MATCHERS = (
    *itertools.product(("l2_f32", "l2_i8"), (500, 8000), (64, 256)),
    ("hamming", 4000, 32),
    ("hamming", 16000, 16),
)
GRID_BATCHES = (1, 2, 3, 6, 12, 24, 48, 96, 192, 384)
SAMPLED_BATCHES = (2, 24, 192)  # one run of each: the three samples of a device


@attrs.frozen(eq=False)
class Curve:
    """Measured seconds by batch size of a stage on a device, with the device's prior."""

    name: str
    prior: Callable[[int], Estimate]
    seconds: dict[int, list[float]]

    def truth(self, batch: int) -> float:
        """Median seconds."""
        return statistics.median(self.seconds[batch])


def layer(operator: str, width: int) -> bytes:
    """A model of one operator over [batch, ...], as ONNX bytes."""
    rng = np.random.default_rng(0)
    value = helper.make_tensor_value_info
    weights: list[Any] = []
    shape: list[Any] = ["batch", width]
    inputs = ["x"]
    if operator == "Conv":
        shape = ["batch", width, 16, 16]
        weights = [rng.standard_normal((width, width, 3, 3)).astype(np.float32)]
    elif operator == "MatMul":
        weights = [rng.standard_normal((width, width)).astype(np.float32)]
    named = [numpy_helper.from_array(w, f"w{i}") for i, w in enumerate(weights)]
    attributes = {"pads": [1, 1, 1, 1]} if operator == "Conv" else {}
    node = helper.make_node(operator, inputs + [w.name for w in named], ["y"], **attributes)
    graph = helper.make_graph(
        [node],
        operator,
        [value("x", TensorProto.FLOAT, shape)],
        [value("y", TensorProto.FLOAT, shape)],
        named,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    content: bytes = model.SerializeToString()
    return content


def layers() -> Iterator[tuple[str, bytes]]:
    """Operators of several widths."""
    for operator, widths in (
        ("MatMul", (64, 256, 1024)),
        ("Relu", (1024, 16384, 65536)),
        ("Conv", (8, 32)),
        ("Softmax", (256, 4096)),
    ):
        for width in widths:
            yield f"{operator} {width}", layer(operator, width)


def curves_of_layers(session: Session, rounds: int) -> list[Curve]:
    """Each layer on each device that supports it."""
    found = []
    for name, content in layers():
        graph = session.load(Artifact.from_bytes(content, format="onnx"))
        found += measured(session, graph, name, rounds=rounds)
    return found


def matcher_graph(session: Session, metric: str, rows: int, width: int) -> Any:
    """A matcher with its gallery fixed."""
    rng = np.random.default_rng(0)
    model = Artifact.from_bytes(match_model(metric, width), format="onnx")
    gallery = random_rows(rng, metric, rows, width)
    return session.load(model).bind(gallery=gallery, k=np.array([4]))


def measured(
    session: Session,
    graph: Any,
    name: str,
    *,
    batches: tuple[int, ...] = BATCHES,
    latency: LatencyClass = LatencyClass.OFFLINE,
    rounds: int,
) -> list[Curve]:
    """The graph's one stage on each device, devices and sizes in turn."""
    (stage,) = graph.stages
    devices = [d for d in session._pool.present() if all(map(d.supports, stage.operations))]
    loaded = [d.load(stage, LoadOptions(latency=latency)) for d in devices]
    inputs = {b: sample(stage, b) for b in batches}
    seconds: list[dict[int, list[float]]] = [{b: [] for b in batches} for _ in devices]
    for turn in range(-1, rounds):
        for batch in batches:
            for times, executable in zip(seconds, loaded, strict=True):
                start_s = time.perf_counter()
                executable.run(inputs[batch])
                if turn >= 0:
                    times[batch].append(time.perf_counter() - start_s)
    for executable in loaded:
        executable.close()
    return [
        Curve(f"{name} on {d.info.id}", prior_of(d, stage, latency), times)
        for d, times in zip(devices, seconds, strict=True)
    ]


def sample(stage: Any, batch: int) -> dict[str, Any]:
    """One input of `batch` items."""
    rng = np.random.default_rng(batch)
    (spec,) = stage.inputs
    shape = spec.bound({"batch": batch})
    if spec.dtype == "float32":
        return {spec.name: rng.random(shape, dtype=np.float32)}
    return {spec.name: rng.integers(0, 100, shape).astype(spec.dtype)}


def prior_of(device: Any, stage: Any, latency: LatencyClass) -> Callable[[int], Estimate]:
    """The device's own estimate, by batch size."""
    known: dict[int, Estimate] = {}

    def prior(batch: int) -> Estimate:
        if batch not in known:
            known[batch] = device.estimate(Task(stage=stage, batch=batch, latency=latency))
        return known[batch]

    return prior


def errors(curves: list[Curve], num_samples: int) -> tuple[list[float], float]:
    """Factors by which sizes not seen are missed, and the share inside the 90 % interval."""
    rng = random.Random(num_samples)
    factors, inside = [], []
    for curve in curves:
        for _ in range(DRAWS):
            seen = rng.sample(sorted(curve.seconds), num_samples)
            samples = [Sample(b, rng.choice(curve.seconds[b])) for b in seen]
            for batch in sorted(set(curve.seconds) - set(seen)):
                estimate = predict(curve.prior, samples, batch)
                factors.append(math.exp(abs(math.log(estimate.seconds / curve.truth(batch)))))
                low, high = estimate.interval_s
                inside.append(low <= rng.choice(curve.seconds[batch]) <= high)
    return factors, sum(inside) / len(inside)


def robustness(curves: list[Curve]) -> tuple[list[float], float]:
    """Moves by one 500x outlier, sorted, and by how much a 3x slow-down is missed after 8."""
    rng = random.Random(0)
    moves, misses = [], []
    for curve in curves * DRAWS:
        batch = rng.choice(sorted(curve.seconds))
        good = [Sample(batch, rng.choice(curve.seconds[batch])) for _ in range(rng.randint(1, 8))]
        before = predict(curve.prior, good, batch).seconds
        bad = good.copy()
        bad.insert(rng.randrange(len(bad) + 1), Sample(batch, 500 * curve.truth(batch)))
        moves.append(abs(predict(curve.prior, bad, batch).seconds / before - 1))
        slow = good + [Sample(batch, 3 * rng.choice(curve.seconds[batch])) for _ in range(8)]
        after = predict(curve.prior, slow, batch).seconds
        misses.append(abs(math.log(after / (3 * curve.truth(batch)))))
    return sorted(moves), math.exp(statistics.median(misses))


def decisions(session: Session, rounds: int) -> tuple[int, float, float]:
    """Cases, and what ours and the best single device cost over the oracle, on average."""
    rng = random.Random(1)
    ours, fixed = [], {}
    for (metric, rows, width), latency in itertools.product(MATCHERS, LatencyClass):
        graph = matcher_graph(session, metric, rows, width)
        name = f"{metric} {rows}x{width}"
        curves = measured(
            session, graph, name, batches=GRID_BATCHES, latency=latency, rounds=rounds
        )
        samples = [[Sample(b, rng.choice(c.seconds[b])) for b in SAMPLED_BATCHES] for c in curves]
        for batch in GRID_BATCHES:
            costs = [c.truth(batch) for c in curves]
            expected = [predict(c.prior, s, batch) for c, s in zip(curves, samples, strict=True)]
            z = 1.2816 if latency is LatencyClass.REALTIME else 0.0
            quantiles = [e.quantile(z) for e in expected]
            ours.append(costs[quantiles.index(min(quantiles))] / min(costs))
            for curve, cost in zip(curves, costs, strict=True):
                device = curve.name.rsplit(" ", 1)[1]
                fixed.setdefault(device, []).append(cost / min(costs))
    complete = [values for values in fixed.values() if len(values) == len(ours)]
    return len(ours), statistics.fmean(ours), min(map(statistics.fmean, complete))


def run(args: argparse.Namespace) -> int:
    """Measure, print, judge."""
    used = versions(["deepseek-core", "numpy", "onnxruntime", "pyopencl"])
    print_head("cost model, one pinned thread", used)
    report = Report(versions=used)
    if not args.laws_only:
        judge_devices(report, args.rounds)
    judge_laws(report)
    judge_drift(report)
    return report.finish(args.json)


def judge_devices(report: Report, rounds: int) -> None:
    """The claims about this machine's devices."""
    with (
        tempfile.TemporaryDirectory() as cache,
        Session(threads=1, cache_dir=Path(cache)) as session,
    ):
        curves = curves_of_layers(session, rounds)
        for metric, rows, width in MATCHERS[::3]:
            graph = matcher_graph(session, metric, rows, width)
            name = f"{metric} {rows}x{width}"
            curves += measured(session, graph, name, rounds=rounds)
        judge_errors(report, curves)
        cases, ours, fixed = decisions(session, rounds)
    print(
        f"\ndecisions on {cases} cases: ours {ours:.4f} of the oracle's cost, the best "
        f"single device {fixed:.4f}"
    )
    report.at_most(f"cost of {cases} decisions after 3 samples over the oracle's", ours, 1.03)


def judge_errors(report: Report, curves: list[Curve]) -> None:
    """The claims about predictions."""
    print(f"\n{len(curves)} curves\n  samples  median     p90  inside 90 %")
    for num_samples in (0, 1, 2, 3, 5):
        factors, share = errors(curves, num_samples)
        factors.sort()
        middle, p90 = statistics.median(factors), factors[int(0.9 * len(factors))]
        print(f"  {num_samples:7} {middle:7.3f} {p90:7.2f} {share:12.3f}")
        if num_samples == 1:
            report.at_most("median factor error after 1 sample", middle, 1.40)
        if num_samples == 5:
            report.at_most("median factor error after 5 samples", middle, 1.12)
            report.at_most("90th percentile of it", p90, 1.8)
            report.at_least("share inside the 90 % interval", share, 0.85, unit="")
            report.at_most("share inside the 90 % interval, not too wide", share, 0.97, unit="")
    moves, miss = robustness(curves)
    print(
        f"  one outlier among 1 to 8 samples: median move {statistics.median(moves):.3f}, "
        f"largest {moves[-1]:.3f} (one order statistic of the good samples)"
    )
    p90 = moves[int(0.9 * len(moves))]
    report.at_most("move by one 500x outlier, 90th percentile", p90, 0.10, unit="")
    report.at_most("factor by which a 3x slow-down is missed after 8 samples", miss, 1.12)


def judge_laws(report: Report) -> None:
    """The claims about intervals, for devices of which only the law is known."""
    print(f"\ninside 90 %, {LAW_DRAWS} devices of each law, 3 runs of so many sizes")
    print(f"  {'law':12}" + "".join(f"{sizes:8}" for sizes in LAW_SIZES) + "   one run")
    for name, law in laws.LAWS.items():
        shares = [laws.covered(law, sizes, draws=LAW_DRAWS) for sizes in LAW_SIZES]
        once = [laws.covered(law, sizes, draws=LAW_DRAWS, runs=1) for sizes in LAW_SIZES]
        cells = "".join(f"{share:8.3f}" for share in shares)
        print(f"  {name:12}{cells}{statistics.fmean(once):10.3f}")
        claim = f"share inside the 90 % interval, law {name}"
        report.at_least(f"{claim}, least of 3 to 6 sizes", min(shares), 0.85, unit="")
        report.at_least(f"{claim}, one run of each size", statistics.fmean(once), 0.85, unit="")
        report.at_most(f"{claim}, not too wide", statistics.fmean(shares), 0.97, unit="")


def judge_drift(report: Report) -> None:
    """The claims about a device that becomes slower.

    What is told of a size by another one's drift is no better than what both were known by: three
    to nine runs. 1.25 leaves a fifth of the drift and is what single runs scatter by.
    """
    print(f"\n{SLOWER:g}x slower, seen at one size 8 times: neighbors missed by (median, p90)")
    worst = []
    for name, law in laws.LAWS.items():
        if name != "bimodal":  # of which no run tells what the next one takes
            missed = laws.neighbors_missed(law, SLOWER, draws=LAW_DRAWS)
            worst.append(laws.quantile(missed, 0.9))
            print(f"  {name:12} {laws.quantile(missed, 0.5):7.3f} {worst[-1]:7.3f}")
    claim = "factor by which neighbors of a size that became 3x slower are missed, p90"
    report.at_most(f"{claim} of the worst law", max(worst), 1.25)
    for sigma in (0.05, 0.1, 0.2, 0.3):
        missed_by = laws.service_missed(sigma, SLOWER, draws=LAW_DRAWS)
        claim = f"factor by which a served device (sigma {sigma:g}) 3x slower is missed"
        report.at_most(f"{claim} after 8 runs", missed_by, 1.12)


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7, help="default: %(default)s")
    parser.add_argument("--laws-only", action="store_true", help="only what needs no device")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    pin()
    return run(args)


if __name__ == "__main__":
    sys.exit(main())
