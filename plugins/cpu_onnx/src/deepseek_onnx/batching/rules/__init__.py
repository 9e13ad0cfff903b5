"""What each operator does with the items of a batch: a rule for each, by domain and name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from deepseek_onnx.batching.calls import Rule
from deepseek_onnx.batching.rules import (
    attention,
    constants,
    convolution,
    einsum,
    elementwise,
    gathering,
    microsoft,
    microsoft_quantized,
    moving,
    normalizing,
    products,
    quantizing,
    recurrent,
    reducing,
    resizing,
    shaping,
    signals,
    stretching,
    texts,
    trees,
)

RULES: Final[Mapping[str, Mapping[str, Rule]]] = {
    "": {
        **attention.RULES,
        **constants.RULES,
        **convolution.RULES,
        **einsum.RULES,
        **elementwise.RULES,
        **gathering.RULES,
        **moving.RULES,
        **normalizing.RULES,
        **products.RULES,
        **quantizing.RULES,
        **recurrent.RULES,
        **reducing.RULES,
        **resizing.RULES,
        **shaping.RULES,
        **signals.RULES,
        **stretching.RULES,
        **texts.RULES,
        # A runtime's own, in the standard domain all the same.
        "SimplifiedLayerNormalization": normalizing.layer,
    },
    "ai.onnx.ml": trees.RULES,
    "com.microsoft": {**microsoft.RULES, **microsoft_quantized.RULES},
}
