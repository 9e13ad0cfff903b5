"""The promises of the steps, tested by `ds-sdk check-plugin compress_torch`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from deepseek_core import Artifact, compression
from deepseek_core.testing import CommandConformance, ModelCompressorConformance

_SHAPE = (1, 8, 8)
_CLASSES = 3


def _samples(count: int = 48) -> compression.Samples:
    """Bright spots in one of three places: a task that a small network learns."""
    from deepseek_compress.samples.accept import as_samples
    from deepseek_compress.samples.names import Expected

    draw = np.random.default_rng(0)
    labels = np.arange(count) % _CLASSES
    pictures = draw.standard_normal((count, *_SHAPE)).astype(np.float32) * 0.1
    for row, label in enumerate(labels):
        pictures[row, 0, 2 * label : 2 * label + 3] += 1.0
    return as_samples((pictures, labels), Expected(inputs={"input": (1, *_SHAPE)}))


class _OnModules(ModelCompressorConformance):
    waivers: ClassVar[Mapping[str, str]] = {
        "test_using_it_leaves_the_process_as_it_was": "torch names a cache by a variable",
        "test_using_it_writes_only_where_it_may": "torch makes the folder of a cache",
    }

    def model(self) -> Any:
        """A network of two convolutions."""
        torch = pytest.importorskip("torch")
        torch.manual_seed(0)
        return torch.nn.Sequential(
            torch.nn.Conv2d(1, 16, 3, padding=1),
            torch.nn.BatchNorm2d(16),
            torch.nn.ReLU(),
            torch.nn.Conv2d(16, 16, 3, padding=1),
            torch.nn.ReLU(),
            torch.nn.AdaptiveAvgPool2d(1),
            torch.nn.Flatten(),
            torch.nn.Linear(16, _CLASSES),
        ).eval()

    def context(self, workspace: Path) -> compression.StepContext:
        """Samples for training and calibration; the network itself as the teacher."""
        return compression.StepContext(
            workspace=workspace,
            inputs={"input": (1, *_SHAPE)},
            train=_samples(),
            calibration=_samples(),
            original=self.model(),
        )


class TestPrune(_OnModules):
    """Channels to a budget."""

    plugin = "compress_torch"
    name = "prune"
    options: ClassVar[Mapping[str, Any]] = {"parameters": "/1.5", "score": "cis_mean"}


class TestRecoverBatchNorm(_OnModules):
    """Statistics again."""

    plugin = "compress_torch"
    name = "recover_bn"


class TestFineTune(_OnModules):
    """Training on."""

    plugin = "compress_torch"
    name = "finetune"
    options: ClassVar[Mapping[str, Any]] = {"epochs": 1, "batch_size": 16}


class TestDistill(_OnModules):
    """Training on with a teacher."""

    plugin = "compress_torch"
    name = "distill"
    options: ClassVar[Mapping[str, Any]] = {"epochs": 1, "batch_size": 16}


class TestQat(_OnModules):
    """Training in integers."""

    plugin = "compress_torch"
    name = "qat"
    options: ClassVar[Mapping[str, Any]] = {"epochs": 1, "batch_size": 16}


class _OnFiles(ModelCompressorConformance):
    def model(self) -> Artifact:
        """A convolution and a matrix product."""
        from onnx import numpy_helper, parser

        draw = np.random.default_rng(0)
        proto = parser.parse_model("""
            <ir_version: 9, opset_import: ["" : 17]>
            small (float[N, 1, 8, 8] input) => (float[N, 3] output) {
                h = Conv <pads = [1, 1, 1, 1]> (input, w)
                r = Relu(h)
                p = GlobalAveragePool(r)
                f = Flatten(p)
                output = MatMul(f, v)
            }
        """)
        for name, shape in (("w", (8, 1, 3, 3)), ("v", (8, _CLASSES))):
            weight = draw.standard_normal(shape).astype(np.float32)
            proto.graph.initializer.append(numpy_helper.from_array(weight, name))
        return Artifact.from_bytes(proto.SerializeToString(), format="onnx")

    def context(self, workspace: Path) -> compression.StepContext:
        """Samples to calibrate with."""
        return compression.StepContext(workspace=workspace, calibration=_samples(256))


class TestLowerForOnnxRuntime(_OnFiles):
    """int8 for x86."""

    plugin = "compress_torch"
    name = "ort_x86"


class TestLowerForTensorRt(_OnFiles):
    """int8 for TensorRT."""

    plugin = "compress_torch"
    name = "trt"


class TestCommand(CommandConformance):
    """`ds-sdk compress`."""

    plugin = "compress_torch"
    name = "compress"
    arguments: ClassVar[list[list[str]]] = [[], ["--help"], ["plan", "--help"]]
