"""Operators that move elements: views, and copies that are executed on the ids themselves."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from deepseek_compress.prune.classes import FIXED, collapse, varying
from deepseek_compress.prune.rules.registry import Call, aten
from deepseek_compress.prune.run import Run, tensors_in

# Not written for integers.
_FLOATING = {
    "im2col",
    "pixel_shuffle",
    "pixel_unshuffle",
    "channel_shuffle",
    "native_channel_shuffle",
}


@aten("view", "_unsafe_view", "reshape", "unflatten", "_reshape_alias", "view_copy")
def split_axes(run: Run, call: Call) -> None:
    """Where a view splits the channels over several axes, only one of them can shrink."""
    source, out = call.args[0], call.out
    if not run.mirror.knows(out):
        ids = run.known(source).expand(source.shape).reshape(out.shape)
        run.put(out, collapse(ids))
    if source.dtype != out.dtype:
        return
    ids, hint = run.known(out), run.hint
    for axes in _split_groups(tuple(source.shape), tuple(out.shape)):
        over = [axis for axis in axes if ids.shape[axis] > 1]
        if len(over) > 1:
            ids = _make_rectangular(run, ids, over, hint)
    run.saw(ids, "view")


def _make_rectangular(run: Run, ids: Tensor, axes: list[int], hint: int | None) -> Tensor:
    """Tie over all axes but the one that shrinks: that given as -1, else the longest."""
    longest = max(axes, key=lambda axis: (ids.shape[axis], axis))
    shrinks = hint if hint in axes else longest
    return run.tie_over(ids, [axis for axis in axes if axis != shrinks])


def _split_groups(before: tuple[int, ...], after: tuple[int, ...]) -> list[list[int]]:
    """Runs of axes of `after` that hold the same elements as a run of axes of `before`."""
    groups, i, j = [], 0, 0
    while j < len(after):
        group, size_in, size_out = [j], before[i] if i < len(before) else 1, after[j]
        i, j = i + 1, j + 1
        while size_in != size_out:
            if size_in < size_out and i < len(before):
                size_in, i = size_in * before[i], i + 1
            elif j < len(after):
                size_out, j = size_out * after[j], j + 1
                group.append(j - 1)
            else:
                break
        groups.append(group)
    return groups


@aten(
    "split",
    "chunk",
    "split_with_sizes",
    "tensor_split",
    "split_copy",
    "unsafe_split",
    "unsafe_chunk",
    "unsafe_split_with_sizes",
)
def split(run: Run, call: Call) -> None:
    """Equal parts of the channels shrink by equal numbers."""
    source, parts = call.args[0], call.out
    dim = call.get(2, "dim", 0) % max(source.dim(), 1)
    extents = {part.shape[dim] for part in parts}
    if len(extents) == 1 and len(parts) > 1:
        _tie_blocks(run, source, dim, len(parts))
    for part in parts:
        run.saw(run.known(part))


@aten("slice", "narrow")
def cut(run: Run, call: Call) -> None:
    """A slice of the channels, if it is one of equal parts, shrinks as they do."""
    source, out = call.args[0], call.out
    dim = call.get(1, "dim", 0) % max(source.dim(), 1)
    whole, part = source.shape[dim], out.shape[dim]
    if (
        run.expected is None
        and part < whole
        and part > 0
        and whole % part == 0
        and call.get(4, "step", 1) == 1
    ):
        start = call.get(2, "start", 0) or 0
        if start % part == 0:
            _tie_blocks(run, source, dim, whole // part)
    run.saw(run.known(out))


def _tie_blocks(run: Run, source: Tensor, dim: int, blocks: int) -> None:
    """Tie position by position over equal blocks of an axis."""
    ids = run.known(source)
    if ids.dim() and ids.shape[dim] > 1:
        parts = ids.tensor_split(blocks, dim)
        for part in parts[1:]:
            run.tie(parts[0], part)


@aten("select", "select_copy")
def select(run: Run, call: Call) -> None:
    """One entry of an axis, by its number."""
    if run.known(call.args[0]).shape[call.args[1]] > 1:
        run.pin(run.known(call.out), "a channel is taken by its number")
    run.saw(run.known(call.out))


@aten("unbind", "unbind_copy")
def unbind(run: Run, call: Call) -> None:
    """All entries of an axis, each by its number."""
    dim = call.get(1, "dim", 0)
    if run.known(call.args[0]).shape[dim] > 1:
        run.pin(run.known(call.args[0]), "channels are taken apart by their numbers")
    run.saw(run.known(call.args[0]))


@aten("as_strided", "diagonal", "view_as_real", "view_as_complex")
def strided(run: Run, call: Call) -> None:
    """Strides that are given as numbers fit one size only."""
    run.pin(run.known(call.args[0]), "memory is addressed by strides")
    if not run.mirror.knows(call.out):
        run.put(call.out, run.fixed(call.out))


@aten("cat", "concat")
def cat(run: Run, call: Call) -> None:
    """Put the ids one after the other; a parameter or a filler beside channels is one of them."""
    tensors = [each for each in call.args[0] if each.numel()]
    dim = call.get(1, "dim", 0) % call.out.dim()
    known = [run.promote(each) for each in tensors]
    shape = [max(ids.shape[a] for ids in known if ids is not None) for a in range(call.out.dim())]
    parts = []
    others = [ids for ids in known if ids is not None]
    for tensor, ids in zip(tensors, known, strict=True):
        own = _filler(run, others, tensor, dim) if ids is None else ids
        parts.append(own.expand([*shape[:dim], tensor.shape[dim], *shape[dim + 1 :]]))
    ids = collapse(run.classes.roots(torch.cat(parts, dim)))
    run.saw(ids)
    run.put(call.out, ids)


def _filler(run: Run, known: list[Tensor], constant: Tensor, dim: int) -> Tensor:
    """A constant of one value beside channels, along another axis, is part of each of them."""
    neighbor = next((ids for ids in known if ids.shape[dim] == 1), None)
    if neighbor is not None and bool((constant == constant.flatten()[0]).all()):
        return neighbor
    return run.fixed(constant)


@aten("stack")
def stack(run: Run, call: Call) -> None:
    """Put the ids beside each other along a new axis."""
    dim = call.get(1, "dim", 0) % call.out.dim()
    parts = []
    for tensor in call.args[0]:
        ids = run.promote(tensor)
        parts.append((run.fixed(tensor) if ids is None else ids).unsqueeze(dim))
    shape = [max(ids.shape[a] for ids in parts) for a in range(call.out.dim())]
    shape[dim] = 1
    ids = collapse(run.classes.roots(torch.cat([each.expand(shape) for each in parts], dim)))
    run.saw(ids)
    run.put(call.out, ids)


@aten(
    "repeat",
    "roll",
    "flip",
    "im2col",
    "pixel_shuffle",
    "pixel_unshuffle",
    "repeat_interleave",
    "expand_copy",
    "permute_copy",
    "transpose_copy",
    "rot90",
    "tile",
)
def executed(run: Run, call: Call) -> None:
    """Run the operator on the ids."""
    run.put(call.out, _execute(run, call))
    run.saw(run.known(call.out))


def _execute(run: Run, call: Call) -> Tensor:
    source = call.args[0]
    ids = run.known(source).expand(source.shape)
    ids = ids.double() if call.name in _FLOATING else ids
    done = getattr(torch.ops.aten, call.name)(ids, *call.args[1:], **call.kwargs)
    return collapse(run.classes.roots(done.long()))


@aten("channel_shuffle", "native_channel_shuffle")
def shuffle(run: Run, call: Call) -> None:
    """Groups that are interleaved shrink by equal numbers."""
    vector = run.vector(call.args[0], 1)
    _tie_groups(run, vector, call.args[1])
    executed(run, call)


def _tie_groups(run: Run, vector: Tensor, groups: int) -> None:
    rows = vector.reshape(groups, -1)
    run.tie(rows, rows[:1])


@aten("index", "index_select", "gather", "take_along_dim", "embedding")
def index(run: Run, call: Call) -> None:
    """Entries by number: executed on the ids where the numbers are constants."""
    source, numbers = call.args[0], tensors_in([call.args[1:], call.kwargs])
    ids = run.promote(source)
    ids = run.fixed(source) if ids is None else ids
    derived = any(run.mirror.knows(each) for each in numbers)
    if any(each.dtype == torch.bool for each in numbers) and derived:
        raise run.refuse("the shape of the result depends on the data")
    done = getattr(torch.ops.aten, call.name)
    result = done(ids.expand(source.shape), *_on_host(call.args[1:]), **_on_host(call.kwargs))
    result = collapse(run.classes.roots(result))
    if derived and varying(ids):
        run.pin(ids, "which channels are taken depends on the data")
        result = run.fixed(call.out)
    run.saw(result)
    run.put(call.out, result)


def _on_host(values: Any) -> Any:
    """Arguments with their tensors where ids are."""
    if isinstance(values, Tensor):
        return values.cpu()
    if isinstance(values, dict):
        return {name: _on_host(each) for name, each in values.items()}
    return type(values)(map(_on_host, values)) if isinstance(values, list | tuple) else values


@aten("constant_pad_nd", "pad")
def pad(run: Run, call: Call) -> None:
    """Padding beside channels belongs to each; channels that are padded on are fixed."""
    source, sides = call.args[0], list(call.args[1])
    ids = run.known(source)
    for pair in range(len(sides) // 2):
        axis = source.dim() - 1 - pair
        if ids.shape[axis] > 1:
            ids = ids.contiguous()
            ids = torch.nn.functional.pad(
                ids, [0, 0] * pair + sides[2 * pair : 2 * pair + 2], value=FIXED
            )
    run.saw(ids)
    run.put(call.out, ids)


@aten("copy_", "copy")
def copy_into(run: Run, call: Call) -> None:
    """A write into a part of a tensor: the part has the ids of what is written."""
    target, source = call.args[0], call.args[1]
    ids = run.promote(source)
    if ids is None:
        ids = run.known(target) if run.mirror.knows(target) else None
        if ids is not None and varying(ids):
            run.pin(ids, "a constant is written over channels")
    if ids is None:
        return
    ids = ids.reshape((1,) * (target.dim() - ids.dim()) + tuple(ids.shape))
    run.saw(ids)
    base = target._base
    if (
        run.blank
        and base is not None
        and not run.mirror.knows(target)
        and _spans(base, target, ids)
    ):
        run.put(base, ids)
        return
    run.mirror.put_into(target, ids)


def is_blank(target: Tensor) -> bool:
    """Whether a view is of a tensor of one value, as a result is that is filled in parts."""
    base = target._base
    return base is not None and base.numel() > 0 and bool((base == base.flatten()[0]).all())


def _spans(base: Tensor, target: Tensor, ids: Tensor) -> bool:
    """Whether a part of a tensor has all its channels; the rest belongs to each of them then."""
    if base.dim() != target.dim():
        return False
    return all(base.shape[axis] == target.shape[axis] for axis in varying(ids))


@aten(
    "fill_",
    "zero_",
    "zeros_like",
    "ones_like",
    "empty_like",
    "full_like",
    "rand_like",
    "randn_like",
    "new_zeros",
    "new_ones",
    "new_empty",
    "new_full",
    "new_empty_strided",
)
def fill(run: Run, call: Call) -> None:
    """New tensors of a size that is read off another are constants; ids that were, stay."""


def is_view(func: Any) -> bool:
    """Whether an operator returns an alias of its argument that it does not write."""
    returns = func._schema.returns
    return bool(returns) and any(
        r.alias_info is not None and not r.alias_info.is_write for r in returns
    )
