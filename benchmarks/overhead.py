"""What the SDK's executable adds to ONNX Runtime's own call.

A session each with the same options, pinned to one core and one thread; raw and ours take turns
in one process, and each figure is a ratio of medians. `raw` is `InferenceSession.run`.

    python benchmarks/overhead.py [--json FILE]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from _report import Report, Row, interleave, pin, print_head, versions
from deepseek_core import Artifact, LoadOptions, OpenOptions
from deepseek_onnx.device import DEVICE_ID, open_device
from deepseek_onnx.frontend import whole_model_stage
from deepseek_onnx.ort import ort as onnxruntime

MEDIUM = "4 layers of 256, 64 rows"
TINY = "1 layer of 8, 1 row"
ROUNDS = 100
ROUND_S = 2e-3  # of each contestant in each round


def perceptron(width: int, layers: int) -> bytes:
    """x[n, width] -> y[n, width]: layers of MatMul and Relu."""
    rng = np.random.default_rng(0)
    names = ["x", *(f"h{i}" for i in range(layers - 1)), "y"]
    nodes, weights = [], []
    for i in range(layers):
        matrix = rng.standard_normal((width, width)).astype(np.float32) / width
        weights.append(numpy_helper.from_array(matrix, f"w{i}"))
        nodes.append(helper.make_node("MatMul", [names[i], f"w{i}"], [f"m{i}"]))
        nodes.append(helper.make_node("Relu", [f"m{i}"], [names[i + 1]]))
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", width]) for n in "xy"]
    graph = helper.make_graph(nodes, "perceptron", values[:1], values[1:], weights)
    opsets = [helper.make_opsetid("", 17)]
    content: bytes = helper.make_model(
        graph, ir_version=8, opset_imports=opsets
    ).SerializeToString()
    return content


def raw_session(content: bytes) -> onnxruntime.InferenceSession:
    """A session with the options that the device uses offline."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_mem_pattern = False
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def medians_us(contestants: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Median microseconds of a call of each contestant; rounds of many calls take turns."""
    calls = {name: _calls_per_round(run) for name, run in contestants.items()}
    rounds = {name: _repeated(run, calls[name]) for name, run in contestants.items()}
    timings = interleave(rounds, rounds=ROUNDS)
    return {name: timing.median_s / calls[name] * 1e6 for name, timing in timings.items()}


def _calls_per_round(run: Callable[[], object]) -> int:
    """So many that the clock's own cost and resolution do not count."""
    few = _repeated(run, 20)
    few()
    start_s = time.perf_counter()
    few()
    return max(5, int(20 * ROUND_S / (time.perf_counter() - start_s)))


def _repeated(run: Callable[[], object], count: int) -> Callable[[], None]:
    def repeat() -> None:
        for _ in range(count):
            run()

    return repeat


def measure(width: int, layers: int, rows: int) -> dict[str, float]:
    """Median microseconds of `raw`, `run` and `bound` on one model."""
    content = perceptron(width, layers)
    inputs = {"x": np.random.default_rng(1).standard_normal((rows, width)).astype(np.float32)}
    outputs = {"y": np.empty((rows, width), np.float32)}
    with tempfile.TemporaryDirectory() as cache:
        device = open_device(DEVICE_ID, OpenOptions(threads=1, cache_dir=Path(cache)))
        stage = whole_model_stage(Artifact.from_bytes(content, format="onnx"))
        ours, raw = device.load(stage, LoadOptions()), raw_session(content)
        contestants = {
            "raw": lambda: raw.run(["y"], inputs),
            "run": lambda: ours.run(inputs),
            "bound": ours.bind(inputs, outputs),
        }
        figures = medians_us(contestants)
        device.close()
    return figures


def main() -> int:
    """Measure, print, and say by the exit code whether every claim holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows to this file")
    arguments = parser.parse_args()
    pin()
    used = versions(("deepseek-core", "deepseek-onnx", "onnx", "onnxruntime", "numpy"))
    print_head("Overhead of Executable.run and BoundCall over InferenceSession.run", used)
    report = Report(versions=used)
    for title, figures in ((MEDIUM, measure(256, 4, 64)), (TINY, measure(8, 1, 1))):
        print(f"\n{title}: " + ", ".join(f"{name} {us:.2f} us" for name, us in figures.items()))
        raw, run, bound = figures["raw"], figures["run"], figures["bound"]
        if title == MEDIUM:
            assert raw >= 100, "the model must take 100 us"
            at_most(report, f"Executable.run / raw run, {title}", run / raw, 1.05)
        else:
            at_most(report, f"Executable.run - raw run, {title}", run - raw, 1.0, "us")
            at_most(report, f"BoundCall / raw run, {title}", bound / raw, 0.70)
    return report.finish(arguments.json)


def at_most(report: Report, claim: str, figure: float, bar: float, unit: str = "x") -> None:
    """Add the claim that a figure is `bar` or less."""
    holds = figure <= bar
    report.rows.append(
        Row(claim=f"{claim} (at most)", figure=round(figure, 3), unit=unit, bar=bar, holds=holds)
    )


if __name__ == "__main__":
    sys.exit(main())
