"""EfficientNet-Lite0 without its classifier, with the weights of the visual search's float file.

Batch normalization is folded into the convolutions, as the file has it; `normalized` takes it out
again for training.

Legend: N pictures, C channels, S pixels a side.
Sources: Tan and Le 2019 (1905.11946); EfficientNet-Lite, TensorFlow TPU models (Apache-2.0).
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn
from torch.nn import functional

PICTURE_SIDE = 64  # pixels of the pictures that come in
NETWORK_SIDE = 96  # pixels the network sees
MEAN, SPREAD = 127.0, 128.0  # it sees (pixel - 127) / 128; the stem's weights have the 128 in them
STEM, WIDTH = 32, 1280
# Of each stage: factor of the expansion, channels, blocks, stride of the first, side of the filter.
STAGES = (
    (1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5), (6, 192, 4, 2, 5), (6, 320, 1, 1, 3),
)  # fmt: skip


class SameConv(nn.Conv2d):
    """A convolution whose padding puts the odd pixel at the end, as TensorFlow has it."""

    def __init__(self, into: int, out: int, side: int, *, stride: int = 1, groups: int = 1) -> None:
        super().__init__(into, out, side, stride, groups=groups)
        before = (side - stride) // 2
        after = side - stride - before
        self.pads = (before, after, before, after)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, C, S, S] to [N, C', S / stride, S / stride]."""
        return super().forward(functional.pad(x, self.pads) if any(self.pads) else x)


class InvertedBottleneck(nn.Module):
    """Expand, filter by channel, project; add where nothing changes its shape."""

    def __init__(self, into: int, out: int, factor: int, stride: int, side: int) -> None:
        super().__init__()
        wide = into * factor
        self.expand = SameConv(into, wide, 1) if factor > 1 else None
        self.depthwise = SameConv(wide, wide, side, stride=stride, groups=wide)
        self.project = SameConv(wide, out, 1)
        self.adds = stride == 1 and into == out

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, C, S, S] to [N, C', S / stride, S / stride]."""
        wide = x if self.expand is None else functional.relu6(self.expand(x))
        found = self.project(functional.relu6(self.depthwise(wide)))
        return found + x if self.adds else found


class EfficientNetLite0(nn.Module):
    """Pictures float32 [N, 64, 64], pixels of 0 to 255, to embeddings [N, 1280] of unit length.

    `side`: what pictures are scaled to first, in pixels.
    """

    def __init__(self, side: int = NETWORK_SIDE) -> None:
        super().__init__()
        scaling = None if side == PICTURE_SIDE else interpolation(PICTURE_SIDE, side)
        self.register_buffer("scaling", scaling, persistent=False)
        self.stem = SameConv(1, STEM, 3, stride=2)
        self.blocks = nn.Sequential(*_blocks())
        self.head = SameConv(STAGES[-1][1], WIDTH, 1)

    def forward(self, images: Tensor) -> Tensor:
        """See the class."""
        x = images - MEAN
        if self.scaling is not None:
            x = self.scaling @ x @ self.scaling.T
        x = functional.relu6(self.stem(x[:, None]))
        x = functional.relu6(self.head(self.blocks(x)))
        return functional.normalize(x.mean((2, 3)))


def _blocks() -> list[InvertedBottleneck]:
    found, into = [], STEM
    for factor, out, count, stride, side in STAGES:
        for number in range(count):
            found.append(InvertedBottleneck(into, out, factor, 1 if number else stride, side))
            into = out
    return found


def normalized(model: nn.Module, images: Tensor) -> nn.Module:
    """Put batch normalizations behind the convolutions that change nothing until they are trained.

    Each one's mean and spread are what its channels have on pictures [N, 64, 64], and its gain and
    shift undo them. With them a pruned network learns again; an export folds them away.
    """
    convolutions = {n: m for n, m in model.named_modules() if isinstance(m, SameConv)}
    moments = _moments(model.eval(), list(convolutions.values()), images)
    for name, convolution in convolutions.items():
        parent, _, last = name.rpartition(".")
        mean, square = moments[convolution]
        norm = _undone(convolution, mean, square - mean.square())
        convolution.bias = None
        setattr(model.get_submodule(parent), last, nn.Sequential(convolution, norm))
    return model.eval()


def _moments(model: nn.Module, layers: list[nn.Module], images: Tensor) -> dict[nn.Module, Tensor]:
    """Of each layer's output, by channel: the mean and the mean of squares [2, C]."""
    found: dict[nn.Module, Tensor] = {}

    def keep(module: nn.Module, _inputs: Any, output: Tensor) -> None:
        each = torch.stack(
            [output.double().sum((0, 2, 3)), output.double().square().sum((0, 2, 3))]
        )
        share = each * output.shape[1] / (output.numel() / len(output) * len(images))
        found[module] = found.get(module, 0) + share

    hooks = [layer.register_forward_hook(keep) for layer in layers]
    with torch.no_grad():
        for batch in images.split(16):
            model(batch)
    for hook in hooks:
        hook.remove()
    return found


def _undone(convolution: nn.Conv2d, mean: Tensor, variance: Tensor) -> nn.BatchNorm2d:
    """A normalization that adds the bias of the convolution, and does nothing else."""
    norm = nn.BatchNorm2d(convolution.out_channels)
    assert convolution.bias is not None
    with torch.no_grad():
        norm.running_mean.copy_(mean - convolution.bias)
        norm.running_var.copy_(variance)
        norm.weight.copy_((variance + norm.eps).sqrt())
        norm.bias.copy_(mean)
    return norm


def interpolation(side: int, new_side: int) -> Tensor:
    """The matrix [new_side, side] of linear interpolation between the centers of pixels."""
    place = (torch.arange(new_side) + 0.5) * side / new_side - 0.5
    distance = place.clamp(0, side - 1)[:, None] - torch.arange(side)
    return (1 - distance.abs()).clamp(min=0)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Weights and biases by the names of `EfficientNetLite0`, out of the demo's float32 file."""
    kept = {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}
    found = {}
    for name, array in kept.items():
        layer, _, part = name.rpartition("_")
        if part in ("weight", "bias"):
            block, _, inner = layer.partition("_")
            place = f"blocks.{block.removeprefix('block')}.{inner}" if inner else layer
            found[f"{place}.{part}"] = torch.from_numpy(array.copy())
    found["stem.weight"] = torch.from_numpy(_of_phases(kept["stem_weight"]))
    return found


def _of_phases(phased: np.ndarray) -> np.ndarray:
    """The stem [C, 1, 3, 3] of weights [C, 4, 2, 2] that see 2 x 2 pixels as four channels."""
    row, column = np.mgrid[:3, :3]
    return phased[:, 2 * (row % 2) + column % 2, row // 2, column // 2][:, None].copy()
