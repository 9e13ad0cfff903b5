"""Conformance tests of this plugin: `ds-sdk check-plugin compress_trt` runs them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from deepseek_core import Artifact
from deepseek_core.testing import CommandConformance, ModelCompressorConformance


class TestEngine(ModelCompressorConformance):
    """Engines as targets of recipes, by the simulation: it needs no TensorRT."""

    plugin = "compress_trt"
    name = "trt_engine"
    options: ClassVar[Mapping[str, Any]] = {
        "compute": ("8.6", "8.9"),
        "backend": "fake",
        "cache": False,
    }

    def model(self) -> Artifact:
        """One operator."""
        from onnx import parser

        proto = parser.parse_model("""
            <ir_version: 9, opset_import: ["" : 17]>
            tiny (float[2, 3] x) => (float[2, 3] y) { y = Relu(x) }
        """)
        return Artifact.from_bytes(proto.SerializeToString(), format="onnx")


class TestTrt(CommandConformance):
    """The command `ds-sdk trt`."""

    plugin = "compress_trt"
    name = "trt"
    arguments: ClassVar[list[list[str]]] = [[], ["cache", "list"], ["cache", "list", "--json"]]
