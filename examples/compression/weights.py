"""Weights of networks in `.npz` files, half as large as torch's own."""

from pathlib import Path

import numpy as np
import torch

from deepseek_compress.samples.accept import read_npz
from deepseek_compress.samples.names import Expected
from deepseek_core import errors


def save_weights(model: torch.nn.Module, path: Path) -> None:
    """Write weights as float16, which are read back as float32: half the bytes."""
    state = {
        name: tensor.half().numpy()
        for name, tensor in model.state_dict().items()
        if tensor.is_floating_point()
    }
    np.savez_compressed(path, **state)


def read_weights(model: torch.nn.Module, path: Path, script: str) -> None:
    """Fill a network with what `script` saved of one like it.

    Raises:
        ArtifactError: no such file, a damaged one, or one of another network.
    """
    remedy = f"python {Path(__file__).parent / script}"
    try:
        arrays = read_npz(path, Expected(where="the weights"))
    except errors.ArtifactError as error:
        raise errors.ArtifactError(error.message, remedy=remedy) from error
    state = {name: torch.from_numpy(array).float() for name, array in arrays.items()}
    # The counters of normalizations are not kept: inference has no use for them.
    own = {name: tensor.shape for name, tensor in model.state_dict().items() if tensor.ndim}
    for name in {**own, **state}:
        if name not in own or name not in state or own[name] != state[name].shape:
            raise errors.ArtifactError(
                f"{path} is of another network: it differs in {name}", remedy=remedy
            )
    model.load_state_dict(state, strict=False)
