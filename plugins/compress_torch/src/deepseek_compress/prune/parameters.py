"""Ids of a model's parameters and buffers, one vector for each axis.

A weight's axis has as many ids as entries along it; a tensor that is met elementwise and has
several axes (a positional embedding) has one id for each element until its axis is known.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs
import torch
from torch import Tensor, nn

from deepseek_compress.prune.classes import Classes, Mismatch

# More elements than this are never given ids one by one; such a tensor stays as it is.
_MOST_ELEMENTS = 1 << 21

Kept = Mapping[str, Mapping[int, Tensor]]


@attrs.frozen(kw_only=True)
class Located:
    """Where a tensor lies in a parameter: for each dim the parameter's axis and its entries."""

    name: str
    axes: tuple[int | None, ...]
    entries: tuple[Tensor | None, ...]


class Parameters:
    """The named tensors of a model and their ids.

    Fields: `tensors` by name, `names` by storage, `vectors` by (name, axis), `elements` by name;
    `whole_groups`, by weight, whether a convolution loses whole groups;
    `kept` once pruned: which entries of each axis are left.
    """

    def __init__(self, classes: Classes) -> None:
        self.classes = classes
        self.tensors: dict[str, Tensor] = {}
        self.names: dict[int, str] = {}
        self.vectors: dict[tuple[str, int], Tensor] = {}
        self.elements: dict[str, Tensor] = {}
        self.whole_groups: dict[str, bool] = {}
        self.kept: Kept = {}

    def of_copy(self, model: nn.Module, kept: Kept | None = None) -> Parameters:
        """The same ids for the tensors of a copy of the model, which may be pruned."""
        found = Parameters(self.classes)
        found.vectors, found.elements = dict(self.vectors), dict(self.elements)
        found.whole_groups = self.whole_groups
        found.attach(model, kept)
        return found

    def attach(self, model: nn.Module, kept: Kept | None = None) -> None:
        """Look at this model's tensors from now on; a shared tensor has its first name."""
        self.tensors, self.names, self.kept = {}, {}, kept or {}
        for name, tensor in (*model.named_parameters(), *model.named_buffers()):
            if tensor.layout == torch.strided and not tensor.is_quantized:
                self.tensors[name] = tensor
                self.names[tensor.untyped_storage()._cdata] = name

    def name_of(self, tensor: Tensor) -> str | None:
        """The name of the parameter or buffer in whose memory the tensor lies."""
        try:
            return self.names.get(tensor.untyped_storage()._cdata)
        except (NotImplementedError, RuntimeError):
            return None

    def same_as(self, copy: Tensor, original: Tensor) -> None:
        """A cast or copy of a whole parameter stands for it."""
        name = self.name_of(original)
        if name is not None and copy.shape == self.tensors[name].shape == original.shape:
            self.names[copy.untyped_storage()._cdata] = name
            self.tensors.setdefault(name, original)

    def vector(self, name: str, axis: int, *, strong: bool = False) -> Tensor:
        """Ids along an axis, made when first asked for."""
        extent = self.tensors[name].shape[axis]
        if (name, axis) not in self.vectors:
            self.vectors[name, axis] = self.classes.fresh(extent, strong=strong)
        found = self.vectors[name, axis]
        if strong and not self.classes.frozen:
            self.classes.strong[self.classes.roots(found)] = True
        if axis in self.kept.get(name, {}):
            found = found[self.kept[name][axis]]
        if len(found) != extent:
            raise Mismatch(f"{name} has {extent} entries along axis {axis}, not {len(found)}")
        return found

    def along(self, located: Located, dim: int, *, strong: bool = False) -> Tensor | None:
        """Ids along a dim of a located tensor; None if it is no axis of the parameter."""
        axis, entries = located.axes[dim], located.entries[dim]
        if axis is None:
            return None
        found = self.vector(located.name, axis, strong=strong)
        return found if entries is None else found[entries]

    def element_ids(self, name: str) -> Tensor | None:
        """Ids of a tensor that is met elementwise, in its shape; None if it is too large."""
        tensor = self.tensors[name]
        long = [axis for axis, extent in enumerate(tensor.shape) if extent > 1]
        if len(long) == 1 and name not in self.elements:
            shape = [1] * tensor.dim()
            shape[long[0]] = -1
            return self.vector(name, long[0]).view(shape)
        if name not in self.elements:
            if not long or tensor.numel() > _MOST_ELEMENTS:
                return None
            self.elements[name] = self.classes.fresh(tensor.numel(), strong=False).view(
                tensor.shape
            )
        found = self.elements[name]
        for axis, entries in self.kept.get(name, {}).items():
            found = found.index_select(axis, entries)
        return found

    def locate(self, tensor: Tensor) -> Located | None:
        """Find a tensor, whole, transposed or in part, in a parameter."""
        name = self.name_of(tensor)
        if name is None:
            return None
        whole = self.tensors[name]
        same = tensor.untyped_storage()._cdata != whole.untyped_storage()._cdata
        if (same and tensor.shape == whole.shape) or _geometry(tensor) == _geometry(whole):
            count = tensor.dim()
            return Located(name=name, axes=tuple(range(count)), entries=(None,) * count)
        return None if same else _locate_part(name, whole, tensor)


def _geometry(tensor: Tensor) -> tuple[object, ...]:
    return (tuple(tensor.shape), tensor.stride(), tensor.storage_offset())


def _locate_part(name: str, whole: Tensor, part: Tensor) -> Located | None:
    """Follow each dim of `part` from its first element; None unless it keeps to one axis."""
    if part.numel() == 0 or part.element_size() != whole.element_size():
        return None
    axes: list[int | None] = []
    entries: list[Tensor | None] = []
    for dim in range(part.dim()):
        axis, found = _follow(whole, part, dim)
        if axis is None and part.shape[dim] > 1:
            return None
        axes.append(axis)
        entries.append(found)
    left = {axis for axis, extent in enumerate(whole.shape) if extent > 1} - set(axes)
    used = [axis for axis in axes if axis is not None]
    if left or len(set(used)) != len(used):
        return None
    return Located(name=name, axes=tuple(axes), entries=tuple(entries))


def _follow(whole: Tensor, part: Tensor, dim: int) -> tuple[int | None, Tensor | None]:
    step, start = part.stride(dim), part.storage_offset() - whole.storage_offset()
    for axis, extent in enumerate(whole.shape):
        stride = whole.stride(axis)
        if extent > 1 and step and step % stride == 0 and part.shape[dim] > 1:
            first = _coordinate(whole, start, axis)
            entries = first + torch.arange(part.shape[dim]) * (step // stride)
            if int(entries[-1]) < extent:
                return axis, entries
    return None, None


def _coordinate(whole: Tensor, offset: int, axis: int) -> int:
    """The index along an axis of the element at a storage offset."""
    order = sorted(range(whole.dim()), key=lambda each: -whole.stride(each))
    for each in order:
        if whole.shape[each] > 1:
            index, offset = divmod(offset, int(whole.stride(each)))
            if each == axis:
                return index
    return 0
