"""The visual search of circuit boards: what its recipe names as model, data, loss and metric.

The original is the demo's EfficientNet-Lite0, which has seen ImageNet only. It is judged as the
demo judges it: a picture of a board that nobody knows finds the nearest known one by embedding,
and that one has its class or not. Known pictures have labels, which training uses; those of the
2,877 queries are for the verdict alone.

Labels are [N, 2]: class, and board. Pictures: DeepPCB (MIT). Weights: EfficientNet-Lite
(Apache-2.0). Both lie in `examples/visual_search`.
"""

import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from efficientnet_lite import PICTURE_SIDE, EfficientNetLite0, normalized, read_weights
from torch import Tensor

from deepseek_core import compression

DEMO = Path(__file__).parents[1] / "visual_search"
sys.path.append(str(DEMO))

from dataset import Crops, load_crops, split_by_board  # noqa: E402

WEIGHTS = DEMO / "models" / "visual_search_fp32.onnx"
HELD_OUT_BOARDS = 120  # of 1,200 known ones
TEMPERATURE = 0.1
APART = -1e4  # a likeness that no pair has


class Pictures:
    """Crops as samples: float32 [N, 64, 64], labels int64 [N, 2].

    `turned`: a seed also mirrors and turns each at random, in one of the eight ways that leave a
    board a board.
    """

    def __init__(self, crops: Crops, *, turned: bool = False) -> None:
        self.crops, self._turned = crops, turned
        self.labels = np.stack([crops.labels, crops.boards], axis=1).astype(np.int64)

    def __len__(self) -> int:
        return len(self.crops)

    def batches(self, size: int, *, seed: int | None = None) -> Iterator[compression.Batch]:
        """All pictures once; without a seed in their own order, and as they are."""
        rng = np.random.default_rng(seed)
        order = np.arange(len(self)) if seed is None else rng.permutation(len(self))
        for start in range(0, len(self), size):
            rows = order[start : start + size]
            images = self.crops.images[rows]
            if self._turned and seed is not None:
                images = _turned(images, rng)
            inputs = {"images": images.astype(np.float32)}
            yield compression.Batch(inputs=inputs, labels=self.labels[rows])


def _turned(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    upside, sideways, crossed = ((rng.random(len(images)) < 0.5)[:, None, None] for _ in range(3))
    images = np.where(upside, images[:, ::-1], images)
    images = np.where(sideways, images[:, :, ::-1], images)
    return np.where(crossed, images.swapaxes(1, 2), images)


def train() -> Pictures:
    """Known pictures of 1,080 boards."""
    return Pictures(_known()[0], turned=True)


def held_out() -> Pictures:
    """Known pictures of 120 other boards, by which steps choose."""
    return Pictures(_known()[1])


def known() -> Pictures:
    """All known pictures, among which the nearest is looked for."""
    return Pictures(_boards()[0])


def queries() -> Pictures:
    """Pictures of 300 boards that nobody knows."""
    return Pictures(_boards()[1])


@cache
def _boards() -> tuple[Crops, Crops]:
    return split_by_board(load_crops())


@cache
def _known() -> tuple[Crops, Crops]:
    return split_by_board(_boards()[0], num_query_boards=HELD_OUT_BOARDS, seed=2)


def original(side: int | None = None) -> EfficientNetLite0:
    """The demo's network with its weights; `side` is what pictures are scaled to."""
    model = EfficientNetLite0() if side is None else EfficientNetLite0(side)
    model.load_state_dict(read_weights(WEIGHTS))
    return model.eval()


def student() -> torch.nn.Module:
    """The same weights on pictures as they come, 64 x 64: 2.25 times fewer multiply-adds."""
    return _ready(original(PICTURE_SIDE))


def scaled_student() -> torch.nn.Module:
    """The network as the original has it, to be pruned without another change."""
    return _ready(original())


def _ready(model: torch.nn.Module) -> torch.nn.Module:
    images = _known()[0].images[::20].astype(np.float32)
    return normalized(model, torch.from_numpy(images))


def neighbors_loss(embeddings: Tensor, labels: Tensor) -> Tensor:
    """How unlikely it is that a picture chooses a neighbor of its own class.

    Neighborhood component analysis (Goldberger 2004), softened by a temperature; pictures of the
    same board do not count, because a query has none among the known.
    """
    likeness = embeddings.float() @ embeddings.float().T / TEMPERATURE
    classes, boards = labels.T
    chosen = likeness.masked_fill(boards[:, None] == boards, APART).log_softmax(dim=1)
    return -chosen.masked_fill(classes[:, None] != classes, APART).logsumexp(dim=1).mean()


def nearest_class(
    embeddings: Any, labels: Any, known_embeddings: Any, known_labels: Any
) -> np.ndarray:
    """For each picture, whether the nearest known one of another board has its class: 1 or 0."""
    right = [
        _right(embeddings[at : at + 256], labels[at : at + 256], known_embeddings, known_labels)
        for at in range(0, len(embeddings), 256)
    ]
    return np.concatenate(right)


def _right(embeddings: Any, labels: Any, known_embeddings: Any, known_labels: Any) -> np.ndarray:
    norms = np.square(known_embeddings).sum(axis=1)
    distances = norms - 2 * embeddings @ known_embeddings.T
    distances[labels[:, 1:] == known_labels[:, 1]] = np.inf
    nearest = distances.argmin(axis=1)
    return (known_labels[nearest, 0] == labels[:, 0]).astype(np.float64)
