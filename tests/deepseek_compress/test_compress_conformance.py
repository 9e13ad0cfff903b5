"""The promises that every plugin keeps, and those of steps of recipes."""

import pytest

pytest.importorskip("torch", reason="most steps work on modules of torch")

from deepseek_compress.conformance import (
    TestCommand,
    TestDistill,
    TestFineTune,
    TestLowerForOnnxRuntime,
    TestLowerForTensorRt,
    TestPrune,
    TestQat,
    TestRecoverBatchNorm,
)

__all__ = [
    "TestCommand",
    "TestDistill",
    "TestFineTune",
    "TestLowerForOnnxRuntime",
    "TestLowerForTensorRt",
    "TestPrune",
    "TestQat",
    "TestRecoverBatchNorm",
]
