"""A model run by plain ONNX Runtime, as one stage, and cut in pieces: bit for bit the same."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

from deepseek_core import Artifact, Graph, LoadOptions, Operation, Support
from deepseek_onnx.device import OnnxCpu
from deepseek_onnx.frontend import OnnxFrontend, whole_model_stage

AnyModel = onnx.ModelProto | Path


def as_artifact(model: AnyModel) -> Artifact:
    if isinstance(model, Path):
        return Artifact.from_path(model)
    return Artifact.from_bytes(model.SerializeToString(), format="onnx")


def plainly(model: AnyModel, inputs: Mapping[str, Any]) -> dict[str, Any]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1  # as the device has it; sums depend on it
    content = str(model) if isinstance(model, Path) else model.SerializeToString()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, dict(inputs)), strict=True))


def as_one(device: OnnxCpu, model: AnyModel, inputs: Mapping[str, Any]) -> dict[str, Any]:
    stage = whole_model_stage(as_artifact(model))
    return dict(device.load(stage, LoadOptions()).run(inputs))


def cut(device: OnnxCpu, model: AnyModel, *operators: str) -> Graph:
    """Cut around these operators, which some other device is said to run as well."""

    def supporters(op: Operation) -> dict[str, Support]:
        told = {"cpu": device.supports(op)}
        return {**told, "other": Support.yes()} if op.name in operators else told

    return OnnxFrontend().read(as_artifact(model), supporters)


def run_graph(device: OnnxCpu, graph: Graph, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Run all stages on one device; what a stage hands on is what the next one gets."""
    values = dict(inputs)
    for stage in graph.stages:
        given = {spec.name: values[spec.name] for spec in stage.inputs if spec.name in values}
        values |= device.load(stage, LoadOptions()).run(given)
    return {name: values[name] for name in graph.outputs}


def bits(value: Any) -> Any:
    """Equal only for values that are the same in dtype, shape and each bit."""
    if isinstance(value, np.ndarray):
        held = value.tolist() if value.dtype.hasobject else value.tobytes()
        return str(value.dtype), value.shape, held
    if isinstance(value, list | tuple):
        return [bits(item) for item in value]
    if isinstance(value, dict):
        return {key: bits(item) for key, item in value.items()}
    return value


def check(device: OnnxCpu, model: AnyModel, inputs: Mapping[str, Any], *operators: str) -> Graph:
    """See that all ways give the same, cut around these operators; the cut is returned."""
    expected = bits(plainly(model, inputs))
    assert bits(as_one(device, model, inputs)) == expected
    graph = cut(device, model, *operators)
    assert bits(run_graph(device, graph, inputs)) == expected
    return graph
