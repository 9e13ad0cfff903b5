"""A recipe and the file that it names."""

SCRIPT = """\
import os
import signal
import sys
import time

import torch
from torch import nn
from torch.utils.data import TensorDataset


def make_model(hidden=8):
    return nn.Sequential(nn.Linear(6, hidden), nn.Tanh(), nn.Linear(hidden, 3))


def make_data(length=48, seed=0):
    x = torch.randn(length, 6, generator=torch.Generator().manual_seed(seed))
    return TensorDataset(x, x[:, :3].argmax(1))


def right(model, batch):
    return (model(batch[0]).argmax(1) == batch[1]).float().mean()


def loss(model, batch):
    return nn.functional.cross_entropy(model(batch[0]), batch[1])


def slow(model, batch):
    time.sleep(0.02)
    return loss(model, batch)


def failing(model, batch):
    if os.environ["RANK"] == "1":
        raise ValueError("no loss of rank 1")
    return loss(model, batch)


def killed(model, batch):
    if os.environ["RANK"] == "1":
        print("the end of rank 1", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    return loss(model, batch)
"""
RECIPE = """\
[model]
factory = "train.py:make_model"
kwargs = { hidden = 9 }

[data]
factory = "train.py:make_data"

[optimizer]
name = "AdamW"
kwargs = { lr = 0.02 }

[scheduler]
name = "CosineAnnealingLR"
kwargs = { T_max = 12 }

[loss]
function = "train.py:loss"

[evaluate]
factory = "train.py:make_data"
kwargs = { length = 20, seed = 1 }
metrics = { right = "train.py:right" }

[train]
steps = 12
batch = 12
microbatch = 4

[checkpoint]
url = "saved"

[log]
folder = "log"
"""
