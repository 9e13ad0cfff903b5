"""Options and steps that `run`, `plan`, `calibrate` and `bench` share."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from typing import Any

from deepseek_core.contracts.errors import ConfigError, TensorMismatch
from deepseek_core.contracts.graph import Array, Graph
from deepseek_core.contracts.tensor import BATCH
from deepseek_core.runtime.plan import Plan
from deepseek_core.runtime.session import Session


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """The model, its inputs, and everything that decides where it runs."""
    parser.add_argument("model", metavar="MODEL", help="a model file, such as model.onnx")
    parser.add_argument(
        "--input",
        action="append",
        default=[],
        metavar="FILE.npz|FOLDER",
        help="arrays by input name, or a folder of pictures for the model's one batched input; "
        "inputs without a batch dimension (a gallery, a k) stay fixed; may be repeated",
    )
    parser.add_argument(
        "--batch",
        type=positive,
        metavar="N",
        help="items in one batch (default: 32, realtime: 1)",
    )
    parser.add_argument(
        "--latency",
        choices=["offline", "realtime"],
        default="offline",
        help="most items per second, or the soonest answer (default: offline)",
    )
    parser.add_argument(
        "--deadline-ms",
        type=_milliseconds,
        metavar="MS",
        help="tell whether a batch is expected within this time",
    )
    parser.add_argument(
        "--pin",
        action="append",
        default=[],
        metavar="STAGE=DEVICE",
        help="run a stage on a device, by id, kind or start of a name "
        "(match=fpga); may be repeated",
    )
    parser.add_argument(
        "--device", action="append", metavar="DEVICE", help="use only this device; may be repeated"
    )
    parser.add_argument(
        "--threads",
        type=positive,
        metavar="N",
        help="host cores that devices may use (default: all)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def positive(text: str) -> int:
    """A count that an option gives: 1 or more."""
    value = int(text) if text.isdecimal() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of 1 or more")
    return value


def _milliseconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of milliseconds above 0")
    return value


def open_session(args: argparse.Namespace) -> Session:
    """A session with the devices and threads that the options allow; settles the batch size."""
    if args.batch is None:
        args.batch = 1 if args.latency == "realtime" else 32
    return Session(threads=args.threads, devices=args.device)


def plan_of(session: Session, graph: Graph, args: argparse.Namespace, **more: Any) -> Plan:
    """The plan that the options ask for."""
    deadline_s = None if args.deadline_ms is None else args.deadline_ms / 1e3
    return session.plan(
        graph,
        latency=args.latency,
        batch=args.batch,
        deadline_s=deadline_s,
        pin=parse_pins(args.pin),
        **more,
    )


def parse_pins(pairs: list[str]) -> dict[str, str]:
    """`["match=fpga"]` -> `{"match": "fpga"}`.

    Raises:
        ConfigError: a pair without `=`, or a stage that is pinned twice.
    """
    pins: dict[str, str] = {}
    for pair in pairs:
        stage, equals, device = pair.partition("=")
        if not (stage and equals and device):
            raise ConfigError(f"--pin {pair!r} is no STAGE=DEVICE", remedy="write match=fpga")
        if stage in pins:
            raise ConfigError(f"--pin names stage {stage!r} twice", remedy="give it once")
        pins[stage] = device
    return pins


def deadline_verdict(plan: dict[str, Any]) -> list[str]:
    """One line on whether the deadline of a plan (as JSON) is expected to hold; none without."""
    if plan["deadline_s"] is None:
        return []
    verdict = "is" if plan["meets_deadline"] else "is NOT"
    return [f"deadline: {plan['deadline_s'] * 1e3:g} ms {verdict} expected to hold"]


def bind_fixed(graph: Graph, arrays: Mapping[str, Array]) -> tuple[Graph, dict[str, Array]]:
    """Fix the inputs that have no batch dimension; give back the others.

    Raises:
        TensorMismatch: an array that no input is called after, or that does not fit.
    """
    specs = {spec.name: spec for spec in graph.inputs}
    for name in arrays:
        if name not in specs:
            known = "; ".join(map(str, specs.values()))
            raise TensorMismatch(
                f"the model has no input {name!r}", remedy=f"its inputs are {known}"
            )
    if not _is_batched(graph):
        return graph, dict(arrays)
    fixed = {n: a for n, a in arrays.items() if BATCH not in specs[n].shape}
    return graph.bind(**fixed), {n: a for n, a in arrays.items() if n not in fixed}


def split(graph: Graph, arrays: Mapping[str, Array], batch: int) -> Iterator[dict[str, Array]]:
    """The arrays in batches of `batch` items, the last one smaller; whole where none is batched.

    Raises:
        TensorMismatch: an input is missing or does not fit.
    """
    items = graph.check_inputs(arrays)
    if not _is_batched(graph):
        yield dict(arrays)
        return
    for start in range(0, items, batch):
        yield {name: array[start : start + batch] for name, array in arrays.items()}


def _is_batched(graph: Graph) -> bool:
    return any(BATCH in spec.shape for spec in graph.inputs)


def needs_calibration(plan: Plan) -> bool:
    """Whether a choice between devices rests on anything but measurements."""
    for stage in plan.problem.stages:
        estimates = [c.estimate for c in stage.allowed() if c.estimate is not None]
        if len(estimates) > 1 and any(e.source != "measured" for e in estimates):
            return True
    return False
