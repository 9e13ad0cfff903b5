"""The training of one network: a recipe of `ds-sdk train run`, and the weights that it leaves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs
import numpy as np
import numpy.typing as npt

from deepseek_apps.ctr.network.samples import NO_FOLD, Samples
from deepseek_apps.ctr.options import Options
from deepseek_core import errors

_PATIENCE: Final = 2
"""Evaluations without a better one that end a training; three checkpoints are kept."""
SAMPLES: Final = "samples.npz"
"""The file of samples, in the folder of a seed."""


@attrs.frozen(kw_only=True, eq=False)
class Network:
    """A trained network: what it is, the sizes that `make_model` takes, and its weights."""

    kind: str
    sizes: Mapping[str, Any]
    weights: Mapping[str, npt.NDArray[np.float32]]

    @property
    def num_parameters(self) -> int:
        """Count the weights of all members."""
        return sum(weight.size for weight in self.weights.values())

    def member_logits(self, samples: Samples) -> npt.NDArray[np.float32]:
        """Log odds (N, K) of each member."""
        import torch

        from deepseek_apps.ctr.network.recipe import make_model

        model = make_model(self.kind, **self.sizes)
        model.load_state_dict({name: torch.tensor(one) for name, one in self.weights.items()})
        model.eval()
        parts = []
        with torch.inference_mode():
            for start in range(0, len(samples.ids), 4096):
                held = slice(start, start + 4096)
                ids, numbers = samples.ids[held], samples.numbers[held]
                parts.append(model(torch.from_numpy(ids), torch.from_numpy(numbers))[0].numpy())
        return np.concatenate(parts)


def sizes_of(samples: Samples, options: Options, seed: int) -> dict[str, Any]:
    """What `make_model` takes for these samples."""
    return {
        "seed": seed,
        "members": int(samples.fold.max()) + 1,
        "rows": samples.rows,
        "fields": samples.ids.shape[1],
        "numbers": samples.numbers.shape[1],
        "width": options.width,
        "cross_layers": options.cross_layers,
        "hidden": list(options.widths),
        "dropout": options.dropout,
        "l2": options.l2,
    }


def recipe_of(
    kind: str, folder: Path, samples: Samples, options: Options, seed: int
) -> dict[str, Any]:
    """The tables of the recipe; the samples lie beside `folder`, where it is trained."""
    fitted = int((samples.fold != NO_FOLD).sum())
    batch = min(options.batch, fitted)
    every = -(-fitted // batch)  # steps of an epoch: evaluations and checkpoints meet
    read = {"path": str(folder.parent / SAMPLES), "batch": batch}
    return {
        "model": {
            "factory": "deepseek_apps.ctr.network.recipe:make_model",
            "kwargs": {"kind": kind, **sizes_of(samples, options, seed)},
        },
        "data": {"factory": "deepseek_apps.ctr.network.recipe:make_data", "kwargs": read},
        "optimizer": {"name": "Adam", "kwargs": {"lr": options.rate}},
        "loss": {"function": "deepseek_apps.ctr.network.recipe:loss"},
        "evaluate": {
            "factory": "deepseek_apps.ctr.network.recipe:make_validation",
            "kwargs": read,
            "every": every,
            "metrics": {"log_loss": "deepseek_apps.ctr.network.recipe:log_loss"},
        },
        "early_stop": {"metric": "log_loss", "patience": _PATIENCE},
        "train": {"steps": every * options.epochs, "batch": batch, "seed": seed},
        "checkpoint": {"url": str(folder / "saved"), "every": every},
        "log": {"folder": str(folder / "log")},
    }


def best_step(log: Path) -> int:
    """The step of the least validation log loss in a training's log.

    Raises:
        ArtifactError: there is none.
    """
    try:
        events = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
        measured = {
            event["step"]: float(event["log_loss"])
            for event in events
            if event["kind"] == "evaluation"
        }
        return int(min(measured, key=lambda step: measured[step]))
    except (OSError, ValueError, KeyError) as error:
        raise errors.ArtifactError(
            f"{log} tells no evaluation: {error}", remedy="remove its folder and train again"
        ) from error
