"""Fashion-MNIST: what a recipe names as its model and data.

`$DEEPSEEK_DATA` names a folder with all 70,000 pictures (`fashion_mnist_train_*.npz` and
`fashion_mnist_test.npz`, with x uint8 [N, 28, 28] and y). Without it, a subset of 3,000 and 800
that lies beside this file is used: enough to see a recipe run, too little for its last percent.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from resnet import small_resnet
from weights import read_weights

from deepseek_core import compression

HERE = Path(__file__).parent
SUBSET = HERE / "data" / "fashion_mnist_subset.npz"
MEAN, SPREAD = 0.286, 0.353  # of the pixels, 0 to 1
CLASSES = ("t-shirt", "trouser", "pullover", "dress", "coat",
           "sandal", "shirt", "sneaker", "bag", "ankle boot")  # fmt: skip

Pictures = tuple[np.ndarray, np.ndarray]


def train() -> Pictures:
    """Pictures to learn from: x float32 [N, 1, 28, 28], y int64 [N]."""
    return read("train")


def test() -> Pictures:
    """Pictures to judge by."""
    return read("test")


def augmented() -> "Augmented":
    """Pictures to learn from, mirrored at random in each epoch."""
    return Augmented(*train())


def trained(weights: str | None = None) -> torch.nn.Module:
    """The network, with the weights that `train_teacher.py` left; drawn at random without any."""
    torch.manual_seed(0)
    model = small_resnet()
    if weights is not None:
        read_weights(model, Path(weights), "train_teacher.py")
    return model.eval()


def read(part: str, folder: Path | None = None) -> Pictures:
    """Pictures of `train` or `test`, from a folder, `$DEEPSEEK_DATA` or the subset."""
    place = folder or os.environ.get("DEEPSEEK_DATA")
    if place is None:
        with np.load(SUBSET) as file:
            return scaled(file[f"{part}_x"], file[f"{part}_y"])
    files = sorted(Path(place).glob(f"fashion_mnist_{part}*.npz"))
    if not files:
        raise FileNotFoundError(f"no fashion_mnist_{part}*.npz in {place}")
    parts = [np.load(file) for file in files]
    x, y = (np.concatenate([part[name] for part in parts]) for name in ("x", "y"))
    return scaled(x, y)


def scaled(x: np.ndarray, y: np.ndarray) -> Pictures:
    """Pixels as the network eats them."""
    values = (x.astype(np.float32) / 255 - MEAN) / SPREAD
    return values[:, None], y.astype(np.int64)


class Augmented:
    """Samples of the SDK's own contract: half of the pictures mirrored, again in each epoch."""

    def __init__(self, x: np.ndarray, y: np.ndarray) -> None:
        self.x, self.y = x, y

    def __len__(self) -> int:
        return len(self.x)

    def batches(self, size: int, *, seed: int | None = None) -> Iterator[compression.Batch]:
        """All pictures once; without a seed in their own order, and as they are."""
        count, rng = len(self.x), np.random.default_rng(seed)
        order = np.arange(count) if seed is None else rng.permutation(count)
        mirrored = np.zeros(count, bool) if seed is None else rng.random(count) < 0.5
        for start in range(0, count, size):
            rows = order[start : start + size]
            x = self.x[rows]
            x = np.where(mirrored[rows][:, None, None, None], x[..., ::-1], x)
            yield compression.Batch(inputs={"x": x}, labels=self.y[rows])
