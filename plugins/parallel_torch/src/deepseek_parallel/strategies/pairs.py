"""Which layers may be divided over ranks: proven on a sample, never taken for granted.

A group is some `nn.Linear` (columns) whose outputs reach nothing but one later `nn.Linear` (row):
both layers of an MLP, or the projections of an attention. It may be divided over n ranks if, with
each n-th part of the columns in turn, the row's parts add up to what it gave whole, nothing else of
the module changes, and nothing that has a gradient reaches the row but through the columns.

Source: Shoeybi et al., "Megatron-LM" (arXiv 1909.08053), for the pairs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, Final

import attrs
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._pytree import tree_map

from deepseek_parallel.strategies.batches import Given, tensors

_SIZES: Final = (4, 3, 2)
"""Layers of a group, its row included: of an attention, of a gated MLP, of an MLP."""
_TOLERANCE: Final = 1e-3


@attrs.frozen(kw_only=True)
class Call:
    """One call of a module; `given` are its arguments by position and by name.

    `left` is what its modules hold afterwards, as a loss of their own for the user's to add.
    """

    given: tuple[tuple[Any, ...], Mapping[str, Any]]
    output: Any
    left: Mapping[str, Any]


@attrs.frozen(kw_only=True)
class Division:
    """`how` each layer may be divided, over `most` ranks or a divisor; and why others may not."""

    how: Mapping[str, str]
    most: Mapping[str, int]
    whole: Mapping[str, str]


def divisions(model: nn.Module, given: Given, most: int = 8) -> Division:
    """What may be divided of a model, tried on what it is given; `most` is a power of two."""
    names = {id(module): name for name, module in model.named_modules()}
    calls, order = _traced(model, given, names)
    holders = Counter(id(p) for _, p in model.named_parameters(remove_duplicate=False))
    found = _proven(model, calls, order, holders, most)
    whole: dict[str, str] = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.MultiheadAttention) and name in calls:
            whole[name] = "its projections are one function"
        if isinstance(module, nn.Embedding) and name in calls:
            why = _why_whole(module, holders)
            if why is None:
                found[name,] = most
            else:
                whole[name] = why
    elsewhere = _used_elsewhere(model, given, calls, [name for group in found for name in group])
    for group in [group for group in found if elsewhere & {*group}]:
        del found[group]
        whole |= dict.fromkeys(group, "a weight of it is used without a call of its layer")
    how = {name: way for group in found for name, way in _ways(group).items()}
    told = {name: "no pair of it was proven" for name in order if name not in how}
    ranks = {name: parts for group, parts in found.items() for name in group}
    return Division(how=how, most=ranks, whole=told | whole)


def _ways(group: Sequence[str]) -> dict[str, str]:
    if len(group) == 1:
        return {group[0]: "vocabulary"}
    return dict.fromkeys(group[:-1], "column") | {group[-1]: "row"}


def _proven(
    model: nn.Module,
    calls: Mapping[str, Sequence[Call]],
    order: Sequence[str],
    holders: Mapping[int, int],
    most: int,
) -> dict[tuple[str, ...], int]:
    """Groups of layers that belong together, and over how many ranks they may be divided."""
    found: dict[tuple[str, ...], int] = {}
    taken: set[str] = set()
    for name, parent in reversed(list(model.named_modules())):  # the innermost first
        if len(calls.get(name, ())) != 1 or isinstance(parent, nn.Linear):
            continue
        held = {id(module) for module in parent.modules()}
        open_names = [
            one for one in order
            if one not in taken and id(model.get_submodule(one)) in held
            and len(calls[one]) == 1 and _is_own(model.get_submodule(one), holders)
        ]  # fmt: skip
        for group in _groups(open_names, taken):
            *columns, row = [model.get_submodule(one) for one in group]
            tried = _Group(
                parent=parent, call=calls[name][0],
                columns=columns, row=row, of_row=calls[group[-1]][0].output,
            )  # fmt: skip
            parts = tried.most_parts(most)
            if parts > 1:
                found[tuple(group)] = parts
                taken |= {*group}
    return found


def _used_elsewhere(
    model: nn.Module, given: Given, calls: Mapping[str, Sequence[Call]], names: Sequence[str]
) -> set[str]:
    """The layers among these whose parameters have a gradient though they are not called."""
    held = [(name, p) for name in names for p in model.get_submodule(name).parameters()]
    modes = [p.requires_grad for _, p in held]
    with ExitStack() as stack, torch.enable_grad():
        for (_, parameter), mode in zip(held, modes, strict=True):
            parameter.requires_grad_()
            stack.callback(parameter.requires_grad_, mode)
        for name in names:
            outputs = iter([call.output for call in calls[name]])
            instead = partial(_next_of, outputs)
            stack.enter_context(_instead(model.get_submodule(name), instead))
        gave = tensors(given.to(model))
        total = sum((one.float().sum() for one in gave if one.requires_grad), torch.zeros(()))
        if not held or not total.requires_grad:
            return set()
        found = torch.autograd.grad(total, [p for _, p in held], allow_unused=True)
    return {name for (name, _), gradient in zip(held, found, strict=True) if gradient is not None}


def _next_of(outputs: Iterator[Any], *_args: Any, **_kwargs: Any) -> Any:
    return next(outputs)


def _traced(
    model: nn.Module, given: Given, names: Mapping[int, str]
) -> tuple[dict[str, list[Call]], list[str]]:
    """Calls of all modules, and the names of `nn.Linear` in the order in which they are called."""
    calls: dict[str, list[Call]] = {}
    order: list[str] = []

    def seen(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        name = names[id(module)]
        calls.setdefault(name, []).append(
            Call(given=(args, kwargs), output=output, left=_left(module))
        )
        if type(module) is nn.Linear and name not in order:
            order.append(name)

    with ExitStack() as stack, torch.no_grad():
        for module in model.modules():
            handle = module.register_forward_hook(seen, with_kwargs=True)
            stack.callback(handle.remove)
        given.to(model)
    return calls, order


def _is_own(layer: nn.Module, holders: Mapping[int, int]) -> bool:
    """Whether no other layer shares a parameter of this one."""
    return all(holders[id(parameter)] == 1 for parameter in layer.parameters())


def _groups(names: Sequence[str], taken: set[str]) -> Iterator[Sequence[str]]:
    """Neighbors in the order of calls that may belong together; longer ones first."""
    sizes = sorted({len(names), *_SIZES}, reverse=True)
    for begin in range(len(names)):
        for size in sizes:
            group = names[begin : begin + size]
            if len(group) == size > 1 and not any(one in taken for one in group):
                yield group


@attrs.frozen(kw_only=True, eq=False)
class _Group:
    """Layers of a `parent` that may belong together, and what they were given and gave."""

    parent: nn.Module
    call: Call
    columns: Sequence[Any]
    row: Any
    of_row: Tensor

    def most_parts(self, most: int) -> int:
        """The largest power of two up to `most` over which it may be divided; 1 if none."""
        widths = [layer.out_features for layer in self.columns] + [self.row.in_features]
        parts = most
        while parts > 1 and (any(width % parts for width in widths) or not self._fits(parts)):
            parts //= 2
        return parts

    def _fits(self, parts: int) -> bool:
        found: list[Tensor] = []
        for part in range(parts):
            output, bypassed = self._tried(part, parts, found)
            whole = self.call.output, self.call.left
            if bypassed or len(found) != part + 1:
                return False
            if not _alike((output, _left(self.parent)), whole):
                return False
        total = sum(found[1:], found[0])
        return _alike(total if self.row.bias is None else total + self.row.bias, self.of_row)

    def _tried(self, part: int, parts: int, found: list[Tensor]) -> tuple[Any, bool]:
        """Call the parent with one part of its columns; its output, and whether they are bypassed.

        The row's part goes to `found`, and what it gave whole goes on in its place.
        """
        bypassed = False

        def row(x: Tensor) -> Tensor:
            nonlocal bypassed
            bypassed = bypassed or x.requires_grad
            found.append(functional.linear(x.detach(), _part(self.row.weight, 1, part, parts)))
            return self.of_row

        def column(layer: Any, x: Tensor) -> Tensor:
            bias = None if layer.bias is None else _part(layer.bias, 0, part, parts)
            return functional.linear(x, _part(layer.weight, 0, part, parts), bias).detach()

        args, kwargs = tree_map(_with_gradient, self.call.given)
        with ExitStack() as stack, torch.enable_grad():
            stack.enter_context(_instead(self.row, row))
            for layer in self.columns:
                stack.enter_context(_instead(layer, partial(column, layer)))
            try:
                return self.parent(*args, **kwargs), bypassed
            except Exception:  # noqa: BLE001 - the module does not work in parts, whatever it says
                return None, True


def _part(tensor: Tensor, dim: int, part: int, parts: int) -> Tensor:
    return tensor.chunk(parts, dim)[part]


def _with_gradient(value: Any) -> Any:
    is_float = isinstance(value, Tensor) and value.is_floating_point()
    return value.detach().requires_grad_() if is_float else value


@contextmanager
def _instead(layer: nn.Module, forward: Callable[..., Any]) -> Iterator[None]:
    """Let a layer do this for a while."""
    layer.forward = forward
    try:
        yield
    finally:
        del layer.forward


def _alike(one: Any, other: Any) -> bool:
    """Equal but for rounding, in all that a module gave; of what is unknown, nothing is alike."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return list(one) == list(other) and all(_alike(one[key], other[key]) for key in one)
    if isinstance(one, tuple | list) and isinstance(other, tuple | list):
        return len(one) == len(other) and all(map(_alike, one, other))
    if type(one) is not type(other):
        return False
    if isinstance(one, Tensor):
        return _is_close(one, other)
    if one is None or isinstance(one, str | bytes | bool | int | float | torch.Size | torch.dtype):
        return bool(one == other)
    return one is other or (hasattr(one, "__dict__") and _alike(vars(one), vars(other)))


def _is_close(one: Tensor, other: Tensor) -> bool:
    if one.shape != other.shape:
        return False
    if not one.is_floating_point():
        return bool((one == other).all())
    size = float(other.detach().abs().max()) if other.numel() else 0.0
    return not one.numel() or bool((one - other).detach().abs().max() <= _TOLERANCE * size + 1e-12)


def _left(module: nn.Module) -> dict[str, Any]:
    """Public attributes of a module and of those in it, but not modules, parameters and buffers."""
    return {
        f"{name}.{key}": tree_map(lambda one: one, value)
        for name, part in module.named_modules()
        for key, value in vars(part).items()
        if not key.startswith("_") and key not in ("training", "forward")
    }


def _why_whole(layer: nn.Embedding, holders: Mapping[int, int]) -> str | None:
    if not _is_own(layer, holders):
        return "another layer shares its weight"
    if type(layer) is not nn.Embedding:
        return f"a {type(layer).__name__} may do more than look words up"
    if layer.max_norm is not None or layer.padding_idx is not None:
        return "it has max_norm or padding_idx"
    if layer.sparse or layer.scale_grad_by_freq:
        return "its gradient is sparse or scaled by frequency"
    return None
