"""Channels that change their places: shuffled, flattened, cut, padded, written in place."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from prune_idiom import conv, idiom
from torch import Tensor, nn


@idiom((2, 3, 8, 8), prunable="a b")
class ChannelShuffle(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = conv(3, 16), conv(16, 16, groups=2), conv(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.b(self.a(x).relu()).relu()
        n, c, h, w = x.shape
        x = x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, -1, h, w)
        return self.c(x)


@idiom((2, 3, 8, 8), prunable="0")
class ShuffleLayer(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            conv(3, 16), nn.ChannelShuffle(4), conv(16, 8, groups=2), nn.ReLU(), conv(8, 4)
        )


@idiom((2, 3, 8, 8), prunable="conv fc")
class FlattenToLinear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.fc, self.head = (
            conv(3, 8),
            nn.BatchNorm2d(8),
            nn.Linear(128, 16),
            nn.Linear(16, 3),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.norm(self.conv(x))), 2)
        return self.head(F.relu(self.fc(x.view(x.size(0), -1))))


@idiom((2, 3, 8, 8), prunable="a b")
class ChunkGate(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = conv(3, 16), conv(8, 12), conv(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        left, right = self.a(x).chunk(2, 1)
        return self.c(self.b(left * right.sigmoid()).relu())


@idiom((2, 3, 8, 8), prunable="a left right")
class ChunkBranches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.left, self.right, self.c = conv(3, 16), conv(8, 8), conv(8, 12), conv(20, 4)

    def forward(self, x: Tensor) -> Tensor:
        left, right = self.a(x).relu().chunk(2, 1)
        return self.c(torch.cat([self.left(left), self.right(right)], 1))


@idiom((2, 3, 8, 8), prunable="0 2")
class PixelShuffle(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            conv(3, 32), nn.PixelShuffle(2), conv(8, 16), nn.PixelUnshuffle(2), conv(64, 4)
        )


@idiom((2, 3, 8, 8), prunable="a")
class HandPixelShuffle(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = conv(3, 32), conv(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x)
        n, c, h, w = x.shape
        x = x.view(n, c // 4, 2, 2, h, w).permute(0, 1, 4, 2, 5, 3).reshape(n, c // 4, 2 * h, 2 * w)
        return self.b(x)


@idiom((2, 3, 8, 8), prunable="stem small")
class SliceAndPad(nn.Module):
    """A shortcut of fewer channels: as wide as the branch, and filled up behind."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.small, self.head = conv(3, 16), conv(16, 8), conv(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        y = self.small(x)
        return self.head(x + F.pad(y, (0, 0, 0, 0, 0, x.shape[1] - y.shape[1])))


@idiom((2, 3, 8, 8), prunable="a b")
class InPlace(nn.Module):
    """Writes into its own activations, by operators and by slices."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = conv(3, 16), conv(16, 16), conv(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x)
        x.relu_().mul_(0.5)
        y = torch.zeros_like(x)
        y[:, :, 1:] = x[:, :, :-1]
        y += self.b(F.dropout(y, training=self.training))
        return self.c(y)


@idiom((1, 8, 8, 8), prunable="0 2")
class EqualSizes(nn.Sequential):
    """Batch 1, and eight of everything else."""

    def __init__(self) -> None:
        super().__init__(
            conv(8, 8),
            nn.ReLU(),
            conv(8, 8),
            nn.AdaptiveAvgPool2d(8),
            nn.Flatten(2),
            nn.Unflatten(2, (8, 8)),
            conv(8, 8),
        )


@idiom((2, 3, 6, 6), prunable="body")
class UnfoldToLinear(nn.Module):
    """Patches as rows, and channels in reverse."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = conv(3, 16), nn.Linear(16 * 9, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.unfold(self.body(x).flip(1), 3).transpose(1, 2))
