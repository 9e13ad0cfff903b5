"""Batch normalization of a module, folded into the layers before it.

What stays (behind a concatenation, or behind a layer that is used twice) keeps its statistics.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch.nn import functional
from torch.nn.utils import fusion

from deepseek_compress.modules import copied
from deepseek_compress.quantize.calls import Call, record

_CONVOLUTIONS = (torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Conv3d)
_TRANSPOSED = (torch.nn.ConvTranspose1d, torch.nn.ConvTranspose2d, torch.nn.ConvTranspose3d)


def foldable(module: Any, inputs: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Names of layers, each with the normalization that can be folded into it.

    Raises:
        InputError: the module can't take the inputs.
    """
    calls = record(module, inputs)
    layers = {id(layer.weight): name for name, layer in _layers(module)}
    norms = {
        id(norm.running_mean): name
        for name, norm in module.named_modules()
        if isinstance(norm, torch.nn.modules.batchnorm._BatchNorm) and norm.running_mean is not None
    }
    uses = Counter(id(tensor) for made in calls for tensor in made.arguments)
    return tuple(_pairs(calls, layers, norms, uses))


def fold_norms(module: Any, pairs: Iterable[tuple[str, str]]) -> Any:
    """A copy in evaluation mode that computes the same without these normalizations."""
    folded = copied(module).eval()
    for layer, norm in pairs:
        _fold(folded, layer, norm)
    return folded


def _layers(module: Any) -> list[tuple[str, Any]]:
    kinds = (*_CONVOLUTIONS, *_TRANSPOSED, torch.nn.Linear)
    return [(name, part) for name, part in module.named_modules() if type(part) in kinds]


def _pairs(
    calls: tuple[Call, ...], layers: dict[int, str], norms: dict[int, str], uses: Counter[int]
) -> list[tuple[str, str]]:
    """Names of layers and of the normalizations that alone read what they give."""
    makers = {id(tensor): made for made in calls for tensor in made.given}
    found = []
    for made in calls:
        if made.function is not functional.batch_norm or uses[id(made.arguments[0])] != 1:
            continue
        norm = next((tensor for tensor in made.arguments if id(tensor) in norms), None)
        maker = makers.get(id(made.arguments[0]))
        weight = next((t for t in maker.arguments if id(t) in layers), None) if maker else None
        if norm is not None and weight is not None and uses[id(norm)] == uses[id(weight)] == 1:
            found.append((layers[id(weight)], norms[id(norm)]))
    return found


def _fold(module: Any, layer: str, norm: str) -> None:
    """Change weight and bias of a layer in place, so that its hooks and its class stay."""
    part, statistics = module.get_submodule(layer), module.get_submodule(norm)
    scale = statistics.weight if statistics.affine else torch.ones_like(statistics.running_mean)
    shift = statistics.bias if statistics.affine else torch.zeros_like(statistics.running_mean)
    given = (statistics.running_mean, statistics.running_var, statistics.eps, scale, shift)
    if isinstance(part, torch.nn.Linear):
        weight, bias = fusion.fuse_linear_bn_weights(part.weight, part.bias, *given)
    elif isinstance(part, _TRANSPOSED):
        weight, bias = _transposed(part, *given)
    else:
        weight, bias = fusion.fuse_conv_bn_weights(part.weight, part.bias, *given)
    part.weight = torch.nn.Parameter(weight.detach())
    part.bias = torch.nn.Parameter(bias.detach())
    parent, _, name = norm.rpartition(".")
    setattr(module.get_submodule(parent), name, torch.nn.Identity())


def _transposed(part: Any, *statistics: Any) -> Any:
    """Weight (in, out / groups, ...) and bias; torch's own folding knows one group only."""
    mean, var, eps, scale, shift = statistics
    factor = scale * torch.rsqrt(var + eps)
    rows = factor.reshape(part.groups, -1).repeat_interleave(part.in_channels // part.groups, 0)
    weight = part.weight * rows.reshape(*rows.shape, *[1] * (part.weight.ndim - 2))
    bias = torch.zeros_like(mean) if part.bias is None else part.bias
    return weight, (bias - mean) * factor + shift
