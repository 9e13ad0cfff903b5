"""What happens to a picture before the network sees it, as operations of the exported graph.

Legend: N pictures, H x W px as the camera gives them, h x w px as the network takes them, C colors.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

NEAR, FAR = 4, 12  # px; radii of a pixel's surroundings, and of those that its contrast is held by
_LEVELS: Final = 255.0
_LEAST_SPREAD, _LEAST_CONTRAST = 0.02, 0.05
_LUMINANCE: Final = (0.299, 0.587, 0.114)  # ITU-R BT.601

WHOLE: Final = (0.0, 0.0, 1.0, 1.0)


class Resampled(nn.Module):
    """A picture of any size at h x w px, by a triangle filter that averages where it shrinks.

    The filter is that of Pillow's `BILINEAR`. It is two matrix products, whose matrices follow from
    H and W, so one file takes pictures of any size; what lies outside of `crop` (top, left, bottom,
    right as shares of the picture) has no weight in them.
    """

    def __init__(
        self, size: tuple[int, int], crop: tuple[float, float, float, float] = WHOLE
    ) -> None:
        super().__init__()
        self.size, self.crop = size, crop

    def forward(self, picture: Tensor) -> Tensor:
        """Map uint8 (H, W, C) to float32 (1, C, h, w), levels from 0 to 255."""
        top, left, bottom, right = self.crop
        x = picture.permute(2, 0, 1).to(torch.float32)
        rows = _weights(x[0, :, 0], self.size[0], (top, bottom))
        columns = _weights(x[0, 0], self.size[1], (left, right))
        return (rows @ (x @ columns.T))[None]


def _weights(along: Tensor, count: int, span: tuple[float, float]) -> Tensor:
    """How much each pixel along an axis counts for each one that comes out, (count, length).

    `along` is a row of pixels, wanted for its length alone: as a tensor it stays one in the graph.
    """
    pixels = torch.ones_like(along).cumsum(0)  # 1, 2, ... length
    length = pixels.max()
    step = length * (span[1] - span[0]) / count
    middles = (torch.arange(count, dtype=torch.float32) + 0.5) * step + length * span[0]
    apart = (pixels[None] - 0.5 - middles[:, None]).abs() / step.clamp(min=1.0)
    weights = (1 - apart).clamp(min=0)
    return weights / weights.sum(1, keepdim=True)


def contrasted(levels: Tensor) -> Tensor:
    """Map (N, C, h, w), levels from 0 to 255, to what the network takes, (N, C + 1, h, w).

    Colors lose their mean and are divided by their spread, so that another lamp changes little. The
    last channel is by how much a pixel differs from its surroundings, in spreads of these.
    """
    x = levels / _LEVELS
    x = x - x.mean((2, 3), keepdim=True)
    spread = x.square().mean((1, 2, 3), keepdim=True).sqrt()
    x = x / (spread + _LEAST_SPREAD)
    gray = _gray(x)
    differs = gray - _smoothed(gray, NEAR)
    usual = _smoothed(differs.square(), FAR).sqrt()
    return torch.cat([x, differs / (usual + _LEAST_CONTRAST)], 1)


def _gray(x: Tensor) -> Tensor:
    if x.shape[1] == 1:
        return x
    weights = torch.tensor(_LUMINANCE, dtype=x.dtype)
    return (x * weights[None, :, None, None]).sum(1, keepdim=True)


def _smoothed(x: Tensor, radius: int) -> Tensor:
    """Means over squares of 2 radius + 1 px; at the border over what is inside."""
    for kernel, padding in (
        ((2 * radius + 1, 1), (radius, 0)),
        ((1, 2 * radius + 1), (0, radius)),
    ):
        x = functional.avg_pool2d(x, kernel, 1, padding, count_include_pad=False)
    return x
