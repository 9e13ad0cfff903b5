"""Trains the network that finds defects on magnetic tiles, and writes its weights.

    python examples/compression/train_tiles.py --data FOLDER

First on tiles of 112 px, which takes a quarter of the time, then on those of 224 px. One thread, so
that equal arguments give equal weights. They are written beside the example, and stay yours: the
tiles have no license that would let the SDK bring them along.
"""

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import attrs
import tiles
import torch
from resnet import tile_resnet
from tile_data import SIDE, Tiles, fold_asked, parts
from train_teacher import show
from weights import save_weights

from deepseek_compress.train.fit import fit
from deepseek_compress.train.objectives import UserLoss
from deepseek_compress.train.options import FitOptions
from deepseek_compress.train.own_metric import choose_threshold, measure
from deepseek_compress.train.predictor import torch_predictor
from deepseek_compress.train.run import Run
from deepseek_core import errors

STAGES = ((SIDE // 2, 30), (SIDE, 20))  # px, epochs
OPTIONS = {"learning_rate": 1e-3, "optimizer": "adamw", "batch_size": 8, "weight_decay": 0.01}


def main() -> None:
    """Train, say how good it became, and write the weights."""
    arguments = parsed()
    found = parts(arguments.fold, arguments.data)
    run = Run(step="tiles", seed=arguments.seed, progress=show)
    model = learned(found["train"], run, arguments.epochs)
    save_weights(model, arguments.weights)
    predict = torch_predictor(model)
    at = choose_threshold(predict, found["validation"], tiles.threshold)
    print(f"\nthreshold {at:.3g}, chosen on {len(found['validation'])} validation tiles")
    for metric in (tiles.recall, tiles.false_alarms):
        score = measure(predict, found["test"], metric, threshold=at).score
        span = f"{score.low:.1%} to {score.high:.1%}"
        print(f"{metric.__name__} {score.value:.1%} ({span}) of {score.count} test tiles")


def learned(train: Tiles, run: Run, share: float = 1.0) -> torch.nn.Module:
    """The network of the run's seed, after a `share` of the epochs."""
    torch.manual_seed(run.seed)
    model = tile_resnet()
    for side, epochs in STAGES:
        options = FitOptions(**OPTIONS, epochs=max(1, round(epochs * share)))
        samples = train.at(side, varied=True)
        of_side = attrs.evolve(run, step=f"{side} px", checkpoint=_beside(run.checkpoint, side))
        model = fit(model, samples, UserLoss(tiles.loss), options, of_side).model
    return model


def _beside(checkpoint: Path | None, side: int) -> Path | None:
    return None if checkpoint is None else checkpoint.with_name(f"{side}-{checkpoint.name}")


def parsed() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder with magnetic_tile_96.npz")
    parser.add_argument("--weights", type=Path, default=tiles.HERE / "data" / "tiles.npz")
    parser.add_argument("--fold", type=int, default=fold_asked())
    parser.add_argument("--epochs", type=float, default=1.0, help="share of the usual ones")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except errors.DeepSeekError as error:
        sys.exit(f"error: {error}")
