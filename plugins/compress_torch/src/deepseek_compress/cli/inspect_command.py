"""`ds-sdk compress inspect`: a model's layers, what could be pruned, the error of int8."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Final

import attrs

from deepseek_compress.cli.common import add_json
from deepseek_core import Artifact, compression, console, errors

EXAMPLES: Final = """examples:
  ds-sdk compress inspect recipe.toml          groups of layers whose channels go together
  ds-sdk compress inspect my_model.py:trained --input 1,3,224,224
  ds-sdk compress inspect model.onnx           layers of a file: weights and operations
  ds-sdk compress inspect model.onnx --samples batch.npz   what each loses alone in int8"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "model", metavar="MODEL", help="a recipe, FILE.py:FUNCTION, or an ONNX file"
    )
    parser.add_argument("--input", metavar="N,...", help="shape of the input, the batch first")
    parser.add_argument("--weights", metavar="FILE", help="a file that the function is given")
    parser.add_argument(
        "--samples",
        metavar="FILE",
        help="an NPZ file of inputs: also say how sensitive each layer is",
    )
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print what is known of the model."""
    if args.model.endswith(".onnx"):
        return _file(args)
    if args.samples is not None:
        raise errors.ConfigError(
            "--samples looks at ONNX files", remedy="leave it out, or give an ONNX file"
        )
    return _module(args)


def _module(args: argparse.Namespace) -> int:
    from deepseek_compress.prune.inspect import inspect
    from deepseek_compress.prune.pruner import Pruner

    source, samples = _source(args)
    if source.form != "torch":
        raise errors.ConfigError(
            f"{args.model} begins with a file", remedy="ds-sdk compress inspect MODEL.onnx"
        )
    found = inspect(Pruner(source.start, _example(source, samples)))
    if args.json:
        console.print_json({"groups": [attrs.asdict(group) for group in found]}, indent=2)
        return 0
    rows = [
        (g.name, str(len(g.layers)), str(max(g.channels, default=0)), f"{g.params:,}",
         g.stays or g.inexact or "can be pruned")
        for g in found
    ]  # fmt: skip
    console.print_table(("GROUP", "LAYERS", "CHANNELS", "PARAMETERS", "WHAT"), rows)
    return 0


def _source(args: argparse.Namespace) -> tuple[Any, compression.Samples | None]:
    """The model, and samples of it where there is a recipe that has some."""
    from deepseek_compress.recipe.data import load_data
    from deepseek_compress.recipe.models import load_model
    from deepseek_compress.recipe.read import read_recipe

    if args.model.endswith(".toml"):
        path = Path(args.model)
        recipe = read_recipe(path)
        model = load_model(recipe.model, path.parent)
        data = load_data(recipe.data, path.parent, model, recipe.run.threads)
        return model, data.calibration or data.test
    if args.input is None:
        raise errors.ConfigError(
            "nothing tells the shape of the model's input", remedy="add --input 1,3,224,224"
        )
    table = {"entry": args.model, "input": _shape(args.input)}
    if args.weights is not None:
        table["weights"] = args.weights
    source = compression.Recipe.parse({"model": table}).model
    return load_model(source, Path()), None


def _shape(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise errors.ConfigError(f"--input is {text!r}", remedy="--input 1,3,224,224") from error


def _example(source: Any, samples: compression.Samples | None) -> Any:
    from deepseek_compress.modules import arguments_of
    from deepseek_compress.prune.trace import Example
    from deepseek_compress.samples.example import example_inputs
    from deepseek_compress.train.batches import as_tensors

    inputs = example_inputs(samples, source.inputs, 2)
    tensors = as_tensors(compression.Batch(inputs=inputs), source.start).inputs
    args, kwargs = arguments_of(source.start, tensors)
    return Example(args=args, kwargs=kwargs)


def _file(args: argparse.Namespace) -> int:
    from deepseek_compress.onnx_graph.graph import HEAVY
    from deepseek_compress.onnx_graph.work import macs_by_node
    from deepseek_compress.steps.lower import read_float

    floats = read_float(Artifact.from_path(args.model))
    macs = macs_by_node(floats.proto, None)
    losses = _losses(args, floats) if args.samples else {}
    rows: list[dict[str, Any]] = [
        {
            "name": n.name,
            "operator": n.op_type,
            "macs": macs[n.name],
            "int8_error": losses.get(n.name),
        }
        for n in floats.proto.graph.node
        if n.op_type in HEAVY
    ]
    if args.json:
        console.print_json({"layers": rows, "notes": list(floats.notes)}, indent=2)
        return 0
    cells = [
        (r["name"], r["operator"], f"{r['macs'] / 1e6:,.2f} M",
         "-" if r["int8_error"] is None else f"{r['int8_error']:.2%}")
        for r in rows
    ]  # fmt: skip
    console.print_table(("LAYER", "OPERATOR", "MACS", "ERROR WHEN IT ALONE IS INT8"), cells)
    return 0


def _losses(args: argparse.Namespace, floats: Any) -> dict[str, float]:
    from deepseek_compress.lower.ort_x86 import lower_ort_x86
    from deepseek_compress.quantize.calibrating import CalibrationSettings, calibrate
    from deepseek_compress.quantize.sensitivity import sensitivity
    from deepseek_compress.samples.accept import as_samples
    from deepseek_compress.samples.names import Expected

    inputs: dict[str, tuple[int, ...]] = {value.name: () for value in floats.proto.graph.input}
    samples = as_samples(Path(args.samples), Expected(inputs=inputs, where=args.samples))
    spec = calibrate(floats, samples, CalibrationSettings()).spec

    def lower(model: Any, spec: Any, *, skip: Any = ()) -> Any:
        return lower_ort_x86(model, spec, skip=skip).proto

    found = sensitivity(floats, spec, samples, lower)
    return {layer.name: layer.error for layer in found.layers}
