"""The graph that ships: from the camera's pixels to a map, a score and the classes.

Legend: H x W px of the camera, C colors, h x w px of the network, V views, K classes, 0 is good.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from deepseek_apps.defects.picture import Resampled, contrasted

INPUT: Final = "picture"
OUTPUTS: Final = ("map", "score", "classes")
_MIRRORED: Final = ((), (2,), (3,), (2, 3))


class Scored(nn.Module):
    """The network with its answers: cells, score and classes of pictures that were prepared.

    With four views each picture is looked at mirrored as well, and the answers are averaged.
    """

    def __init__(self, network: nn.Module, views: int = 1) -> None:
        super().__init__()
        self.network, self.views = network, views

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map (N, C + 1, h, w) to maps (N, h / 4, w / 4), scores (N,) and classes (N, K).

        A cell's value is the probability that it shows a defect. The score is the mean of that of
        the picture and that of its worst cell, so a small spot counts that the whole overlooks.
        """
        maps, classes = self._seen(x, ())
        for axes in _MIRRORED[1 : self.views]:
            more = self._seen(x, axes)
            maps, classes = maps + more[0], classes + more[1]
        maps, classes = maps / self.views, classes / self.views
        score = (1 - classes[:, 0] + maps.amax((1, 2))) / 2
        return maps, score, classes

    def _seen(self, x: Tensor, axes: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        cells, pictures = self.network(x.flip(axes) if axes else x)
        maps = 1 - cells.softmax(1)[:, :1]
        return (maps.flip(axes) if axes else maps)[:, 0], pictures.softmax(1)


class Deployed(nn.Module):
    """All of it for one picture as the camera gives it."""

    def __init__(
        self, scored: Scored, size: tuple[int, int], crop: tuple[float, float, float, float]
    ) -> None:
        super().__init__()
        self.resampled, self.scored = Resampled(size, crop), scored

    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map uint8 (H, W, C) to a map (h / 4, w / 4), a score (1,) and classes (K,)."""
        maps, score, classes = self.scored(contrasted(self.resampled(picture)))
        return maps[0], score, classes[0]


def export(deployed: Deployed, colors: int, path: Path) -> None:
    """Write the graph as ONNX; it takes a picture of any size."""
    import warnings

    example = torch.randint(0, 256, (120, 100, colors), dtype=torch.uint8)
    height, width = torch.export.Dim("H", min=2), torch.export.Dim("W", min=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            deployed.eval(), (example,), dynamo=True, input_names=[INPUT],
            output_names=list(OUTPUTS), dynamic_shapes={INPUT: {0: height, 1: width}},
            verbose=False, optimize=True,
        )  # fmt: skip
    if program is None:
        raise RuntimeError("the exporter returned nothing")
    program.save(str(path))
