"""A model as strategies see it: its layers, counted on a sample."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import attrs
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from deepseek_core import errors, training
from deepseek_parallel.strategies import batches
from deepseek_parallel.strategies.pairs import Division, divisions
from deepseek_parallel.strategies.stage import layer_names

_BACKWARD: int = 2
"""Products of the backward pass for one of the forward pass."""


@attrs.frozen(kw_only=True)
class Profiled:
    """The `profile` of a model, and `whole`: layers that stay undivided under `tp`, with why."""

    profile: training.Profile
    whole: dict[str, str]


def profile(
    model: nn.Module,
    loss: training.Loss,
    sample: Any,
    *,
    batch: int,
    layers: Sequence[str] | None = None,
    optimizer_nbytes: float = 8.0,
) -> Profiled:
    """Count a model's layers on a sample, a small batch; the model stays as it is.

    `batch` samples are in a step, on all ranks. `layers` names modules that are called one after
    the other, the output of each the input of the next; those of an `nn.Sequential` are known, and
    another model is one layer.

    Raises:
        InputError: the loss does not fit the sample, or `layers` called in turn give something else
            than the model.
    """
    given = batches.given_by(loss, sample)
    items = batches.num_items([*given.args, *given.kwargs.values()])
    with at_rest(model):
        names = _names(model, layers, given)
        division = divisions(model, given)
        counted = list(_counted(model, names, given, division, items))
    first = next(model.parameters())
    dtype = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}
    made = training.Profile(
        layers=counted,
        batch=batch,
        dtype=dtype.get(first.dtype, str(first.dtype).removeprefix("torch.")),
        element_nbytes=first.element_size(),
        optimizer_nbytes=optimizer_nbytes,
    )
    return Profiled(profile=made, whole=dict(division.whole))


@contextmanager
def at_rest(model: nn.Module) -> Iterator[None]:
    """Evaluate for a while: no dropout, no running means, no number drawn."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def _names(model: nn.Module, wanted: Sequence[str] | None, given: batches.Given) -> tuple[str, ...]:
    """The layers, once it is seen that they make the model; "" is the model itself."""
    if wanted is None and not isinstance(model, nn.Sequential):
        return ("",)
    names, found = layer_names(model, wanted), given.by_position()
    with torch.no_grad():
        whole = given.to(model)
        for name in names:
            output = model.get_submodule(name)(*found)
            found = output if isinstance(output, tuple) else (output,)
    alike = isinstance(whole, Tensor) and len(found) == 1 and found[0].shape == whole.shape
    if not (alike and torch.allclose(found[0], whole, rtol=1e-4, atol=1e-6)):
        raise errors.InputError(
            f"the layers {', '.join(names[:3])}, ... called in turn do not give what "
            f"{type(model).__name__} gives",
            remedy="name all layers in the order of their calls, or use an nn.Sequential",
        )
    return names


def _counted(
    model: nn.Module,
    names: Sequence[str],
    given: batches.Given,
    division: Division,
    items: int,
) -> Iterator[training.Layer]:
    for name in names:
        layer = model.get_submodule(name)
        sizes: dict[str, tuple[int, int, float]] = {}
        hooks = [
            module.register_forward_hook(_sizes_into(sizes, key))
            for key, module in _divided(layer, name, division)
        ]
        kept: dict[int, int] = {}
        own = {parameter.data_ptr() for parameter in layer.parameters()}

        def keep(tensor: Tensor, kept: dict[int, int] = kept, own: set[int] = own) -> Tensor:
            if tensor.data_ptr() not in own:
                kept[tensor.data_ptr()] = tensor.nbytes
            return tensor

        counter = FlopCounterMode(display=False)
        saving = torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x)
        with saving, torch.enable_grad(), counter:
            output = given.to(layer)
        for hook in hooks:
            hook.remove()
        handed = tuple(tensor.detach() for tensor in batches.tensors(output))
        given = batches.Given(args=handed, kwargs={})
        yield _layer(
            name, layer, division, sizes, items,
            flops=counter.get_total_flops(), kept=sum(kept.values()),
            handed=sum(tensor.nbytes for tensor in handed),
        )  # fmt: skip


def _divided(layer: nn.Module, name: str, division: Division) -> list[tuple[str, nn.Module]]:
    prefix = f"{name}." if name else ""
    found = [(f"{prefix}{key}" if key else name, one) for key, one in layer.named_modules()]
    return [(key, one) for key, one in found if key in division.how]


def _sizes_into(sizes: dict[str, tuple[int, int, float]], name: str) -> Any:
    """Note bytes in, bytes out and operations of a call."""

    def seen(module: Any, args: Any, output: Tensor) -> None:
        flops = 0.0
        if isinstance(module, nn.Linear):
            flops = 2.0 * output.numel() * module.in_features
        sizes[name] = args[0].nbytes, output.nbytes, flops

    return seen


def _layer(
    name: str,
    layer: nn.Module,
    division: Division,
    sizes: dict[str, tuple[int, int, float]],
    items: int,
    *,
    flops: float,
    kept: float,
    handed: float,
) -> training.Layer:
    how = {key: division.how[key] for key in sizes}
    summed = sum(sizes[key][0] if way == "column" else sizes[key][1] for key, way in how.items())
    divided = dict(_divided(layer, name, division))
    held = sum(p.numel() for key in how for p in divided[key].parameters())
    share = sum(size[2] for size in sizes.values()) / flops if flops else 0.0
    return training.Layer(
        name=name,
        flops=(1 + _BACKWARD) * flops / items,
        parameters=sum(p.numel() for p in layer.parameters()),
        output_nbytes=handed / items,
        kept_nbytes=kept / items,
        split=how,
        split_share=min(share, 1.0),
        split_parameters=held,
        summed_nbytes=summed / items,
        widths=sorted({division.most[key] for key in how}),
    )
