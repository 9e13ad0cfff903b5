"""Modules as functions from arrays to arrays, for evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from deepseek_compress.modules import call, check_module, evaluating
from deepseek_compress.nesting import leaves, nested
from deepseek_compress.train.batches import as_tensors
from deepseek_compress.train.surroundings import fixed_threads
from deepseek_core import compression


def torch_predictor(model: Any, *, threads: int = 1) -> Any:
    """What runs a module in evaluation mode; the module's own mode stays as it is.

    Raises:
        InputError: it is not a module.
    """
    check_module(model)

    def predict(inputs: Mapping[str, Any]) -> Any:
        tensors = as_tensors(compression.Batch(inputs=inputs), model).inputs
        with fixed_threads(threads), evaluating(model):
            return _arrays(call(model, tensors))

    return predict


def as_nested(model: Any, predict: Any, *, threads: int = 1) -> Any:
    """What gives the outputs of a model's file in the nest that the model itself gives.

    Of several outputs a file knows names and an order, not whether they were a tuple or a mapping.
    """
    of_model = torch_predictor(model, threads=threads)
    likes: list[Any] = []

    def nesting(inputs: Mapping[str, Any]) -> Any:
        found = predict(inputs)
        if not likes:
            likes.append(of_model({name: array[:1] for name, array in inputs.items()}))
        return nested(likes[0], [array for _, array in leaves(found)])

    return nesting


def _arrays(output: Any) -> Any:
    if isinstance(output, torch.Tensor):
        plain = output.detach().cpu()
        return (plain.float() if plain.dtype == torch.bfloat16 else plain).numpy()
    if isinstance(output, Mapping):
        return {key: _arrays(value) for key, value in output.items()}
    if isinstance(output, tuple | list):
        return tuple(_arrays(value) for value in output)
    return output
