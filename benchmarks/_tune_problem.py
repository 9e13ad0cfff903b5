"""The training that `tune.py` tunes, as `ds-sdk tune` takes it, and the grid beside it.

Fixed before any result was looked at: a perceptron of 784-128-10, SGD with momentum, five epochs of
Fashion-MNIST at a constant rate, batches and rates in steps of four and of about three.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn
from torch.utils.data import TensorDataset

EXAMPLE: Final = Path(__file__).resolve().parent.parent / "examples" / "compression"
BATCHES: Final = (64, 256, 1024, 4096)
RATES: Final = (0.01, 0.03, 0.1, 0.3)
EPOCHS: Final = 5
MOMENTUM: Final = 0.9
DIVERGING: Final = (4096, 6.4)
"""The linear rule from 64 and .1 on."""


def pictures(part: str) -> tuple[Any, Any]:
    """float32 [B, 784] of mean 0 and deviation 1, int64 [B]; of the folder in DEEPSEEK_DATA."""
    if str(EXAMPLE) not in sys.path:
        sys.path.insert(0, str(EXAMPLE))
    import fashion

    x, y = (torch.from_numpy(one) for one in fashion.read(part, Path(os.environ["DEEPSEEK_DATA"])))
    return x.flatten(1), y


def network() -> Any:
    """A new one."""
    return nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))


def build() -> tuple[Any, Any, Any, Any]:
    """Model, loss, data, optimizer."""
    return network(), loss, TensorDataset(*pictures("train")), optimizer


def optimizer(params: Any) -> Any:
    """SGD with momentum; the rate is what is looked for."""
    return torch.optim.SGD(params, lr=0.01, momentum=MOMENTUM)


def loss(model: Any, batch: Any) -> Any:
    """Mean cross-entropy."""
    return nn.functional.cross_entropy(model(batch[0]), batch[1])
