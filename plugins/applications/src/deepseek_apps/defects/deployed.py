"""The graph that ships: from the camera's pixels to a map, a score and the classes.

Three parts that are joined: what is before the network, the network (in fp32 or int8), and what
follows it.

Legend: H x W px of the camera, C colors, h x w px of the network, V views, K classes, 0 is good.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor, nn

from deepseek_apps.defects.picture import Resampled, contrasted

INPUT: Final = "picture"
SEEN: Final = "x"
SAID: Final = ("cells", "pictures")
OUTPUTS: Final = ("map", "score", "classes")

Views = tuple[tuple[int, ...], ...]
AS_IT_IS: Final[Views] = ((),)
"""One view, mirrored along no axis; see `Options.views`."""


class Before(nn.Module):
    """A picture as the camera gives it, prepared, in each of its views."""

    def __init__(
        self,
        size: tuple[int, int],
        crop: tuple[float, float, float, float],
        views: Views = AS_IT_IS,
    ) -> None:
        super().__init__()
        self.resampled, self.views = Resampled(size, crop), views

    def forward(self, picture: Tensor) -> Tensor:
        """Map uint8 (H, W, C) to float32 (V, C + 1, h, w)."""
        x = contrasted(self.resampled(picture))
        return torch.cat([_flipped(x, axes) for axes in self.views])


class After(nn.Module):
    """What the network said of a picture's views, as one answer."""

    def __init__(self, views: Views = AS_IT_IS) -> None:
        super().__init__()
        self.views = views

    def forward(self, cells: Tensor, pictures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map (V, K, h / 4, w / 4), (V, K) to a map (h / 4, w / 4), a score (1,), classes (K,)."""
        seen = [(cells[v : v + 1], pictures[v : v + 1]) for v in range(len(self.views))]
        maps, score, classes = answer(seen, self.views)
        return maps[0], score, classes[0]


class Scored(nn.Module):
    """The same answers for many pictures that were prepared, by the network as torch has it."""

    def __init__(self, network: nn.Module, views: Views = AS_IT_IS) -> None:
        super().__init__()
        self.network, self.views = network, views

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map (N, C + 1, h, w) to maps (N, h / 4, w / 4), scores (N,) and classes (N, K)."""
        return answer([self.network(_flipped(x, axes)) for axes in self.views], self.views)


def answer(seen: Sequence[tuple[Tensor, Tensor]], views: Views) -> tuple[Tensor, Tensor, Tensor]:
    """Maps, scores and classes of pictures; `seen` has cells and pictures of each of the views.

    A cell's value is the probability that it shows a defect. The score is the mean of that of the
    picture and that of its worst cell, so a small spot counts that the whole overlooks.
    """
    maps, classes = torch.zeros(1), torch.zeros(1)
    for axes, (cells, pictures) in zip(views, seen, strict=True):
        maps = maps + _flipped(1 - cells.softmax(1)[:, :1], axes)
        classes = classes + pictures.softmax(1)
    maps, classes = maps[:, 0] / len(seen), classes / len(seen)
    return maps, (1 - classes[:, 0] + maps.amax((1, 2))) / 2, classes


def _flipped(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    return x.flip(axes) if axes else x
