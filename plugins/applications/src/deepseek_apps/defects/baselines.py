"""Models to stand beside: the most frequent class, a linear one, a Gaussian of good pictures.

Legend: N pictures, K classes of which 0 is good, c channels, F features, G cells of a picture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from deepseek_apps.defects.scoring import Said

if TYPE_CHECKING:
    from deepseek_apps.defects.kept import Kept

MAJORITY: Final = "most frequent class"
LINEAR: Final = "logistic regression on statistics"
GAUSSIAN: Final = "Gaussian of good pictures"
_PERCENTILES: Final = (0, 1, 5, 25, 50, 75, 95, 99, 100)
_GRID: Final = 3
_DECAYS: Final = (1e-3, 1e-2, 1e-1)  # of the linear model; the best on validation is taken
_SHRUNK: Final = 0.01  # of the covariance, towards its mean variance
_FINE, _COARSE = 4, 8  # px; cells of the Gaussian's features

Array = np.ndarray[Any, Any]


def majority(kept: Kept) -> Said:
    """The class that most pictures to train with have, for each of the test."""
    most = int(np.bincount(kept.classes_of[kept.rows("train")]).argmax())
    count = len(kept.rows("test"))
    return Said(scores=np.zeros(count), classes=np.full(count, most))


def features(channels: Array) -> Array:
    """Statistics of a picture's channels (N, h, w, c), and of a grid on it, as (N, F)."""
    x = channels.astype(np.float32)
    whole = [np.percentile(x, _PERCENTILES, axis=(1, 2)).transpose(1, 0, 2), x.std((1, 2))[:, None]]
    parts = []
    for rows in np.array_split(np.arange(x.shape[1]), _GRID):
        for columns in np.array_split(np.arange(x.shape[2]), _GRID):
            part = x[:, rows[:, None], columns[None]]
            parts += [part.mean((1, 2)), part.std((1, 2)), part.min((1, 2)), part.max((1, 2))]
    return np.concatenate([each.reshape(len(x), -1) for each in (*whole, *parts)], 1)


class Linear:
    """Softmax regression on `features`, classes in balance; fitted by L-BFGS."""

    def __init__(self, x: Array, labels: Array, classes: int, decay: float) -> None:
        import torch

        self._mean, self._spread = x.mean(0), x.std(0) + 1e-6
        inputs, targets = self._inputs(x), torch.from_numpy(labels)
        self._weights = torch.zeros(inputs.shape[1] + 1, classes, requires_grad=True)
        balance = 1 / torch.bincount(targets, minlength=classes).clamp(min=1).float()
        fit = torch.optim.LBFGS([self._weights], max_iter=100, line_search_fn="strong_wolfe")

        def loss() -> Any:
            fit.zero_grad()
            scores = inputs @ self._weights[1:] + self._weights[0]
            found = torch.nn.functional.cross_entropy(scores, targets, weight=balance)
            found = found + decay * self._weights[1:].square().sum() / 2
            found.backward()
            return found

        fit.step(loss)

    def _inputs(self, x: Array) -> Any:
        import torch

        return torch.from_numpy(((x - self._mean) / self._spread).astype(np.float32))

    def __call__(self, x: Array) -> Array:
        """Probabilities of the classes, (N, K)."""
        scores = self._inputs(x) @ self._weights[1:] + self._weights[0]
        return np.asarray(scores.softmax(1).detach().numpy())


def linear(kept: Kept, labels: Array | None = None) -> tuple[Said, Said, int]:
    """What the linear model says of validation and test, and how many numbers it learned.

    `labels` take the place of those to train with.
    """
    from deepseek_apps.defects.measures import auroc

    rows = {part: kept.rows(part) for part in ("train", "validation", "test")}
    x = {part: features(kept.channels[at]) for part, at in rows.items()}
    targets = kept.classes_of[rows["train"]] if labels is None else labels
    bad = kept.classes_of[rows["validation"]] > 0
    fits = [Linear(x["train"], targets, len(kept.classes), decay) for decay in _DECAYS]
    best = max(fits, key=lambda fit: auroc(1 - fit(x["validation"])[:, 0], bad))
    found = [best(x[part]) for part in ("validation", "test")]
    chosen, judged = (Said(scores=1 - p[:, 0], classes=p.argmax(1)) for p in found)
    return chosen, judged, (x["train"].shape[1] + 1) * len(kept.classes)


def gaussian(kept: Kept) -> tuple[Said, Said, int]:
    """What a Gaussian of good pictures says of validation and test, and how many numbers it has.

    Each cell has its own mean and all share a covariance of fixed features; the distance to it
    (Mahalanobis) is the map, and the largest one the score. After PaDiM (Defard 2020,
    arXiv:2011.08785), which takes the features of a pretrained network where here are gradients.
    """
    rows = kept.rows("train")
    good = _cells(kept.channels[rows[kept.classes_of[rows] == 0]])
    mean = good.mean(0)
    apart = (good - mean).reshape(-1, good.shape[-1])
    covariance = apart.T @ apart / len(apart)
    size = len(covariance)
    covariance += _SHRUNK * np.trace(covariance) / size * np.eye(size)
    root = np.linalg.cholesky(np.linalg.inv(covariance))

    def said(part: str) -> Said:
        far = np.linalg.norm((_cells(kept.channels[kept.rows(part)]) - mean) @ root, axis=-1)
        height, width = (side // _FINE for side in kept.size)
        maps = far.reshape(len(far), height, width)
        return Said(scores=maps.max((1, 2)), maps=maps / max(1e-9, float(maps.max())))

    return said("validation"), said("test"), mean.size + size * (size + 1) // 2


def _cells(channels: Array) -> Array:
    """Fixed features of each cell, (N, G, F): levels, edges and spreads, near and far."""
    import torch
    from torch.nn import functional

    x = torch.from_numpy(channels.astype(np.float32)).permute(0, 3, 1, 2)
    down = functional.pad(x[:, :, 1:] - x[:, :, :-1], (0, 0, 0, 1)).abs()
    right = functional.pad(x[:, :, :, 1:] - x[:, :, :, :-1], (0, 1)).abs()
    every = torch.cat([x, down, right, x.square()], 1)
    fine = functional.avg_pool2d(every, _FINE)
    coarse = functional.avg_pool2d(every, _COARSE, _FINE, _FINE // 2, count_include_pad=False)
    coarse = coarse[:, :, : fine.shape[2], : fine.shape[3]]
    return np.asarray(torch.cat([fine, coarse], 1).flatten(2).transpose(1, 2).numpy())
