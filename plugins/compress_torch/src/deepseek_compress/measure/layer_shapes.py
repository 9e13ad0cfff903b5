"""Shapes of a module's layers, as they are when it runs: what their latency depends on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from deepseek_compress.measure.layer_models import LayerShape
from deepseek_compress.modules import call, evaluating


def layer_shapes(model: nn.Module, inputs: Mapping[str, Any]) -> dict[str, tuple[LayerShape, ...]]:
    """By layer name, the shape of each call of a convolution or a linear layer."""
    found: dict[str, tuple[LayerShape, ...]] = {}

    def note(name: str) -> Any:
        def hook(module: nn.Module, args: Sequence[Any], _output: Any) -> None:
            shape = _shape(module, args[0].shape)
            if shape is not None:
                found[name] = (*found.get(name, ()), shape)

        return hook

    handles = [
        module.register_forward_hook(note(name))
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear)
    ]
    try:
        with torch.no_grad(), evaluating(model):
            call(model, inputs)
    finally:
        for handle in handles:
            handle.remove()
    return found


def _shape(module: nn.Module, given: Sequence[int]) -> LayerShape | None:
    if isinstance(module, nn.Linear):
        return LayerShape(in_channels=module.in_features, out_channels=module.out_features)
    if not isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        return None
    padding = module.padding
    if isinstance(padding, str):  # "same" keeps the size, "valid" adds nothing
        halves = [size // 2 for size in module.kernel_size]
        padding = tuple(halves) if padding == "same" else tuple(0 for _ in halves)
    return LayerShape(
        in_channels=module.in_channels,
        out_channels=module.out_channels,
        kernel=tuple(module.kernel_size),
        stride=tuple(module.stride),
        padding=tuple(padding),
        groups=module.groups,
        image=tuple(given[2:]),
    )
