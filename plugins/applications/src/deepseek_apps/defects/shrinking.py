"""A smaller network: what the recipe of its compression names, and what that recipe is.

Legend: N draws, C channels of the network, h x w px of it, K classes of which 0 is good.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from deepseek_apps.defects import measures
from deepseek_apps.defects.network import CELL, make
from deepseek_apps.defects.trained import read_trained
from deepseek_apps.defects.weights import fill, read_weights
from deepseek_core import errors

if TYPE_CHECKING:
    from torch import Tensor, nn

    from deepseek_apps.defects.kept import Kept
    from deepseek_apps.defects.options import Options

_MODULE: Final = "deepseek_apps.defects.shrinking"
_EPOCHS: Final = 8
_SHARE: Final = 0.1  # of the draws of a training, gone through in each epoch
_MOST_DRAWS: Final = 3_000
_FIRST_WEIGHTS: Final = "stem.0.0.weight"  # (width, C, 5, 5), or (2 width, C, 3, 3)
_FIRST: Final = 2  # numbers of a label before its mask: the class, and whether the mask is known

Array = np.ndarray[Any, Any]


def recipe(weights: Path, kept: Kept, options: Options, auroc_drop: float) -> dict[str, Any]:
    """The tables of a recipe: prune to the budget, train on, lower to int8."""
    step: dict[str, Any] = {
        "use": "finetune", "epochs": _EPOCHS, "batch_size": 16,
        "optimizer": "adamw", "learning_rate": 1e-3, "weight_decay": 0.01,
    }  # fmt: skip
    return {
        "model": {
            "entry": f"{_MODULE}:trained",
            "weights": str(weights.resolve()),
            "input": [1, kept.colors + 1, *kept.size],
        },
        "data": {
            "train": "train.npz", "test": "validation.npz",
            "calibration": "calibration.npz", "validation_share": 0.0,
            "loss": f"{_MODULE}:loss", "metric": f"{_MODULE}:auroc",
        },
        "step": [{"use": "prune", "score": "cis_mean"}, {"use": "recover_bn"}, step],
        "lower": [{"use": "ort_x86"}],
        "budget": {"macs": options.macs, "auroc_drop": f"<= {100 * auroc_drop:g} pt"},
    }  # fmt: skip


def write_data(folder: Path, kept: Kept, options: Options, seed: int) -> None:
    """Write the files of samples that the recipe names: draws, and the validation part as it is."""
    from deepseek_apps.defects.drawing import Draws
    from deepseek_apps.defects.learning import variation_of

    count = max(1, min(_MOST_DRAWS, int(_SHARE * options.steps * options.batch)))
    variation = variation_of(options.flips, options.light)
    draws = Draws(kept, kept.rows("train"), count, seed, variation, close_share=0.0)
    x = np.empty((count, kept.colors + 1, *kept.size), np.float32)
    labels = np.empty((count, _FIRST + kept.size[0] * kept.size[1]), np.int16)
    for i in range(count):
        draw = draws[i]
        x[i], labels[i] = draw["x"], _label(draw["label"], draw["masked"], draw["mask"])
    np.savez(folder / "train.npz", x=x, labels=labels)
    rows = kept.rows("validation")
    seen = kept.channels[rows].astype(np.float32).transpose(0, 3, 1, 2)
    told = [_label(kept.classes_of[r], kept.has_mask[r], kept.masks[r]) for r in rows]
    np.savez(folder / "validation.npz", x=np.ascontiguousarray(seen), labels=np.stack(told))


def trained(weights: str) -> nn.Module:
    """The network of a training, by the file of its weights.

    Raises:
        InputError: no training has ended there, or its files do not belong together.
    """
    path = Path(weights)
    about, numbers = read_trained(path.parent), read_weights(path)
    if about is None or _FIRST_WEIGHTS not in numbers:
        raise errors.InputError(
            f"{path.parent} holds no training that has ended", remedy="train that seed again"
        )
    kind, width = str(about.options["network"]), int(about.options["width"])
    channels = numbers[_FIRST_WEIGHTS].shape[1]
    network = make(kind, channels=channels, classes=len(about.classes), width=width)
    fill(network, numbers, path)
    return network.eval()


def loss(outputs: tuple[Tensor, Tensor], labels: Tensor) -> Tensor:
    """What a training minimizes, of cells (N, K, h / 4, w / 4) and pictures (N, K)."""
    from deepseek_apps.defects.losses import inspection_loss

    cells, pictures = outputs
    height, width = CELL * cells.shape[2], CELL * cells.shape[3]
    mask = labels[:, _FIRST:].float().unflatten(1, (height, width))
    batch = {"label": labels[:, 0].long(), "masked": labels[:, 1], "mask": mask}
    return inspection_loss(cells, pictures, batch)


def auroc(outputs: tuple[Array, Array], labels: Array) -> float:
    """The area under the curve of what is said of whole pictures, defects against good ones."""
    import torch

    from deepseek_apps.defects.deployed import AS_IT_IS, answer

    cells, pictures = map(torch.from_numpy, outputs)
    _, scores, _ = answer([(cells, pictures)], AS_IT_IS)
    return measures.auroc(scores.numpy(), labels[:, 0] > 0)


def _label(label: Any, masked: Any, mask: Array) -> Array:
    return np.concatenate([[label, masked], mask.reshape(-1)]).astype(np.int16)
