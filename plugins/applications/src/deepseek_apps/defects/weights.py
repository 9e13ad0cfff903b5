"""Trained numbers as a file: what `ds-sdk ckpt export` writes, read and checked.

Source: the format of safetensors (github.com/huggingface/safetensors): the length of a header as 8
bytes, the header in JSON, the tensors.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from deepseek_core import errors

if TYPE_CHECKING:
    from torch import nn

_MOST_HEADER: Final = 1 << 24
_TYPES: Final = {"F32": np.float32, "F64": np.float64, "I64": np.int64}

Array = np.ndarray[Any, Any]


def read_weights(path: Path) -> dict[str, Array]:
    """The tensors of a file, by name.

    Raises:
        InputError: no such file, a damaged one, or types that a training does not leave.
    """
    try:
        raw = path.read_bytes()
        length = int.from_bytes(raw[:8], "little")
        if not 0 < length <= min(_MOST_HEADER, len(raw) - 8):
            raise ValueError(f"a header of {length} bytes in a file of {len(raw)}")
        header = json.loads(raw[8 : 8 + length])
        return {
            name: _tensor(entry, memoryview(raw)[8 + length :])
            for name, entry in header.items() if name != "__metadata__"
        }  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise errors.InputError(
            f"{path} holds no weights that can be read: {error}", remedy="train that seed again"
        ) from error


def _tensor(entry: dict[str, Any], data: memoryview) -> Array:
    begin, end = entry["data_offsets"]
    flat = np.frombuffer(data[begin:end], _TYPES[entry["dtype"]])
    return flat.reshape(entry["shape"]).copy()


def fill(model: nn.Module, weights: dict[str, Array], path: Path) -> None:
    """Give a network its trained numbers.

    Raises:
        InputError: they are those of another network, or not finite.
    """
    import torch

    wanted = {name: tuple(held.shape) for name, held in model.state_dict().items()}
    have = {name: held.shape for name, held in weights.items()}
    if wanted != have:
        other = sorted(set(wanted.items()) ^ set(have.items()))[0][0]
        raise errors.InputError(
            f"{path} is of another network or other classes: {other} is {have.get(other)}, "
            f"and {wanted.get(other)} is expected",
            remedy="train that seed again, or go back to the options and data that it had",
        )
    if not all(np.isfinite(held).all() for held in weights.values()):
        raise errors.InputError(
            f"{path} holds numbers that are not finite",
            remedy="train again with a smaller learning_rate",
        )
    model.load_state_dict({name: torch.from_numpy(held) for name, held in weights.items()})
