"""Small modules, each with one idiom of real models, and what must be prunable in them.

An idiom says which of its layers a pruner has to be able to shrink; what it shrinks must be exact.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import attrs
import torch
import torch.nn.functional as F
from torch import Tensor, nn


@attrs.frozen(kw_only=True)
class Idiom:
    """A module, its inputs, and the layers that have to be prunable."""

    name: str
    make: Callable[[], nn.Module]
    example: Callable[[], tuple[Tensor, ...]]
    prunable: tuple[str, ...]
    inexact: bool = False


IDIOMS: list[Idiom] = []


def idiom(
    *shapes: tuple[int, ...], prunable: str, inexact: bool = False
) -> Callable[[type[nn.Module]], type[nn.Module]]:
    """Register a module whose inputs are normal values of these shapes."""

    def register(cls: type[nn.Module]) -> type[nn.Module]:
        IDIOMS.append(
            Idiom(
                name=cls.__name__,
                make=cls,
                example=lambda: tuple(torch.randn(shape) for shape in shapes),
                prunable=tuple(prunable.split()),
                inexact=inexact,
            )
        )
        return cls

    return register


def conv(into: int, out: int, kernel: int = 3, **options: int) -> nn.Conv2d:
    return nn.Conv2d(into, out, kernel, padding=kernel // 2, **options)


@idiom((2, 3, 8, 8), prunable="stem first second")
class ResidualBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm0 = conv(3, 16), nn.BatchNorm2d(16)
        self.first, self.norm1 = conv(16, 24), nn.BatchNorm2d(24)
        self.second, self.norm2 = conv(24, 16), nn.BatchNorm2d(16)
        self.head = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm0(self.stem(x)))
        x = F.relu(x + self.norm2(self.second(F.relu(self.norm1(self.first(x))))))
        return self.head(x.mean((2, 3)))


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


@idiom((2, 3, 8, 8), prunable="left right after")
class Concat(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.after = conv(3, 8), conv(3, 12), conv(20, 16)
        self.head = conv(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.after(torch.cat([self.left(x).relu(), self.right(x)], 1)).tanh())


@idiom((2, 3, 8, 8), prunable="stem down")
class SqueezeExcite(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = conv(3, 16), nn.BatchNorm2d(16)
        self.down, self.up, self.head = nn.Linear(16, 8), nn.Linear(8, 16), conv(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.stem(x))
        gate = F.adaptive_avg_pool2d(x, 1).flatten(1)
        gate = torch.sigmoid(self.up(F.silu(self.down(gate))))
        return self.head(x * gate.view(x.size(0), -1, 1, 1))


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


@idiom((2, 3, 8, 8), prunable="stem up down")
class LayerScale(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.up, self.down, self.head = (
            conv(3, 16),
            conv(16, 32, 1),
            conv(32, 16, 1),
            conv(16, 4),
        )
        self.gamma = nn.Parameter(torch.rand(16))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x + self.gamma[:, None, None] * self.down(F.gelu(self.up(x)))
        return self.head(x)


@idiom((2, 3, 8, 8), prunable="stem twice")
class SharedModule(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.twice, self.head = conv(3, 16), conv(16, 16), conv(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        return self.head(self.twice(self.twice(x).relu()).relu())


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


@idiom((2, 5, 6), prunable="into attention")
class MultiHead(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.into = nn.Linear(6, 16)
        self.attention = nn.MultiheadAttention(16, 4, batch_first=True)
        self.head = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.into(x)
        return self.head(self.attention(x, x, x, need_weights=False)[0])


@idiom((2, 5, 16), prunable="qkv")
class PackedAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out, self.heads, self.scale = (
            nn.Linear(16, 48),
            nn.Linear(16, 16),
            2,
            8**-0.5,
        )

    def forward(self, x: Tensor) -> Tensor:
        n, t, _ = x.shape
        q, k, v = self.qkv(x).reshape(n, t, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        scores = (q @ k.transpose(-2, -1)) * self.scale
        x = (scores.softmax(-1) @ v).transpose(1, 2).reshape(n, t, -1)
        return self.out(x)


@idiom((2, 5, 16), prunable="q v")
class SplitAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v, self.out = (
            nn.Linear(16, 24),
            nn.Linear(16, 24),
            nn.Linear(16, 32),
            nn.Linear(32, 16),
        )

    def heads(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], 4, x.shape[2] // 4).transpose(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.heads(self.q(x)), self.heads(self.k(x)), self.heads(self.v(x))
        x = F.scaled_dot_product_attention(q, k, v, scale=0.4)
        return self.out(x.transpose(1, 2).flatten(2))


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


@idiom((2, 1, 16, 8), prunable="conv rnn")
class ConvIntoLSTM(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = conv(1, 8), nn.BatchNorm2d(8)
        self.rnn = nn.LSTM(64, 12, num_layers=2, bidirectional=True, batch_first=True)
        self.head = nn.Linear(24, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.conv(x)))
        return self.head(self.rnn(x.permute(0, 2, 1, 3).flatten(2))[0])


@idiom((5, 2, 6), prunable="into rnn")
class GRULastState(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.into, self.rnn, self.head = nn.Linear(6, 16), nn.GRU(16, 12), nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(self.into(x))[1][-1])


@idiom((2, 3, 6), prunable="cell")
class LSTMCellLoop(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = nn.LSTMCell(6, 12), nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        state = None
        for step in x.unbind(1):
            state = self.cell(step, state)
        return self.head(state[0])


@idiom((2, 3, 8, 8), prunable="stem one two")
class DenseBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.n1, self.one = conv(3, 16), nn.BatchNorm2d(16), conv(16, 8)
        self.n2, self.two, self.n3, self.head = (
            nn.BatchNorm2d(24),
            conv(24, 8),
            nn.BatchNorm2d(32),
            conv(32, 4),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = torch.cat([x, self.one(F.relu(self.n1(x)))], 1)
        x = torch.cat([x, self.two(F.relu(self.n2(x)))], 1)
        return self.head(F.relu(self.n3(x)))


@idiom((2, 6, 9), prunable="a b")
class GatedLinear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(9, 32), nn.Linear(16, 24), nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.glu(self.a(x), -1)
        up, gate = self.b(x).split(self.b.out_features // 2, -1)
        return self.c(up * F.silu(gate))


@idiom((2, 3, 8, 8), prunable="stem expand depth project")
class InvertedResidual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = conv(3, 8), nn.BatchNorm2d(8)
        self.expand, self.n1 = conv(8, 32, 1, bias=False), nn.BatchNorm2d(32)
        self.depth, self.n2 = conv(32, 32, groups=32, bias=False), nn.BatchNorm2d(32)
        self.project, self.n3, self.head = conv(32, 8, 1, bias=False), nn.BatchNorm2d(8), conv(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.stem(x))
        y = F.relu6(self.n2(self.depth(F.relu6(self.n1(self.expand(x))))))
        return self.head(x + self.n3(self.project(y)))


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


class EmbeddingIdiom(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table, self.up, self.head = (
            nn.Embedding(20, 16, padding_idx=0),
            nn.Linear(16, 24),
            nn.Linear(24, 3),
        )

    def forward(self, index: Tensor) -> Tensor:
        return self.head(F.relu(self.up(self.table(index)).mean(1)))


class TiedWeights(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table, self.up, self.down = nn.Embedding(20, 16), nn.Linear(16, 24), nn.Linear(24, 16)
        self.head = nn.Linear(16, 20, bias=False)
        self.head.weight = self.table.weight

    def forward(self, index: Tensor) -> Tensor:
        x = self.table(index)
        return self.head(x + self.down(F.relu(self.up(x))))


def _numbers() -> tuple[Tensor, ...]:
    return (torch.randint(0, 20, (2, 7)),)


IDIOMS += [
    Idiom(name="Embedding", make=EmbeddingIdiom, example=_numbers, prunable=("table", "up")),
    Idiom(name="TiedWeights", make=TiedWeights, example=_numbers, prunable=("table", "up", "down")),
]


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


@idiom((2, 3, 8, 8), (2, 5), prunable="picture numbers")
class MultiInput(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.picture, self.numbers, self.head = conv(3, 16), nn.Linear(5, 16), nn.Linear(16, 3)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        x = self.picture(x).relu().mean((-2, -1))
        return self.head(x * self.numbers(y))


@idiom((2, 3, 8, 8), prunable="stem b")
class MultiOutput(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.a, self.b, self.c = conv(3, 16), conv(16, 8), conv(16, 8), conv(8, 4)

    def forward(self, x: Tensor) -> dict[str, object]:
        x = self.stem(x).relu()
        return {"features": self.a(x), "others": [self.c(self.b(x)), x.sum()]}


@idiom((2, 3, 9, 9), prunable="enc1 enc2 bottom dec2 dec1")
class UNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.enc1, self.enc2, self.bottom = conv(3, 8), conv(8, 16), conv(16, 24)
        self.dec2, self.dec1, self.head = conv(40, 16), conv(24, 8), conv(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        a = self.enc1(x).relu()
        b = self.enc2(F.avg_pool2d(a, 2)).relu()
        c = self.bottom(F.max_pool2d(b, 2)).relu()
        c = F.interpolate(c, size=b.shape[2:], mode="bilinear", align_corners=False)
        c = F.interpolate(self.dec2(torch.cat([b, c], 1)).relu(), size=a.shape[2:], mode="nearest")
        return self.head(self.dec1(torch.cat([c, a], 1)).relu())


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


@idiom((2, 3, 8, 8), prunable="patch up")
class PatchTokens(nn.Module):
    """Patches, a class token and positions, as vision transformers begin."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 16, 4, stride=4)
        self.token = nn.Parameter(torch.randn(1, 1, 16))
        self.positions = nn.Parameter(torch.randn(1, 5, 16))
        self.up, self.head = nn.Linear(16, 24), nn.Linear(24, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.positions
        return self.head(F.gelu(self.up(x))[:, 0])


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


@idiom((2, 4, 24), prunable="a norm gate b")
class CausalConv(nn.Module):
    """Time is padded by concatenation; a learned gain; a gate with one channel."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.gate = (
            nn.Conv1d(4, 16, 3),
            nn.Conv1d(16, 12, 3, dilation=2),
            nn.Conv1d(16, 8, 1),
        )
        self.norm, self.one, self.head = (
            nn.Conv1d(16, 16, 1),
            nn.Conv1d(8, 1, 1),
            nn.Conv1d(12, 3, 1),
        )
        self.gain = nn.Parameter(torch.rand(16, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(torch.cat([torch.zeros_like(x[..., :2]), x], -1))
        x = self.norm(x * torch.exp(self.gain))
        x = x * torch.sigmoid(self.one(self.gate(x).relu()))
        x = torch.cat([x.new_zeros(x.shape[0], x.shape[1], 4), x], 2)
        return self.head(self.b(x).relu())


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


@idiom((2, 8, 9), prunable="keys queries values")
class NormalizedKeys(nn.Module):
    """Unit vectors: what is normalized over channels is exact with zeros."""

    def __init__(self) -> None:
        super().__init__()
        self.keys, self.queries, self.values = nn.Linear(9, 16), nn.Linear(9, 16), nn.Linear(9, 24)
        self.head = nn.Linear(24, 3)

    def forward(self, x: Tensor) -> Tensor:
        k, q = F.normalize(self.keys(x), dim=-1), F.normalize(self.queries(x), dim=-1)
        scores = torch.einsum("bic,bjc->bij", q, k) * math.sqrt(7)
        return self.head(torch.bmm(scores.softmax(-1), self.values(x)))


@idiom((2, 3, 5, 5), (2, 7), prunable="body film")
class FeatureModulation(nn.Module):
    """A vector gives each channel a gain and a shift."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.film, self.head = conv(3, 16), nn.Linear(7, 32), conv(16, 4)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        gain, shift = self.film(z).chunk(2, 1)
        return self.head(self.body(x) * gain[..., None, None] + shift[..., None, None])


@idiom((2, 3, 6, 6), prunable="body")
class UnfoldToLinear(nn.Module):
    """Patches as rows, and channels in reverse."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = conv(3, 16), nn.Linear(16 * 9, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.unfold(self.body(x).flip(1), 3).transpose(1, 2))


@idiom((6, 8), prunable="experts.0.0 experts.1.0")
class SoftExperts(nn.Module):
    """A weighted sum of small nets."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.head = nn.Linear(8, 2), nn.Linear(8, 2)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 8)) for _ in range(2)
        )

    def forward(self, x: Tensor) -> Tensor:
        weights = self.gate(x).softmax(-1)
        parts = [weights[:, at : at + 1] * each(x) for at, each in enumerate(self.experts)]
        return self.head(parts[0] + parts[1])
