"""Weights of networks in `.npz` files, half as large as torch's own."""

from pathlib import Path

import numpy as np
import torch


def save_weights(model: torch.nn.Module, path: Path) -> None:
    """Write weights as float16, which are read back as float32: half the bytes."""
    state = {
        name: tensor.half().numpy()
        for name, tensor in model.state_dict().items()
        if tensor.is_floating_point()
    }
    np.savez_compressed(path, **state)


def read_weights(model: torch.nn.Module, path: Path) -> None:
    """Fill a network with what `save_weights` left of one like it."""
    with np.load(path) as file:
        state = {name: torch.from_numpy(file[name]).float() for name in file.files}
    model.load_state_dict(state, strict=False)  # a counter that inference has no use for
