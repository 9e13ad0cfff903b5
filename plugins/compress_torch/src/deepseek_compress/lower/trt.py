"""TensorRT: symmetric int8 for activations and weights, float biases."""

from __future__ import annotations

from typing import Final

from deepseek_compress.lower.insertion import Scheme
from deepseek_compress.lower.lowering import Lowering
from deepseek_compress.lower.trt_sites import trt_sites

lower_trt: Final = Lowering(
    target="trt", scheme=Scheme(signed=True, biases=False), sites=trt_sites, runtime="TensorRT"
)
