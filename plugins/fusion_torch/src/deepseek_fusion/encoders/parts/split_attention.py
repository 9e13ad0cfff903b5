"""Split attention and the bottleneck around it (Zhang et al. 2020, ResNeSt).

Modules are called as in the authors' release, so that its weights load.

Legend: N rows · R splits (radix) · G groups (cardinality) · C channels · H, W of the map.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

_REDUCTION = 4
_LEAST_INNER = 32


class SplitAttention(nn.Module):
    """Convolves into R splits and sums them by weights that come from their pooled sum.

    The weights of a channel are a softmax over the splits; with one split, a sigmoid. `conv` and
    `bn0` make the splits; `fc1`, `bn1` and `fc2` their weights from what was pooled.
    """

    def __init__(self, channels: int, radix: int, groups: int) -> None:
        super().__init__()
        self.channels, self.radix, self.groups = channels, radix, groups
        inner = max(channels * radix // _REDUCTION, _LEAST_INNER)
        self.conv = nn.Conv2d(
            channels, channels * radix, 3, padding=1, groups=groups * radix, bias=False
        )
        self.bn0 = nn.BatchNorm2d(channels * radix)
        self.fc1 = nn.Conv2d(channels, inner, 1, groups=groups)
        self.bn1 = nn.BatchNorm2d(inner)
        self.fc2 = nn.Conv2d(inner, channels * radix, 1, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        """Give a map (N, C, H, W) of the shape of `x`."""
        splits = torch.relu(self.bn0(self.conv(x))).unflatten(1, (self.radix, self.channels))
        pooled = splits.sum(1).mean((2, 3), keepdim=True)
        scores = self.fc2(torch.relu(self.bn1(self.fc1(pooled))))
        return (splits * self._weights(scores)).sum(1)

    def _weights(self, scores: Tensor) -> Tensor:
        """The scores come by group, then by split; the weights are by split."""
        shape = (scores.shape[0], self.groups, self.radix, self.channels // self.groups)
        by_split = scores.reshape(shape).transpose(1, 2)
        shares = by_split.softmax(1) if self.radix > 1 else by_split.sigmoid()
        return shares.reshape(scores.shape[0], self.radix, self.channels, 1, 1)


class Bottleneck(nn.Module):
    """1x1, split attention, 1x1, and a short cut; strides are taken by average pooling.

    `conv1` and `bn1` narrow, `conv2` is the split attention, `avd_layer` takes the stride, `conv3`
    and `bn3` widen; `downsample` is the short cut.
    """

    expansion = 4

    def __init__(self, given: int, planes: int, *, stride: int, radix: int, groups: int) -> None:
        super().__init__()
        made, inner = planes * self.expansion, planes * groups
        self.conv1 = nn.Conv2d(given, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = SplitAttention(inner, radix, groups)
        self.avd_layer = nn.AvgPool2d(3, stride, padding=1) if stride > 1 else nn.Identity()
        self.conv3 = nn.Conv2d(inner, made, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(made)
        self.downsample = _short_cut(given, made, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Give the map of the next block."""
        out = torch.relu(self.bn1(self.conv1(x)))
        out = self.avd_layer(self.conv2(out))
        return torch.relu(self.bn3(self.conv3(out)) + self.downsample(x))


def _short_cut(given: int, made: int, stride: int) -> nn.Module:
    if stride == 1 and given == made:
        return nn.Identity()
    return nn.Sequential(
        nn.AvgPool2d(stride, stride, ceil_mode=True, count_include_pad=False),
        nn.Conv2d(given, made, 1, bias=False),
        nn.BatchNorm2d(made),
    )
