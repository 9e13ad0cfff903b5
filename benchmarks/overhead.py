"""What the SDK adds to ONNX Runtime: to a call, a stream, a load, and a start.

Pinned to one core and one thread; raw and ours take turns, each figure is a ratio of medians of
CPU time. `raw` is `InferenceSession.run` of a session with the options that the device uses. What a
call adds is told in empty calls: the time of a raw one on a model that does next to nothing.

    python benchmarks/overhead.py [--json FILE] [--quick]
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
from onnx import ModelProto

from _loading import Load, load
from _overhead_models import many_inputs, many_nodes, perceptron, write_large
from _report import Report, pin, print_head, versions
from deepseek_core import LoadOptions, Session
from deepseek_core.runtime.plan import Plan
from deepseek_onnx.ort import ort as onnxruntime

ROUNDS: Final = 60
ROUND_S: Final = 2e-3  # of each contestant in each round
SCRIPT: Final = """\
import sys, numpy as np, onnxruntime as ort
session = ort.InferenceSession(sys.argv[1])
names = [output.name for output in session.get_outputs()]
made = session.run(names, dict(np.load(sys.argv[2])))
np.savez(sys.argv[3], **dict(zip(names, made)))
"""
Inputs = Mapping[str, Any]
Medians = dict[str, float]


def raw_session(content: bytes) -> onnxruntime.InferenceSession:
    """A session with the options that the device uses offline."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_mem_pattern = False
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


@contextmanager
def planned(model: ModelProto) -> Iterator[tuple[onnxruntime.InferenceSession, Plan]]:
    """Raw and ours, ready to run."""
    with Session(devices=["onnx"], threads=1) as session:
        plan = session.plan(session.load(model))
        plan.warmup()
        yield raw_session(model.SerializeToString()), plan


def medians_us(contestants: Mapping[str, Callable[[], object]], rounds: int = ROUNDS) -> Medians:
    """Median microseconds of CPU of a call of each contestant; rounds of many calls take turns."""
    counts = {name: _calls_per_round(call) for name, call in contestants.items()}
    found: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, call in contestants.items():
            found[name].append(_cpu_s(call, counts[name]) / counts[name] * 1e6)
    return {name: statistics.median(times) for name, times in found.items()}


def _calls_per_round(call: Callable[[], object]) -> int:
    """So many that the clock's own cost and resolution do not count."""
    _cpu_s(call, 5)
    return max(3, int(ROUND_S / max(_cpu_s(call, 10) / 10, 1e-7)))


def _cpu_s(call: Callable[[], object], count: int) -> float:
    start_s = time.process_time()
    for _ in range(count):
        call()
    return time.process_time() - start_s


def batch(rows: int, width: int, names: tuple[str, ...] = ("x",)) -> Inputs:
    """Normal noise for each input."""
    rng = np.random.default_rng(1)
    return {name: rng.standard_normal((rows, width)).astype(np.float32) for name in names}


def calls(report: Report) -> None:
    """What a call adds to small models, to one of many inputs, and to larger ones."""
    empty = _empty_call_us(report)
    small = perceptron(128, 1)
    for title, model, inputs, bar in (
        ("a model of 10 us", small, _slow_enough(small, 10), 1.15),
        ("30 inputs", many_inputs(30), batch(1, 8, tuple(f"x{i}" for i in range(30))), 2.3),
    ):
        figures = _runs(title, model, inputs)
        extra = (figures["plan.run"] - figures["raw"]) / empty
        report.at_most(f"plan.run - raw, in empty calls: {title}", extra, bar)
    for at_least_us in (250, 1000):
        model, inputs = perceptron(128, 4), _slow_enough(perceptron(128, 4), at_least_us)
        figures = _runs(f"{at_least_us} us and more", model, inputs)
        ratio = figures["plan.run"] / figures["raw"]
        report.at_most(f"plan.run / raw, {at_least_us} us and more", ratio, 1.03)


def _empty_call_us(report: Report) -> float:
    """A raw call on a tiny model; what our executable, without a plan, makes of it."""
    model, inputs = perceptron(8, 1), batch(1, 8)
    outputs = {"y": np.empty((1, 8), np.float32)}
    with planned(model) as (raw, plan), Session(devices=["onnx"], threads=1) as session:
        stage = session.load(model).stages[0]
        ours = session.planner.pool.open("onnx:cpu").load(stage, LoadOptions())
        figures = medians_us(
            {
                "raw": lambda: raw.run(["y"], inputs),
                "Executable.run": lambda: ours.run(inputs),
                "BoundCall": ours.bind(inputs, outputs),
                "plan.run": lambda: plan.run(inputs),
            }
        )
    _tell("an empty call", figures)
    empty = figures["raw"]
    extra = (figures["Executable.run"] - empty) / empty
    report.at_most("Executable.run - raw, in empty calls", extra, 0.3)
    report.at_most("BoundCall / raw, an empty call", figures["BoundCall"] / empty, 0.70)
    return empty


def _runs(title: str, model: ModelProto, inputs: Inputs) -> Medians:
    with planned(model) as (raw, plan):
        figures = medians_us(
            {"raw": lambda: raw.run(["y"], inputs), "plan.run": lambda: plan.run(inputs)}
        )
    _tell(title, figures)
    return figures


def _slow_enough(model: ModelProto, at_least_us: float) -> Inputs:
    """A batch of so many rows that a raw call takes as long."""
    raw, rows = raw_session(model.SerializeToString()), 4
    while True:
        inputs = batch(rows, 128)
        figures = medians_us({"raw": lambda inputs=inputs: raw.run(["y"], inputs)}, rounds=5)
        if figures["raw"] >= at_least_us:
            return inputs
        rows += max(1, rows // 4)


def streams(report: Report) -> None:
    """A stream beside a raw loop, at 100 us a batch."""
    model = perceptron(128, 4)
    inputs = _slow_enough(model, 100)
    batches = [inputs] * 100
    with planned(model) as (raw, plan):
        figures = medians_us(
            {
                "raw loop": lambda: [raw.run(["y"], given) for given in batches],
                "stream": lambda: list(plan.stream(batches)),
            },
            rounds=20,
        )
    _tell("100 batches of 100 us", figures)
    report.at_most("stream / raw loop, 100 us", figures["stream"] / figures["raw loop"], 1.1)


def structures(report: Report) -> None:
    """Load and plan beside ONNX Runtime's own creation of a session."""
    for count, rounds in ((500, 15), (8000, 5)):
        content = many_nodes(count).SerializeToString()
        with Session(devices=["onnx"], threads=1) as session:
            figures = medians_us(
                {
                    "raw": lambda content=content: raw_session(content),
                    "load + plan": lambda content=content, session=session: session.plan(
                        session.load(content)
                    ).close(),
                },
                rounds=rounds,
            )
        _tell(f"{count} nodes", figures)
        ratio = figures["load + plan"] / figures["raw"]
        report.at_most(f"load + plan / session creation, {count} nodes", ratio, 2.0)


def weights(report: Report, folder: Path, *, rounds: int) -> None:
    """Models of 400 MB inside of one file and of 3 GiB beside it, each in fresh processes."""
    for title, layers, external, time_bar, memory_bar, what in (
        ("400 MB of weights", 6, False, 1.3, 1.1, "cpu_s"),
        ("3 GiB of external data", 48, True, 1.5, 1.2, "wall_s"),
    ):
        with tempfile.TemporaryDirectory(dir=folder) as place:
            model = write_large(Path(place), layers, external=external)
            seen: dict[str, list[Load]] = {"raw": [], "ours": []}
            for _ in range(rounds):
                for who, found in seen.items():
                    found.append(load(who, model))
        for field, unit, bar in ((what, 1e3, time_bar), ("peak_bytes", 1 / 2**20, memory_bar)):
            raw, ours = (
                statistics.median(getattr(one, field) for one in found) for found in seen.values()
            )
            print(f"{title}, {field}: raw {raw * unit:.0f}, ours {ours * unit:.0f} (ms, MiB)")
            report.at_most(
                f"{field.partition('_')[0]}, load + plan / raw: {title}", ours / raw, bar
            )


def start_up(report: Report, *, rounds: int) -> None:
    """`ds-sdk run` beside a script of five lines that does the same."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "m.onnx").write_bytes(perceptron(8, 1).SerializeToString())
        (folder / "five.py").write_text(SCRIPT, encoding="utf-8")
        np.savez(folder / "x.npz", **batch(4, 8))
        tool = Path(sys.executable).with_name("ds-sdk")
        commands = {
            "script": [sys.executable, "five.py", "m.onnx", "x.npz", "y.npz"],
            "ds-sdk run": [str(tool), "run", "m.onnx", "--input", "x.npz", "--output", "z.npz"],
        }
        cpu: dict[str, list[float]] = {name: [] for name in commands}
        wall: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(rounds + 1):
            for name, command in commands.items():
                spent, took = _process_s(command, folder)
                cpu[name].append(spent)
                wall[name].append(took)
    for what, times in (("CPU", cpu), ("wall", wall)):
        script, ours = (statistics.median(found[1:]) for found in times.values())
        print(f"start-up, {what}: script {script * 1e3:.0f} ms, ds-sdk run {ours * 1e3:.0f} ms")
        report.at_most(f"ds-sdk run / a five-line script, {what} time", ours / script, 1.8)


def _process_s(command: list[str], folder: Path) -> tuple[float, float]:
    # As users have it: bytecode is kept from one start to the next.
    environ = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    before, start_s = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, cwd=folder, env=environ, check=True, capture_output=True)
    took, after = time.perf_counter() - start_s, resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, took


def _tell(title: str, figures: Medians) -> None:
    print(f"{title}: " + ", ".join(f"{name} {us:,.2f} us" for name, us in figures.items()))


def main() -> int:
    """Measure, print, and say by the exit code whether every claim holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows to this file")
    parser.add_argument("--quick", action="store_true", help="without the large files")
    parser.add_argument("--folder", type=Path, metavar="FOLDER", help="where the large files go")
    arguments = parser.parse_args()
    pin()
    used = versions(("deepseek-core", "deepseek-onnx", "onnx", "onnxruntime", "numpy"))
    print_head("What the SDK adds to ONNX Runtime", used)
    report = Report(versions=used)
    calls(report)
    streams(report)
    structures(report)
    start_up(report, rounds=15)
    if not arguments.quick:
        weights(report, arguments.folder or Path(tempfile.gettempdir()), rounds=5)
    return report.finish(arguments.json)


if __name__ == "__main__":
    sys.exit(main())
