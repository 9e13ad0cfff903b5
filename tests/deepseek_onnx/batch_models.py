"""Models in the text form, with functions and branches, and what is proven of them."""

from __future__ import annotations

import onnx
from onnx import parser

from deepseek_onnx.batching import PROVEN, Verdict, prove


def text(body: str, functions: str = "", opset: int = 18) -> onnx.ModelProto:
    """A model in the text form, with functions of the domain `local` behind the graph."""
    opsets = f'"" : {opset}, "local" : 1, "com.microsoft" : 1, "ai.deepseek" : 1'
    return parser.parse_model(f"<ir_version: 10, opset_import: [{opsets}]> {body} {functions}")


def proven(model: onnx.ModelProto, **options: object) -> Verdict:
    """The verdict, which is that the model is batched."""
    verdict = prove(model, **options)  # type: ignore[arg-type]
    assert verdict.reason == PROVEN
    return verdict
