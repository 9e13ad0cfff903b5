"""Shrink a copy of a model by a plan, and zero the same channels in another copy."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from deepseek_compress.errors import CannotPrune
from deepseek_compress.prune.parameters import Kept
from deepseek_compress.prune.run import Run
from deepseek_compress.prune.structure import Structure


def copy_of(model: nn.Module) -> nn.Module:
    """A deep copy, without gradients.

    Raises:
        CannotPrune: the model can't be copied or is compiled, scripted or quantized.
    """
    for name, module in model.named_modules():
        kind = f"{type(module).__module__}.{type(module).__name__}"
        if isinstance(module, torch.jit.ScriptModule) or kind.startswith(
            ("torch._dynamo", "torch.ao.nn.quantized")
        ):
            raise _cannot(f"{name or 'the model'} is a {kind}, which has no layers to shrink", name)
    for name, parameter in model.named_parameters():
        if isinstance(parameter, nn.parameter.UninitializedParameter):
            raise _cannot(f"{name} has no shape yet: call the model once", name.rpartition(".")[0])
    try:
        return copy.deepcopy(model)
    except Exception as error:
        raise _cannot(f"the model can't be copied: {error}", "") from error


def _cannot(text: str, layer: str) -> CannotPrune:
    remedy = (
        "prune the plain module, not compiled, scripted or quantized;"
        " undo weight norm with torch.nn.utils.remove_weight_norm(layer)"
    )
    return CannotPrune(text, operation="copy", layer=layer, remedy=remedy)


def kept_entries(structure: Structure, removed: set[int]) -> Kept:
    """For each parameter and axis that shrinks, the entries that are left."""
    gone = torch.zeros(structure.unit_count + 1, dtype=torch.bool)
    gone[list(removed)] = True
    kept: dict[str, dict[int, Tensor]] = {}
    for axis in structure.axes:
        units = torch.from_numpy(axis.units)
        left = torch.nonzero(~(gone[units] & (units >= 0))).flatten()
        if len(left) == 0:
            raise CannotPrune(
                f"nothing would be left of axis {axis.axis} of {axis.parameter}",
                operation="plan",
                layer=axis.parameter.rpartition(".")[0],
            )
        if len(left) < len(units):
            kept.setdefault(axis.parameter, {})[axis.axis] = left
    return kept


def shrink(model: nn.Module, run: Run, kept: Kept, gone: Tensor) -> None:
    """Cut the parameters of a copy, and what its modules say of their sizes.

    `gone`: by class, whether it goes.
    """
    tensors = dict(_named_tensors(model))
    _scale_queries(tensors, run, gone)
    replaced = {id(tensors[name]): _cut(tensors[name], axes) for name, axes in kept.items()}
    for module in model.modules():
        for store in (module._parameters, module._buffers):
            for name, tensor in list(store.items()):
                if tensor is not None and id(tensor) in replaced:
                    setattr(module, name, replaced[id(tensor)])
    _fix_attributes(model, run, gone)


def zero(model: nn.Module, structure: Structure, removed: set[int]) -> None:
    """Zero all entries of the units in a copy: what makes them and what reads them."""
    gone = torch.zeros(structure.unit_count + 1, dtype=torch.bool)
    gone[list(removed)] = True
    tensors = dict(_named_tensors(model))
    with torch.no_grad():
        for axis in structure.axes:
            units = torch.from_numpy(axis.units)
            entries = torch.nonzero(gone[units] & (units >= 0)).flatten()
            tensor = tensors[axis.parameter]
            tensor.index_fill_(axis.axis, entries.to(tensor.device), 0)


def _named_tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from model.named_parameters()
    yield from model.named_buffers()


def _cut(tensor: Tensor, axes: Mapping[int, Tensor]) -> Tensor:
    """The entries that are left, in the memory format that the tensor had."""
    found = tensor.detach()
    for axis, entries in axes.items():
        found = found.index_select(axis, entries.to(tensor.device))
    found = found.contiguous(memory_format=_memory_format(tensor))
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(found, requires_grad=tensor.requires_grad)
    return found


def _memory_format(tensor: Tensor) -> torch.memory_format:
    for rank, form in ((4, torch.channels_last), (5, torch.channels_last_3d)):
        if (
            tensor.dim() == rank
            and not tensor.is_contiguous()
            and tensor.is_contiguous(memory_format=form)
        ):
            return form
    return torch.contiguous_format


def _fix_attributes(model: nn.Module, run: Run, gone: Tensor) -> None:
    """Set `in_channels`, `num_features` and their like where they said the old number."""
    modules = dict(model.named_modules())
    new: dict[tuple[str, str], object] = {}
    for fix in run.fixes:
        module = modules.get(fix.layer)
        value = getattr(module, fix.attribute, None)
        before, after = len(fix.vector), int((~gone[run.classes.roots(fix.vector)]).sum())
        if value == before and not isinstance(value, bool):
            new[fix.layer, fix.attribute] = after
        elif isinstance(value, tuple | list) and list(value) == [before]:
            new[fix.layer, fix.attribute] = type(value)([after])
    for (layer, attribute), value in new.items():
        setattr(modules[layer], attribute, value)


def _scale_queries(tensors: dict[str, Tensor], run: Run, gone: Tensor) -> None:
    """Undo what torch's attention makes of a narrower head: 1 / sqrt(width)."""
    done = set()
    for name, rows, width in run.scaled:
        left = int((~gone[run.classes.roots(width)]).sum())
        if name not in done and 0 < left < len(width):
            with torch.no_grad():
                tensors[name][:rows] *= math.sqrt(left / len(width))
        done.add(name)
