"""The networks that inspect: plain convolutions, and thin ones beside them to compare with.

Legend: N pictures, K classes of which 0 is good, h x w px; the map has a cell for 4 x 4 px.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

CELL: Final = 4  # px
STRIDE: Final = 16  # what h and w are multiples of
_DROPPED: Final = 0.3


def _conv(into: int, out: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(into, out, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out))


class Block(nn.Module):
    """Two 3 x 3 convolutions and a shortcut (He 2015, arXiv:1512.03385)."""

    def __init__(self, into: int, out: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(_conv(into, out, 3, stride), nn.ReLU(), _conv(out, out))
        same = into == out and stride == 1
        self.shortcut = nn.Identity() if same else _conv(into, out, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, into, h, w) to (N, out, h / stride, w / stride)."""
        return functional.relu(self.body(x) + self.shortcut(x))


class Inspector(nn.Module):
    """Scores each cell of a picture, and the picture, for each class.

    Three stages at a half, a quarter and an eighth of the resolution; what the last one found is
    brought back to the cells of the second (Lin 2017, arXiv:1612.03144). The picture's own scores
    come from means and maxima of both, so that a small spot counts as much as a large area.

    Legend: `stem`, `at_half`, `at_quarter`, `at_eighth` are stages by their resolution; `back`
    brings the last one to the cells, `joined` mixes both; `cells` scores these, `head` the picture,
    of which `dropout` hides some of what was pooled while it trains.
    """

    def __init__(self, channels: int, classes: int, width: int = 16) -> None:
        super().__init__()
        self.stem = nn.Sequential(_conv(channels, width, 5, 2), nn.ReLU())
        self.at_half = Block(width, width, 1)
        self.at_quarter = nn.Sequential(Block(width, 2 * width, 2), Block(2 * width, 2 * width, 1))
        self.at_eighth = nn.Sequential(
            Block(2 * width, 4 * width, 2), Block(4 * width, 4 * width, 1)
        )
        self.back = nn.Conv2d(4 * width, 2 * width, 1)
        self.joined = nn.Sequential(_conv(2 * width, 2 * width), nn.ReLU())
        self.cells = nn.Conv2d(2 * width, classes, 1)
        self.dropout = nn.Dropout(_DROPPED)
        self.head = nn.Linear(10 * width, classes)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map (N, channels, h, w) to cells (N, K, h / 4, w / 4) and pictures (N, K)."""
        quarter = self.at_quarter(self.at_half(self.stem(x)))
        eighth = self.at_eighth(quarter)
        back = functional.interpolate(self.back(eighth), scale_factor=2.0, mode="nearest")
        joined = self.joined(quarter + back)
        pooled = torch.cat([eighth.mean((2, 3)), eighth.amax((2, 3)), joined.amax((2, 3))], 1)
        return self.cells(joined), self.head(self.dropout(pooled))


class _Thin(nn.Module):
    """A 3 x 3 convolution of each channel alone, and one of 1 x 1 (Howard 2017)."""

    def __init__(self, into: int, out: int, stride: int) -> None:
        super().__init__()
        alone = nn.Conv2d(into, into, 3, stride, padding=1, groups=into, bias=False)
        self.body = nn.Sequential(
            alone, nn.BatchNorm2d(into), nn.ReLU(), _conv(into, out, 1), nn.ReLU()
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class ThinInspector(nn.Module):
    """The same task by depthwise convolutions, the usual choice for small devices.

    Legend: `stem`, `at_quarter`, `at_eighth` are stages by their resolution; `cells` scores the
    cells of the second, `head` the picture.
    """

    def __init__(self, channels: int, classes: int, width: int = 32) -> None:
        super().__init__()
        self.stem = nn.Sequential(_conv(channels, width, 3, 2), nn.ReLU())
        self.at_quarter = nn.Sequential(_Thin(width, 2 * width, 2), _Thin(2 * width, 2 * width, 1))
        self.at_eighth = nn.Sequential(
            _Thin(2 * width, 4 * width, 2), _Thin(4 * width, 4 * width, 1)
        )
        self.cells = nn.Conv2d(2 * width, classes, 1)
        self.head = nn.Linear(10 * width, classes)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map (N, channels, h, w) to cells (N, K, h / 4, w / 4) and pictures (N, K)."""
        quarter = self.at_quarter(self.stem(x))
        eighth = self.at_eighth(quarter)
        pooled = torch.cat([eighth.mean((2, 3)), eighth.amax((2, 3)), quarter.amax((2, 3))], 1)
        return self.cells(quarter), self.head(pooled)


def make(kind: str, *, channels: int, classes: int, width: int) -> nn.Module:
    """The network of a kind, "plain" or "depthwise", with numbers drawn at random."""
    if kind == "depthwise":
        return ThinInspector(channels, classes, 2 * width)
    return Inspector(channels, classes, width)
