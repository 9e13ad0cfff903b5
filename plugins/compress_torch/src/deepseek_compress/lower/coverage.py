"""Int8 coverage: the share of multiply-accumulates that a runtime really does in integer.

Read from the graph that ONNX Runtime runs, after its own optimization: a file full of QDQ nodes
of which half are not fused is slower than float (onnxruntime issues 20052, 26143).
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, Final

import attrs
import onnx

from deepseek_compress.lower.lowered import Lowered
from deepseek_compress.onnx_graph.graph import HEAVY, GraphIndex
from deepseek_compress.onnx_graph.reading import FloatModel
from deepseek_compress.onnx_graph.running import open_session
from deepseek_compress.onnx_graph.work import macs_by_node

_INTEGER: Final = frozenset({
    "QLinearConv", "QLinearMatMul", "QGemm", "ConvInteger", "MatMulInteger",
    "MatMulIntegerToFloat", "DynamicQuantizeMatMul",
})  # fmt: skip
_CONVOLUTIONS: Final = ("Conv", "ConvTranspose")


@attrs.frozen(kw_only=True)
class LayerCoverage:
    """A heavy node: its multiply-accumulates for one sample, and why it runs in float if so."""

    name: str
    operator: str
    macs: int
    why_float: str = ""


@attrs.frozen(kw_only=True)
class Coverage:
    """What runs in integer.

    `measured`: read from the runtime's optimized graph; else from the file, because the runtime
    is not here.
    """

    layers: tuple[LayerCoverage, ...]
    measured: bool

    @property
    def macs(self) -> float:
        """Share of all multiply-accumulates; 1.0 if there are none."""
        return _share(self.layers)

    @property
    def convolution_macs(self) -> float:
        """Share of the multiply-accumulates of convolutions."""
        return _share([layer for layer in self.layers if layer.operator in _CONVOLUTIONS])

    @property
    def in_float(self) -> tuple[LayerCoverage, ...]:
        """Layers that run in float, the largest first."""
        found = [layer for layer in self.layers if layer.why_float]
        return tuple(sorted(found, key=lambda layer: -layer.macs))

    def to_json(self) -> dict[str, Any]:
        """For a report."""
        return {
            "macs": self.macs,
            "convolution_macs": self.convolution_macs,
            "layers": len(self.layers),
            "in_integer": len(self.layers) - len(self.in_float),
            "measured": self.measured,
            "in_float": [attrs.asdict(layer) for layer in self.in_float],
        }


def _share(layers: Any) -> float:
    total = sum(layer.macs for layer in layers)
    return sum(layer.macs for layer in layers if not layer.why_float) / total if total else 1.0


def int8_coverage(model: FloatModel, lowered: Lowered, samples: Any = None) -> Coverage:
    """The coverage of a lowered model; `samples` say how large its inputs are where that is open.

    For `trt` it is what the file asks for: the runtime is not needed, and not asked.

    Raises:
        ArtifactError: ONNX Runtime does not open the model.
    """
    measured = lowered.target == "ort_x86"
    integer = _fused(lowered) if measured else _asked_for(lowered)
    missed = "ONNX Runtime did not fuse it" if measured else "its inputs are not quantized"
    macs = macs_by_node(model.proto, samples)
    layers = [
        LayerCoverage(
            name=node.name,
            operator=node.op_type,
            macs=macs[node.name],
            why_float="" if node.name in integer else lowered.stays_float.get(node.name, missed),
        )
        for node in model.proto.graph.node
        if node.op_type in HEAVY
    ]
    return Coverage(layers=tuple(layers), measured=measured)


def _fused(lowered: Lowered) -> set[str]:
    """Heavy nodes that are integer operators in the graph which ONNX Runtime runs.

    One level below the last, which only changes layouts and renames what it moves.
    """
    with tempfile.TemporaryDirectory(prefix="deepseek-coverage-") as folder:
        path = Path(folder, "optimized.onnx")
        open_session(lowered.proto, level="EXTENDED", saved_to=str(path))
        found = onnx.load(path)
    return {node.name for node in found.graph.node if node.op_type in _INTEGER}


def _asked_for(lowered: Lowered) -> set[str]:
    index = GraphIndex.of(lowered.proto)

    def quantized(name: str) -> bool:
        maker = index.producers.get(name)
        return maker is not None and maker.op_type == "DequantizeLinear"

    return {
        node.name
        for node in lowered.proto.graph.node
        if node.op_type in HEAVY and all(quantized(name) for name in node.input[:2])
    }
