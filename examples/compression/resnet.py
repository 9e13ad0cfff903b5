"""ResNet-50, and small residual nets for pictures of 28 and of 224 px.

ResNet-50 has 25.557 M parameters and 4.09 G multiply-adds at 224 px. Needs torch alone.
He 2015, arXiv:1512.03385; the stride lies in the 3 x 3 convolution.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


def _conv(into: int, out: int, kernel: int, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(into, out, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out))


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3, 1 x 1, and a shortcut."""

    expansion = 4

    def __init__(self, into: int, width: int, stride: int) -> None:
        super().__init__()
        out = width * self.expansion
        self.body = nn.Sequential(
            _conv(into, width, 1),
            nn.ReLU(),
            _conv(width, width, 3, stride),
            nn.ReLU(),
            _conv(width, out, 1),
        )
        self.shortcut = (
            nn.Identity() if stride == 1 and into == out else _conv(into, out, 1, stride)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, into, H, W) to (N, 4 width, H / stride, W / stride)."""
        return functional.relu(self.body(x) + self.shortcut(x))


class Basic(nn.Module):
    """Two 3 x 3, and a shortcut."""

    expansion = 1

    def __init__(self, into: int, width: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(_conv(into, width, 3, stride), nn.ReLU(), _conv(width, width, 3))
        self.shortcut = (
            nn.Identity() if stride == 1 and into == width else _conv(into, width, 1, stride)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, into, H, W) to (N, width, H / stride, W / stride)."""
        return functional.relu(self.body(x) + self.shortcut(x))


class ResNet(nn.Module):
    """A stem, stages of blocks, the mean over the picture, and a linear layer."""

    def __init__(
        self,
        stem: nn.Module,
        block: type[Bottleneck | Basic],
        stages: list[tuple[int, int]],
        classes: int,
    ) -> None:
        super().__init__()
        self.stem, layers, into = stem, [], stages[0][0]
        for stage, (width, count) in enumerate(stages):
            for at in range(count):
                layers.append(block(into, width, 2 if stage and not at else 1))
                into = width * block.expansion
        self.blocks, self.head = nn.Sequential(*layers), nn.Linear(into, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Map pictures (N, C, H, W) to (N, classes)."""
        return self.head(self.blocks(self.stem(x)).mean((2, 3)))


def resnet50(classes: int = 1000) -> ResNet:
    """ResNet-50 for 3 x 224 x 224."""
    stem = nn.Sequential(_conv(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
    return ResNet(stem, Bottleneck, [(64, 3), (128, 4), (256, 6), (512, 3)], classes)


def small_resnet(classes: int = 10) -> ResNet:
    """Six blocks of 32, 64 and 128 channels for 1 x 28 x 28: 0.696 M parameters."""
    stem = nn.Sequential(_conv(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2))
    return ResNet(stem, Basic, [(32, 2), (64, 2), (128, 2)], classes)


class Cells(nn.Module):
    """A stem and stages of blocks that score each cell of 16 x 16 px, not the whole picture."""

    def __init__(self, whole: ResNet) -> None:
        super().__init__()
        self.stem, self.blocks = whole.stem, whole.blocks
        self.head = nn.Conv2d(whole.head.in_features, whole.head.out_features, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map pictures (N, C, H, W) to (N, classes, H / 16, W / 16)."""
        return self.head(self.blocks(self.stem(x)))


def tile_resnet(classes: int = 2, width: int = 24) -> Cells:
    """Six blocks of 24, 48 and 96 channels for 2 x 224 x 224: 0.394 M parameters, 210 MMACs."""
    stem = nn.Sequential(_conv(2, width, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
    stages = [(width << stage, 2) for stage in range(3)]
    return Cells(ResNet(stem, Basic, stages, classes))


if __name__ == "__main__":
    for model, shape in (
        (resnet50(), (1, 3, 224, 224)),
        (small_resnet(), (1, 1, 28, 28)),
        (tile_resnet(), (1, 2, 224, 224)),
    ):
        count = sum(each.numel() for each in model.parameters())
        out = model.eval()(torch.zeros(shape))
        print(f"{count / 1e6:.3f} M parameters, output {tuple(out.shape)}")
