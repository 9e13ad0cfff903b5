"""Modules of torch: checked, copied, called by the names of their inputs."""

from __future__ import annotations

import copy
import inspect
import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import torch

from deepseek_core import errors

_PLACED: Final = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def place_of(model: Any) -> tuple[Any, Any]:
    """Device and dtype of a model's weights; those of plain tensors where it has none."""
    for tensor in itertools.chain(model.parameters(), model.buffers()):
        if tensor.is_floating_point():
            return tensor.device, tensor.dtype
    return torch.device("cpu"), torch.float32


def check_module(model: Any) -> Any:
    """Refuse what is not a module, or one that has not seen its first input yet.

    Raises:
        InputError: it is.
    """
    if not isinstance(model, torch.nn.Module):
        raise errors.InputError(
            f"takes a torch.nn.Module, given a {type(model).__name__}",
            remedy="give the module itself",
        )
    for name, parameter in model.named_parameters():
        if isinstance(parameter, torch.nn.parameter.UninitializedParameter):
            raise errors.InputError(
                f"{name} has no shape yet: the model is lazy", remedy="call the model once before"
            )
        if parameter.is_meta:
            raise errors.InputError(
                f"{name} has no values: it is on the device meta",
                remedy="make the model without device='meta', and load its weights",
            )
    return model


def unwrapped(model: Any) -> Any:
    """The module inside of what only compiles it, or spreads it over devices."""
    while isinstance(model, torch.nn.Module):
        if isinstance(model, torch.nn.DataParallel | torch.nn.parallel.DistributedDataParallel):
            model = model.module
        elif hasattr(model, "_orig_mod"):  # torch.compile's, which has no public name
            model = model._orig_mod
        else:
            break
    return model


def copied(model: Any) -> Any:
    """A copy that shares nothing with the model.

    Raises:
        InputError: it holds something that can't be copied.
    """
    try:
        return copy.deepcopy(check_module(model))
    except errors.DeepSeekError:
        raise
    except Exception as error:
        raise errors.InputError(
            f"the model can't be copied: {type(error).__name__}: {error}",
            remedy="keep no open files, locks or computed tensors in it",
        ) from error


def in_order(model: Any, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Inputs in the order of `forward`'s parameters; as they are where it lacks a name."""
    known = list(inspect.signature(model.forward).parameters)
    if not all(name in known for name in inputs):
        return dict(inputs)
    return {name: inputs[name] for name in sorted(inputs, key=known.index)}


def arguments_of(model: Any, inputs: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Inputs as positional and keyword arguments of `forward`.

    Its first parameters go by place, those behind a gap by name. Where it does not have all these
    names, all go in the order that they are given in.
    """
    known = inspect.signature(model.forward).parameters
    if not all(name in known for name in inputs):
        return tuple(inputs.values()), {}
    placed = []
    for name, parameter in known.items():
        if name not in inputs or parameter.kind not in _PLACED:
            break
        placed.append(name)
    named = {name: value for name, value in inputs.items() if name not in placed}
    return tuple(inputs[name] for name in placed), named


def call(model: Any, inputs: Mapping[str, Any]) -> Any:
    """Call a model with its inputs by name.

    Raises:
        InputError: the model raises; its own error is the cause.
    """
    args, kwargs = arguments_of(model, inputs)
    try:
        return model(*args, **kwargs)
    except (errors.DeepSeekError, MemoryError):
        raise
    except Exception as error:
        given = ", ".join(f"{n} {str(t.dtype)[6:]} {list(t.shape)}" for n, t in inputs.items())
        raise errors.InputError(
            f"the model can't take {given}: {type(error).__name__}: {error}",
            remedy=_remedy(inputs, str(error)),
        ) from error


def _remedy(inputs: Mapping[str, Any], text: str) -> str:
    if "missing" in text and "required" in text and "argument" in text:
        return "name every input of the model: model.inputs = { x = [1, ...], mask = [1, ...] }"
    if "more than 1 value per channel" in text:
        return "batch normalization needs two samples or more: batch_size = 32"
    if any(not tensor.is_floating_point() for tensor in inputs.values()):
        return "let the data function give what the model eats: x.astype(np.float32) / 255"
    return "let the data function give what the model eats"


@contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """Run the model as for inference, without gradients; each part's mode comes back after."""
    modes = [(part, part.training) for part in model.modules()]
    for part, _ in modes:
        part.training = False
    try:
        with torch.no_grad():
            yield
    finally:
        for part, mode in modes:
            part.training = mode


@contextmanager
def unfused() -> Iterator[None]:
    """Without the fused attention of inference, whose parts nobody sees."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
