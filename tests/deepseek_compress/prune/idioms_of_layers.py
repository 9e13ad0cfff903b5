"""Layers: grouped, transposed, of one and three dimensions, norms, plain functions."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from prune_idiom import conv, idiom
from torch import Tensor, nn


@idiom((2, 3, 8, 8), prunable="0 3")
class Depthwise(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            conv(3, 16),
            nn.BatchNorm2d(16),
            nn.ReLU6(inplace=True),
            conv(16, 16, groups=16),
            nn.BatchNorm2d(16),
            nn.Hardswish(),
            conv(16, 8, 1),
        )


@idiom((2, 3, 8, 8), prunable="0 1")
class DepthMultiplier(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(conv(3, 8), conv(8, 24, groups=8), nn.ReLU(), conv(24, 4, 1))


@idiom((2, 3, 8, 8), prunable="0 2")
class GroupConv(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(conv(3, 32), nn.ReLU(), conv(32, 16, groups=4), nn.ReLU(), conv(16, 4, 1))


@idiom((2, 3, 8, 8), prunable="0 2")
class ManyGroups(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            conv(3, 32, 1), nn.ReLU(), conv(32, 32, groups=16), nn.ReLU(), conv(32, 4, 1)
        )


@idiom((2, 3, 8, 8), prunable="0 2")
class TransposedConv(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            conv(3, 16), nn.ReLU(), nn.ConvTranspose2d(16, 12, 2, stride=2), nn.ReLU(), conv(12, 4)
        )


@idiom((2, 3, 8, 8), prunable="0 1")
class TransposedGroups(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(conv(3, 16), nn.ConvTranspose2d(16, 8, 3, groups=2), nn.ReLU(), conv(8, 4))


@idiom((2, 3, 8, 8), prunable="0 1")
class TransposedDepthwise(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            conv(3, 16), nn.ConvTranspose2d(16, 16, 3, groups=16), nn.ReLU(), conv(16, 4)
        )


@idiom((2, 4, 20), prunable="0 3")
class Conv1d(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            nn.Conv1d(4, 16, 5, padding="same"),
            nn.BatchNorm1d(16),
            nn.LeakyReLU(),
            nn.Conv1d(16, 12, 3, stride=2),
            nn.MaxPool1d(2),
            nn.ELU(),
            nn.Conv1d(12, 4, 1),
        )


@idiom((2, 2, 4, 6, 6), prunable="0 3")
class Conv3d(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            nn.Conv3d(2, 8, 3, padding=1),
            nn.BatchNorm3d(8),
            nn.ReLU(),
            nn.Conv3d(8, 16, 3, padding=1),
            nn.AvgPool3d(2),
            nn.ConvTranspose3d(16, 4, 2, stride=2),
        )


@idiom((16, 16), prunable="0 3")
class BatchNorm1d(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            nn.Linear(16, 16),
            nn.BatchNorm1d(16),
            nn.ReLU(),
            nn.Linear(16, 16, bias=False),
            nn.BatchNorm1d(16, affine=False),
            nn.Tanh(),
            nn.Linear(16, 16),
        )


@idiom((2, 3, 8, 8), prunable="0 2")
class PReLUPerChannel(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(conv(3, 16), nn.PReLU(16), conv(16, 12), nn.PReLU(), conv(12, 4))


@idiom((2, 3, 8, 8), prunable="0 3 5", inexact=True)
class GroupNorm(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            conv(3, 16),
            nn.GroupNorm(4, 16),
            nn.ReLU(),
            conv(16, 12),
            nn.ReLU(),
            conv(12, 8),
            nn.GroupNorm(1, 8),
            conv(8, 4),
        )


@idiom((2, 5, 9), prunable="a up down", inexact=True)
class LayerNorm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.norm, self.up, self.down = (
            nn.Linear(9, 16),
            nn.LayerNorm(16),
            nn.Linear(16, 32),
            nn.Linear(32, 16),
        )
        self.head = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x)
        return self.head(x + self.down(F.gelu(self.up(self.norm(x)))))


@idiom((2, 3, 8, 8), prunable="0 3")
class InstanceNorm(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            conv(3, 16),
            nn.InstanceNorm2d(16),
            nn.ReLU(),
            conv(16, 8),
            nn.GroupNorm(8, 8),
            conv(8, 4),
        )


@idiom((2, 5, 9), prunable="a weight")
class Einsum(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(9, 16), nn.Linear(12, 3)
        self.weight = nn.Parameter(torch.randn(16, 12) / 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(torch.einsum("btc,cd->btd", self.a(x).relu(), self.weight).relu())


@idiom((2, 3, 8, 8), prunable="w1 w2")
class FunctionalConv(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w1 = nn.Parameter(torch.randn(16, 3, 3, 3) / 5)
        self.b1 = nn.Parameter(torch.randn(16))
        self.w2 = nn.Parameter(torch.randn(12, 16, 1, 1) / 4)
        self.w3 = nn.Parameter(torch.randn(4, 12) / 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.conv2d(F.conv2d(x, self.w1, self.b1, padding=1).relu(), self.w2).relu()
        return F.linear(x.permute(0, 2, 3, 1), self.w3)


@idiom((2, 5, 9), prunable="a b")
class MatmulParameter(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.randn(9, 16) / 3)
        self.b = nn.Parameter(torch.randn(16, 12) / 4)
        self.bias, self.c = nn.Parameter(torch.randn(12)), nn.Parameter(torch.randn(12, 3))

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(x @ self.a)
        x = torch.addmm(self.bias, x.view(-1, x.size(-1)), self.b).view(*x.shape[:-1], -1)
        return x.tanh() @ self.c
