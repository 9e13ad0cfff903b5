"""What events cost: where nobody listens, and what a listener adds to a run, a read and a step.

Pinned to one core and one thread; with and without a listener take turns, in processor time, so
what the listener itself does and the thread that tells it are in it. The listener keeps each event.

    python benchmarks/events.py [--json FILE] [--quick]

Takes 50 s of processor time.
"""

from __future__ import annotations

import argparse
import importlib.util
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from _report import Report, interleave, pin, print_head, versions

pin()

import numpy as np  # noqa: E402 - after the threads are set

from _overhead_models import perceptron  # noqa: E402
from deepseek_core import Session, emit, events, hookimpl, hooks  # noqa: E402
from deepseek_core.discovery.courier import COURIER  # noqa: E402
from deepseek_core.discovery.listeners import PROCESS  # noqa: E402
from deepseek_core.discovery.loader import discover  # noqa: E402
from deepseek_core.testing import listening  # noqa: E402

Contestants = tuple[Callable[[], object], Callable[[], object]]
NOTHING = events.DeviceQuarantined(device_id="a", reason="none")


def repeated(call: Callable[[], object], count: int) -> Callable[[], None]:
    """So many calls in a row."""

    def run() -> None:
        for _ in range(count):
            call()

    return run


def primitives(report: Report, rounds: int) -> None:
    """An event that nobody hears, one that finds no monitor, and the look whether one is due."""
    pace, count = events.Pace(3600.0), 2_000
    told = repeated(lambda: emit(NOTHING), count)

    def told_to_all() -> None:
        told()
        COURIER.drain(60.0)

    told_to_all()  # finds who listens
    found = interleave(
        {"emit": unheard(told), "due": repeated(pace.due, count), "told": told_to_all},
        rounds=rounds,
        clock=time.process_time,
    )
    ns = {name: timing.median_s / count * 1e9 for name, timing in found.items()}
    for name in ("emit", "due"):
        report.at_most(f"{name}, nobody listens", ns[name], 500, "ns")
    if importlib.util.find_spec("deepseek_observe"):
        report.at_most("emit, deepseek-observe looks for monitors", ns["told"], 20_000, "ns")


def with_and_without(
    report: Report, what: str, pair: Contestants, *, bar: float, rounds: int
) -> None:
    """The ratio of medians of the two: without a listener, and heard."""
    without, heard = pair
    found = interleave({"without": without, "heard": heard}, rounds=rounds, clock=time.process_time)
    ratio = found["heard"].median_s / found["without"].median_s
    report.at_most(f"{what} with a listener / without", ratio, bar)


def runs(report: Report, rounds: int) -> None:
    """A model of 10 us, run alone: each run ends a task."""

    @hookimpl(hooks.ds_on_event)
    def listen(event: Any) -> None:
        heard.append(event)

    heard: list[Any] = []
    ear = ModuleType("ear")
    vars(ear)["listen"] = listen
    registry, other = discover(), discover()
    assert other._hooks is not None
    other._hooks.register(ear, "ear")
    model, inputs = perceptron(128, 1), {"x": np.zeros((16, 128), np.float32)}
    with (
        Session(devices=["onnx"], threads=1, registry=registry) as quiet,
        Session(devices=["onnx"], threads=1, registry=other) as loud,
    ):
        plans = [session.plan(session.load(model)) for session in (quiet, loud)]
        one, two = (repeated(partial(plan.run, inputs), 500) for plan in plans)
        with_and_without(report, "Plan.run", (one, two), bar=1.05, rounds=rounds)
    assert any(isinstance(event, events.SessionState) for event in heard)


def unheard(call: Callable[[], object]) -> Callable[[], None]:
    """The same while nobody listens, whatever is installed."""

    def run() -> None:
        with PROCESS.heard_by(None):
            call()

    return run


def heard_too(call: Callable[[], object]) -> Callable[[], None]:
    """The same while somebody listens."""

    def run() -> None:
        with listening():
            call()

    return run


def reads(report: Report, folder: Path, rounds: int) -> None:
    """Objects of 4 KiB, read from the log's files."""
    from deepseek_store import Store

    with Store.init(folder / "store") as store:
        keys = [f"k{number}" for number in range(200)]
        for key in keys:
            store.put(key, b"x" * 4096, durable=False)
        store.flush()

        def read() -> None:
            for _ in range(10):
                for key in keys:
                    store.get(key)

        pair = unheard(read), heard_too(read)
        with_and_without(report, "Store.get", pair, bar=1.05, rounds=rounds)


def steps(report: Report, rounds: int) -> None:
    """A network of one layer: a step of it is nothing but the trainer's own work."""
    import torch
    from torch.utils.data import TensorDataset

    from deepseek_parallel import Trainer

    torch.set_num_threads(1)
    model = torch.nn.Linear(8, 1)
    data = TensorDataset(torch.randn(256, 8), torch.randn(256, 1))
    trainer = Trainer(
        model,
        torch.optim.SGD(model.parameters(), lr=1e-3),
        lambda net, batch: ((net(batch[0]) - batch[1]) ** 2).mean(),
        data,
        batch=16,
    )
    done = 0

    def train() -> None:
        nonlocal done
        done += 300
        trainer.fit(steps=done)

    pair = unheard(train), heard_too(train)
    with_and_without(report, "a step of Trainer", pair, bar=1.03, rounds=rounds)


def main() -> int:
    """Measure, report, and say whether the claims hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the rows there")
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    options = parser.parse_args()
    rounds = 5 if options.quick else 31
    names = ("deepseek-core", "deepseek-store", "deepseek-parallel", "onnxruntime", "torch")
    report = Report(versions=versions(names))
    print_head(__doc__.splitlines()[0], report.versions)
    primitives(report, rounds)
    runs(report, rounds)
    with tempfile.TemporaryDirectory() as folder:
        reads(report, Path(folder), rounds)
    steps(report, rounds)
    return report.finish(options.json)


if __name__ == "__main__":
    raise SystemExit(main())
