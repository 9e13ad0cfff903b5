"""Models that public reports say Torch-Pruning or others got wrong, in words of our own.

Each class names its report: the repository and the number of the issue.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Residuals(nn.Module):
    """VainF/Torch-Pruning 8: layers were emptied when much had to go."""

    shape, divisor = (3, 8, 8), 20.0

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        self.one = nn.ModuleList(nn.Conv2d(64, 64, 3, padding=1) for _ in range(2))
        self.two = nn.ModuleList(nn.Conv2d(64, 64, 3, padding=1) for _ in range(2))
        self.norms = nn.ModuleList(nn.BatchNorm2d(64) for _ in range(2))
        self.head = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        for one, two, norm in zip(self.one, self.two, self.norms, strict=True):
            x = F.relu(norm(two(F.relu(one(x)))) + x)
        return self.head(x.mean((2, 3)))


class LinearToPicture(nn.Module):
    """VainF/Torch-Pruning 125: a linear layer, seen as channels of a picture."""

    shape, divisor = (16,), 2.0

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(16, 32 * 16)
        self.one = nn.ConvTranspose2d(32, 16, 4, 2, 1)
        self.two = nn.ConvTranspose2d(16, 3, 4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.linear(x)).view(-1, self.one.in_channels, 4, 4)
        return self.two(F.relu(self.one(x)))


class Scale(nn.Module):
    """A root-mean-square norm, by hand."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(size) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)


class UnboundHeads(nn.Module):
    """VainF/Torch-Pruning 524: `unbind` of one product, whose parts are normalized apart."""

    shape, divisor = (7, 16), 1.5

    def __init__(self) -> None:
        super().__init__()
        self.into, self.product, self.after = (
            nn.Linear(16, 32),
            nn.Linear(32, 96),
            nn.Linear(32, 32),
        )
        self.queries, self.keys = Scale(8), Scale(8)
        self.up, self.down, self.head = nn.Linear(32, 128), nn.Linear(128, 32), nn.Linear(32, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.into(x)
        count, steps, width = x.shape
        parts = self.product(x).reshape(count, steps, 3, 4, 8).permute(2, 0, 3, 1, 4)
        q, k, v = parts.unbind(0)
        weights = (self.queries(q) @ self.keys(k).transpose(-2, -1)).softmax(-1)
        x = x + self.after((weights @ v).transpose(1, 2).reshape(count, steps, width))
        return self.head((x + self.down(F.gelu(self.up(x)))).mean(1))


class Recurrent(nn.Module):
    """VainF/Torch-Pruning 404: an LSTM of two layers, of which nothing went."""

    shape, divisor = (5, 8), 2.0

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(8, 32, 2, batch_first=True)
        self.after, self.head = nn.Linear(32, 32), nn.Linear(32, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.after(self.rnn(x)[0][:, -1])))


class ChunkedStages(nn.Module):
    """VainF/Torch-Pruning 147: a chunk, whose last part goes on and comes back concatenated."""

    shape, divisor = (3, 16, 16), 2.0

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.split = nn.Conv2d(3, 32, 3, 2, 1), nn.Conv2d(32, 32, 1)
        self.inner = nn.ModuleList(nn.Conv2d(16, 16, 3, padding=1) for _ in range(2))
        self.join, self.up = nn.Conv2d(64, 32, 1), nn.Upsample(scale_factor=2)
        self.heads = nn.ModuleList([nn.Conv2d(64, 12, 1), nn.Conv2d(32, 12, 1)])

    def forward(self, x: Tensor) -> list[Tensor]:
        first = F.silu(self.stem(x))
        parts = list(self.split(first).chunk(2, 1))
        parts.extend(inner(parts[-1]) + parts[-1] for inner in self.inner)
        joined = self.join(torch.cat(parts, 1))
        return [
            self.heads[0](torch.cat([self.up(joined), self.up(first)], 1)),
            self.heads[1](joined),
        ]


class SimpleGates(nn.Module):
    """VainF/Torch-Pruning 203: halves multiplied, gates of channels, PixelShuffle, a crop."""

    shape, divisor = (3, 8, 8), 1.5

    def __init__(self) -> None:
        super().__init__()
        self.into, self.wide = nn.Conv2d(3, 32, 3, padding=1), nn.Conv2d(32, 64, 1)
        self.depth = nn.Conv2d(64, 64, 3, padding=1, groups=64)
        self.gate, self.back = nn.Conv2d(32, 32, 1), nn.Conv2d(32, 32, 1)
        self.beta = nn.Parameter(torch.rand(1, 32, 1, 1))
        self.down, self.up = nn.Conv2d(32, 64, 2, 2), nn.Conv2d(64, 128, 1, bias=False)
        self.end = nn.Conv2d(32, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        size, given = x.shape[2:], x
        x = self.into(x)
        left, right = self.depth(self.wide(x)).chunk(2, 1)
        y = left * right
        x = x + self.beta * self.back(y * self.gate(y.mean((2, 3), keepdim=True)))
        x = F.pixel_shuffle(self.up(self.down(x)), 2) + x
        return (self.end(x) + given)[:, :, : size[0], : size[1]]


class TwoResolutions(nn.Module):
    """VainF/Torch-Pruning 263: branches of two sizes that are added to each other."""

    shape, divisor = (3, 16, 16), 2.0

    def __init__(self) -> None:
        super().__init__()
        self.high, self.low = nn.Conv2d(3, 32, 3, padding=1), nn.Conv2d(32, 64, 3, 2, 1)
        self.rise, self.fall = nn.Conv2d(64, 32, 1), nn.Conv2d(32, 64, 3, 2, 1)
        self.head = nn.Sequential(nn.Conv2d(96, 64, 1), nn.ReLU(), nn.Conv2d(64, 5, 1))

    def forward(self, x: Tensor) -> Tensor:
        a = F.relu(self.high(x))
        b = F.relu(self.low(a))
        size = [a.size(2), a.size(3)]
        up = F.interpolate(self.rise(b), size=size, mode="bilinear", align_corners=True)
        c, d = F.relu(a + up), F.relu(b + self.fall(a))
        return self.head(torch.cat([c, F.interpolate(d, size=size, mode="bilinear")], 1))


class ThreeChunks(nn.Module):
    """microsoft/nni 5416: a product of three chunks, two of which are filtered apart."""

    shape, divisor = (3, 8, 8), 1.3

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 32, 3), nn.BatchNorm2d(32)
        self.one, self.three = nn.Conv2d(32, 32, 1), nn.Conv2d(32, 96, 1)
        self.left = nn.Conv2d(32, 32, 3, padding=1, groups=32)
        self.right = nn.Conv2d(32, 32, 5, padding=2, groups=32)
        self.last, self.head = nn.Conv2d(32, 32, 1), nn.Linear(32, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        e, f, g = self.three(self.one(self.norm(x))).chunk(3, 1)
        y = self.last(torch.sigmoid(self.left(e) + self.right(f)) * g) + x
        return self.head(y.mean((2, 3)))


REPORTS = (
    Residuals, LinearToPicture, UnboundHeads, Recurrent, ChunkedStages, SimpleGates,
    TwoResolutions, ThreeChunks,
)  # fmt: skip
