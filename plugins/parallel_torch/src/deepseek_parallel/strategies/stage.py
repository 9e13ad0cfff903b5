"""A model cut into stages: rows of its layers, whose parameters keep their names."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from deepseek_core import errors
from deepseek_parallel.errors import MeshMismatch


class Stage(nn.Module):
    """Layers of a model, called one after the other; `names` are theirs in the model."""

    def __init__(self, model: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.names = tuple(names)
        for name in names:
            holder: nn.Module = self
            *path, last = name.split(".")
            for part in path:
                if part not in holder._modules:
                    holder.add_module(part, nn.Module())
                holder = holder.get_submodule(part)
            holder.add_module(last, model.get_submodule(name))

    def forward(self, *inputs: Any) -> Any:
        """What the last layer gives, as it can be sent; a tuple is handed on as several inputs."""
        inputs = tuple(map(_sendable_back, inputs))
        for name in self.names:
            outputs = self.get_submodule(name)(*inputs)
            inputs = outputs if isinstance(outputs, tuple) else (outputs,)
        sent = tuple(own(x.contiguous()) if isinstance(x, Tensor) else x for x in inputs)
        return sent if len(sent) > 1 else sent[0]


def own(x: Tensor) -> Tensor:
    """The tensor, or a copy of what is a view: zero bubble detaches it in place, as no view can."""
    return x.clone() if x._is_view() else x


class _Contiguous(torch.autograd.Function):
    """The same tensor, whose gradient lies in memory without gaps."""

    @staticmethod
    def forward(_ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(_ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0].contiguous()


def _sendable_back(x: Any) -> Any:
    """An input whose gradient can be sent to the stage before."""
    if isinstance(x, Tensor) and x.requires_grad:
        return _Contiguous.apply(x)
    return x


def layer_names(model: nn.Module, given: Sequence[str] | None = None) -> tuple[str, ...]:
    """Layers of a model in the order in which they are called.

    Those that are given, or those of an `nn.Sequential`, whose own sequences are taken apart.

    Raises:
        InputError: the model is no sequence and none are given, or a name is not of the model.
    """
    if given is not None:
        known = dict(model.named_modules())
        unknown = [name for name in given if name not in known]
        if unknown:
            raise errors.InputError(
                f"the model has no layer {unknown[0]!r}",
                remedy="give names as model.named_modules() has them",
            )
        return tuple(given)
    if not isinstance(model, nn.Sequential):
        raise errors.InputError(
            f"{type(model).__name__} is no nn.Sequential, so the order of its layers is not known",
            remedy="give the names of its layers in the order in which they are called",
        )
    return tuple(_taken_apart(model, ""))


def _taken_apart(model: nn.Sequential, prefix: str) -> list[str]:
    found: list[str] = []
    for name, layer in model.named_children():
        is_plain = type(layer) is nn.Sequential and len(layer)
        found += _taken_apart(layer, f"{prefix}{name}.") if is_plain else [prefix + name]
    return found


def stages(
    model: nn.Module, names: Sequence[str], cut: Sequence[int], mine: Sequence[int]
) -> list[Stage]:
    """My stages of a model that is cut into so many layers each.

    Raises:
        MeshMismatch: the cut does not fit the layers, or splits a parameter that two of them share.
    """
    if sum(cut) != len(names) or min(cut) < 1:
        raise MeshMismatch(
            f"stages of {list(cut)} layers do not fit a model of {len(names)}",
            dimension="layers",
            remedy="give stages of 1 layer or more that add up to the model's",
        )
    bounds = [sum(cut[:stage]) for stage in range(len(cut) + 1)]
    rows = [names[begin:end] for begin, end in pairwise(bounds)]
    _check_whole(model, names)
    _check_shared(model, rows)
    return [Stage(model, rows[stage]) for stage in mine]


def _check_whole(model: nn.Module, names: Sequence[str]) -> None:
    inside = {id(p) for name in names for p in model.get_submodule(name).parameters()}
    for name, parameter in model.named_parameters():
        if id(parameter) not in inside:
            raise MeshMismatch(
                f"the parameter {name!r} is in none of the layers that make the stages",
                dimension="layers",
                remedy="put it into a layer, and name that layer",
            )


def _check_shared(model: nn.Module, rows: Sequence[Sequence[str]]) -> None:
    holders: dict[int, int] = {}
    for stage, row in enumerate(rows):
        for name in row:
            for key, parameter in model.get_submodule(name).named_parameters():
                if holders.setdefault(id(parameter), stage) != stage:
                    raise MeshMismatch(
                        f"stages {holders[id(parameter)]} and {stage} share the parameter "
                        f"{name}.{key}",
                        dimension="layers",
                        remedy="cut the model so that one stage has both, or give each its own",
                    )
