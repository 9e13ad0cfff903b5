"""Branches that meet again: additions, concatenations, gates, several inputs and outputs."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from prune_idiom import conv, idiom
from torch import Tensor, nn


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


@idiom((2, 3, 5, 5), (2, 7), prunable="body film")
class FeatureModulation(nn.Module):
    """A vector gives each channel a gain and a shift."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.film, self.head = conv(3, 16), nn.Linear(7, 32), conv(16, 4)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        gain, shift = self.film(z).chunk(2, 1)
        return self.head(self.body(x) * gain[..., None, None] + shift[..., None, None])


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
