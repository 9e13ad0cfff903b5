"""ONNX Runtime on x86: uint8 asymmetric activations, int8 weights by channel, int32 biases.

The combination for which its VNNI and AMX kernels are fast.
"""

from __future__ import annotations

from typing import Final

from deepseek_compress.lower.insertion import Scheme
from deepseek_compress.lower.lowering import Lowering
from deepseek_compress.lower.ort_sites import ort_sites

lower_ort_x86: Final = Lowering(
    target="ort_x86", scheme=Scheme(signed=False, biases=True), sites=ort_sites
)
