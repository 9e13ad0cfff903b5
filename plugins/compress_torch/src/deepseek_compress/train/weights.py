"""Weights and buffers of a module: read, kept, put back, hashed."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import torch


def tensors_of(model: Any) -> dict[str, Any]:
    """All weights and buffers by name, those that a `state_dict` leaves out among them."""
    parameters = model.named_parameters(remove_duplicate=False)
    buffers = model.named_buffers(remove_duplicate=False)
    return {name: tensor.detach() for name, tensor in itertools.chain(parameters, buffers)}


def snapshot(model: Any) -> dict[str, Any]:
    """Copies of `tensors_of`."""
    return {name: tensor.clone() for name, tensor in tensors_of(model).items()}


def put_back(model: Any, tensors: Mapping[str, Any]) -> None:
    """Fill a model with what `snapshot` gave."""
    for name, tensor in tensors_of(model).items():
        tensor.copy_(tensors[name])


def weight_hash(model: Any) -> str:
    """sha256 over all weights and buffers: names, dtypes, shapes and bytes."""
    whole = sha256()
    for name, tensor in sorted(tensors_of(model).items()):
        whole.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        whole.update(tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return whole.hexdigest()
