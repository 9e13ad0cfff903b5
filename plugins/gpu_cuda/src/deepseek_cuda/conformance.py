"""Conformance tests: `ds-sdk check-plugin gpu_cuda` runs them on the first usable GPU."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from onnx import TensorProto, helper, numpy_helper

from deepseek_core import Artifact, Operation, Stage, TensorSpec
from deepseek_core.testing import DeviceCase, DeviceConformance, FrontendConformance
from deepseek_cuda.conformance_files import engine_file, program

_WIDTH = 4
_WEIGHTS = np.arange(_WIDTH * _WIDTH, dtype=np.float32).reshape(_WIDTH, _WIDTH) - 7


def _model(operator: str) -> bytes:
    """y[n, 4] = OPERATOR(x[n, 4] @ weights), in whole numbers."""
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", _WIDTH]) for n in "xy")
    nodes = [
        helper.make_node("MatMul", ["x", "weights"], ["product"]),
        helper.make_node(operator, ["product"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes, "layer", [x], [y], [numpy_helper.from_array(_WEIGHTS, "weights")]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    content: bytes = model.SerializeToString()
    return content


def _operations() -> list[Operation]:
    def spec(name: str, *shape: Any) -> TensorSpec:
        return TensorSpec(name=name, dtype="float32", shape=shape)

    x, product, y = (spec(name, "n", _WIDTH) for name in ("x", "product", "y"))
    weights = spec("weights", _WIDTH, _WIDTH)
    return [
        Operation(name="MatMul", version=17, inputs=[x, weights], outputs=[product]),
        Operation(name="Relu", version=17, inputs=[product], outputs=[y]),
    ]


def layer() -> Stage:
    """A layer whose batch can be cut."""
    ends = [
        TensorSpec(name=name, dtype="float32", shape=("n", _WIDTH), batch_axis=0) for name in "xy"
    ]
    return Stage(
        name="layer",
        kind="gemm",
        operations=_operations(),
        inputs=ends[:1],
        outputs=ends[1:],
        artifact=Artifact.from_bytes(_model("Relu"), format="onnx"),
    )


def layer_case(items: int) -> DeviceCase:
    """The layer on so many items, with the right answer: whole numbers, exact in any order."""
    x = (np.arange(items * _WIDTH, dtype=np.float32).reshape(items, _WIDTH) % 17) - 5
    right = np.maximum(x @ _WEIGHTS, 0)
    return DeviceCase(stage=layer(), inputs={"x": x}, expected={"y": right})


def matching_case(name: str, dtype: str, items: int = 5, k: int = 3) -> DeviceCase:
    """A matching on whole numbers, so that sums are exact and ties many."""
    width, count = 8, 100
    draw = np.random.default_rng(3)
    low, high = (0, 256) if dtype == "uint8" else (-9, 9)
    rows = draw.integers(low, high, (items + count, width)).astype(dtype)
    queries, gallery = rows[:items], rows[items:]
    if name == "MatchHamming":
        differing = np.unpackbits(queries[:, None] ^ gallery[None], axis=2)
        distances = differing.sum(2, dtype=np.int32)
    else:
        exact = np.float32 if dtype == "float32" else np.int32
        wide = queries[:, None].astype(exact) - gallery[None].astype(exact)
        distances = (wide**2).sum(2, dtype=exact)
    nearest = np.argsort(distances, axis=1, kind="stable")[:, :k]
    constants = {"gallery": gallery, "k": np.array([k])}
    return DeviceCase(
        stage=_matching(name, dtype, width, distances.dtype.name).bind(constants),
        inputs={"query": queries},
        expected={
            "indices": nearest.astype(np.int64),
            "distances": np.take_along_axis(distances, nearest, 1),
        },
    )


def _matching(name: str, dtype: str, width: int, distance: str) -> Stage:
    inputs = [
        TensorSpec(name="query", dtype=dtype, shape=("batch", width), batch_axis=0),
        TensorSpec(name="gallery", dtype=dtype, shape=("rows", width)),
        TensorSpec(name="k", dtype="int64", shape=(1,)),
    ]
    outputs = [
        TensorSpec(name="indices", dtype="int64", shape=("batch", "neighbors"), batch_axis=0),
        TensorSpec(name="distances", dtype=distance, shape=("batch", "neighbors"), batch_axis=0),
    ]
    operation = Operation(name=name, domain="ai.deepseek", inputs=inputs, outputs=outputs)
    return Stage(
        name="matching",
        kind="matching",
        operations=[operation],
        inputs=inputs,
        outputs=outputs,
        artifact=Artifact.from_bytes(name.encode(), format="onnx"),
    )


class TestCuda(DeviceConformance):
    """ONNX stages on a GPU."""

    plugin = "gpu_cuda"
    name = "cuda"

    def cases(self) -> Sequence[DeviceCase]:
        """A layer of whole numbers; where a matcher can be compiled, each kind of matching."""
        if find_spec("triton") is None:
            return [layer_case(3)]
        kinds = ("MatchL2", "float32"), ("MatchL2", "int8"), ("MatchHamming", "uint8")
        return [layer_case(3), *(matching_case(*kind) for kind in kinds)]

    def unsupported(self) -> Stage:
        """A model of an operator that nobody has: the artifact is what is loaded."""
        artifact = Artifact.from_bytes(_model("Nonsense"), format="onnx")
        operations = [Operation(name="Nonsense", version=17)]
        return attrs.evolve(layer(), operations=operations, artifact=artifact)


class TestEngines(FrontendConformance):
    """TensorRT engines, read by their manifests."""

    plugin = "gpu_cuda"
    name = "trt_engine"
    cuts = False

    def artifacts(self, tmp_path: Path) -> tuple[Sequence[Artifact], Sequence[Artifact]]:
        """One with a manifest; one whose manifest is of another form, and one without."""
        foreign = engine_file(tmp_path, "foreign", format="another engine 1")
        alone = tmp_path / "alone.engine"
        alone.write_bytes(b"an engine")
        good = Artifact.from_path(engine_file(tmp_path))
        return [good], [Artifact.from_path(foreign), Artifact.from_path(alone)]


class TestPrograms(FrontendConformance):
    """Programs of torch.export, read without torch."""

    plugin = "gpu_cuda"
    name = "torch_program"
    cuts = False

    def artifacts(self, tmp_path: Path) -> tuple[Sequence[Artifact], Sequence[Artifact]]:
        """One; one that is cut short, and one with an operator of somebody's."""
        whole = program()
        bad = whole[: len(whole) // 2], program("torch.ops.acme.relu.default")
        good, *others = (Artifact.from_bytes(each, format="pt2") for each in (whole, *bad))
        return [good], others
