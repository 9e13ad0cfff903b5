"""Trains the small residual network on Fashion-MNIST and writes its weights.

    python examples/compression/train_teacher.py --data FOLDER --augment --epochs 8

Without a folder it learns from the subset that lies beside this file. One thread, so that equal
arguments give equal weights. `data/teacher.npz` came of the line above.
"""

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import fashion
import torch
from resnet import small_resnet
from weights import save_weights

from deepseek_compress.samples.accept import as_samples
from deepseek_compress.samples.names import Expected
from deepseek_compress.train.evaluate import accuracy
from deepseek_compress.train.fit import fit
from deepseek_compress.train.objectives import CrossEntropy
from deepseek_compress.train.options import FitOptions
from deepseek_compress.train.predictor import torch_predictor
from deepseek_compress.train.run import Run


def main() -> None:
    """Train, say how good it became, and write the weights."""
    arguments = parsed()
    expected = Expected(inputs={"x": (1, 1, 28, 28)})
    pictures = fashion.read("train", arguments.data)
    seen = as_samples(fashion.Augmented(*pictures) if arguments.augment else pictures, expected)
    torch.manual_seed(arguments.seed)
    options = FitOptions(epochs=arguments.epochs, learning_rate=arguments.rate)
    run = Run(step="teacher", seed=arguments.seed, progress=show)
    found = fit(small_resnet(), seen, CrossEntropy(), options, run)
    save_weights(found.model, arguments.weights)
    unseen = as_samples(fashion.read("test", arguments.data), expected)
    score = accuracy(torch_predictor(found.model), unseen).score
    print("\n" + "\n".join(found.notes))
    print(f"accuracy {score.value:.2%} ({score.low:.2%} to {score.high:.2%}) of {score.count}")


def parsed() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder with fashion_mnist_*.npz")
    parser.add_argument("--weights", type=Path, default=fashion.HERE / "data" / "teacher.npz")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--rate", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--augment", action="store_true")
    return parser.parse_args()


def show(done: int, of: int, text: str) -> None:
    """One line that is written over."""
    if done % 10 == 0 or done == of:
        print(f"\r{done}/{of} batches, {text}   ", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
