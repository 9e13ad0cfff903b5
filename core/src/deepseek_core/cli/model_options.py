"""Options and steps that `run`, `plan`, `explain`, `calibrate` and `bench` share."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Mapping
from typing import Any, Final

from deepseek_core.cli.batches import batched_by_picture
from deepseek_core.cli.collecting import end_start
from deepseek_core.cli.executor_options import add_executor_arguments, with_address
from deepseek_core.cli.inputs import folder_of
from deepseek_core.contracts.batching import Batching
from deepseek_core.contracts.errors import ConfigError
from deepseek_core.contracts.graph import Graph
from deepseek_core.runtime.plan import Plan
from deepseek_core.runtime.session import Session

_SETTING: Final = "cpu_onnx.graph_optimization=basic"


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """The model, its inputs, and what it may run on."""
    parser.add_argument("model", metavar="MODEL", help="a model file, such as model.onnx")
    _add_input_arguments(parser)
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
        "--device", action="append", metavar="DEVICE", help="use only this device; may be repeated"
    )
    parser.add_argument(
        "--threads",
        type=positive,
        metavar="N",
        help="host cores that devices may use (default: all)",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="PLUGIN.SETTING=VALUE",
        help="a setting of a plugin for this command, such as "
        f"{_SETTING} (ds-sdk plugin-info lists them); may be repeated",
    )
    add_executor_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def add_plan_arguments(parser: argparse.ArgumentParser) -> None:
    """What a plan has to keep to."""
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


def _add_input_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--input",
        action="append",
        default=[],
        metavar="FILE.npz|FOLDER",
        help="arrays by input name, or a folder of pictures for the input that takes pictures; "
        "may be repeated",
    )
    parser.add_argument(
        "--constant",
        action="append",
        default=[],
        metavar="INPUT",
        help="fix this input to the array given for it (a gallery, a k), so that devices prepare "
        "it once; may be repeated",
    )
    parser.add_argument(
        "--batch-axis",
        action="append",
        default=[],
        metavar="SYMBOL|INPUT=AXIS|none",
        help="which axis carries the items of a batch (N, or x=0 --batch-axis state=1), or none; "
        "without it the model's own operators must prove one, else inputs are never cut",
    )
    parser.add_argument(
        "--select",
        action="append",
        default=[],
        metavar="OUTPUT",
        help="compute only this output, or value inside the model; may be repeated",
    )


def add_shape_argument(parser: argparse.ArgumentParser) -> None:
    """Sizes for inputs that are made up."""
    parser.add_argument(
        "--shape",
        action="append",
        default=[],
        metavar="SYMBOL=SIZE",
        help="without --input: how large a free axis is, such as seq_len=128; may be repeated",
    )


def positive(text: str) -> int:
    """A count that an option gives: 1 or more."""
    value = int(text) if text.isdecimal() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of 1 or more, got {text!r}")
    return value


def _milliseconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be milliseconds, more than 0, got {text!r}")
    return value


def open_session(args: argparse.Namespace) -> Session:
    """A session with the devices and threads that the options allow; settles the batch size."""
    if args.batch is None:
        args.batch = 1 if args.latency == "realtime" else 32
    parse_pins(getattr(args, "pin", []))  # told before anything is opened
    session = Session(
        threads=args.threads,
        devices=args.device,
        settings=with_address(args, _settings(args.set)),
        executor=args.executor,
    )
    end_start()
    return session


def _settings(texts: list[str]) -> dict[str, dict[str, object]]:
    """`["cpu_onnx.graph_optimization=basic"]` by plugin and setting."""
    found: dict[str, dict[str, object]] = {}
    for name, value in pairs(texts, "--set", "PLUGIN.SETTING=VALUE", _SETTING).items():
        plugin, dot, setting = name.partition(".")
        if not (plugin and dot and setting):
            remedy = f"for example --set {_SETTING}"
            raise ConfigError(f"--set {name}: which plugin?", remedy=remedy)
        found.setdefault(plugin, {})[setting] = value
    return found


def load_model(
    session: Session,
    args: argparse.Namespace,
    constants: Mapping[str, Any],
    arrays: Mapping[str, Any],
) -> Graph:
    """The model that the options name, with `constants` fixed; `arrays` are its other inputs."""
    graph = session.load(
        args.model,
        constants,
        batch_axis=Batching.parse(args.batch_axis),
        outputs=args.select,
    )
    return graph if folder_of(args.input) is None else batched_by_picture(graph, arrays)


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


def parse_pins(texts: list[str]) -> dict[str, str]:
    """`["match=fpga"]` -> `{"match": "fpga"}`.

    Raises:
        ConfigError: a pair without `=`, or a stage that is pinned twice.
    """
    return pairs(texts, "--pin", "STAGE=DEVICE", "convolution=cpu")


def pairs(texts: list[str], option: str, form: str, example: str) -> dict[str, str]:
    """What an option of the form NAME=VALUE gives, by name.

    Raises:
        ConfigError: a text without `=`, or a name that is given twice.
    """
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise ConfigError(
                f"{option} needs {form}, got {text!r}", remedy=f"for example {option} {example}"
            )
        if name in found:
            raise ConfigError(f"{option} names {name!r} twice", remedy="give it once")
        found[name] = value
    return found


def sizes_of(args: argparse.Namespace) -> dict[str, int]:
    """The sizes that `--shape` gives.

    Raises:
        ConfigError: one that is not a number of 1 or more.
    """
    given = pairs(args.shape, "--shape", "SYMBOL=SIZE", "seq_len=128")
    for name, text in given.items():
        if not text.isdecimal() or int(text) < 1:
            raise ConfigError(
                f"--shape {name} must be a whole number of 1 or more, got {text!r}",
                remedy=f"for example --shape {shlex.quote(name)}=128",
            )
    return {name: int(text) for name, text in given.items()}


def deadline_verdict(deadline_s: float | None, is_met: bool | None) -> list[str]:
    """One line on whether the deadline of a plan is expected to hold; none without."""
    if deadline_s is None:
        return []
    verdict = "is" if is_met else "is NOT"
    return [f"deadline: {deadline_s * 1e3:g} ms {verdict} expected to hold"]


def needs_calibration(plan: Plan) -> bool:
    """Whether a choice between devices rests on anything but measurements."""
    if not plan.has_choice:
        return False
    problem = plan.problem
    rows = [*problem.stages, *([problem.whole] if problem.whole is not None else [])]
    able = [[c for c in row.eligible() if c.estimate is not None] for row in rows]
    has_choice = len(problem.stages) > 1 or any(len(row) > 1 for row in able)
    return has_choice and any(not c.is_founded for row in able for c in row)
