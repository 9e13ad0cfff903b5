"""The mirror: for each activation the ids of its channels, kept by storage.

Ids are kept for storages, not for tensors: a view shares its base's storage, so its ids are the
same memory looked at with the view's strides, and a write into a view is seen by its base. No
rule is needed for the operators that only change strides.
"""

from __future__ import annotations

import attrs
import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

from deepseek_compress.prune.classes import FIXED, Classes, collapse


@attrs.define(kw_only=True)
class _Entry:
    """Ids of one storage: those of one geometry, or of every element once it was viewed."""

    alive: StorageWeakRef
    geometry: tuple[object, ...]
    ids: Tensor
    itemsize: int
    master: Tensor | None = None


class Mirror:
    """Ids of every storage that holds an activation. Fields: `entries` by storage."""

    def __init__(self, classes: Classes) -> None:
        self.classes = classes
        self.entries: dict[int, _Entry] = {}

    def get(self, tensor: Tensor) -> Tensor | None:
        """Collapsed ids of an activation, as roots; None for what is no activation."""
        entry = self._entry(tensor)
        if entry is None:
            return None
        if entry.master is None and entry.geometry == _geometry(tensor):
            return collapse(self.classes.roots(entry.ids))
        if entry.itemsize != tensor.element_size() or tensor.numel() == 0:
            return (
                None if tensor.numel() == 0 else torch.ones((1,) * tensor.dim(), dtype=torch.long)
            )
        master = _materialize(entry, tensor)
        return collapse(self.classes.roots(_seen(master, tensor)))

    def put(self, tensor: Tensor, ids: Tensor) -> None:
        """Give an activation its ids, which broadcast to its shape; also into a view."""
        entry = self._entry(tensor)
        geometry = _geometry(tensor)
        if entry is None or entry.geometry == geometry:
            storage = tensor.untyped_storage()
            self.entries[storage._cdata] = _Entry(
                alive=StorageWeakRef(storage),
                geometry=geometry,
                ids=ids,
                itemsize=tensor.element_size(),
            )
            return
        _seen(_materialize(entry, tensor), tensor).copy_(ids.expand(tensor.shape))

    def put_into(self, tensor: Tensor, ids: Tensor) -> None:
        """Give ids to a view of a storage that had none: the rest is of a fixed size."""
        if self._entry(tensor) is None and tensor.numel() * tensor.element_size() != _nbytes(
            tensor
        ):
            storage = tensor.untyped_storage()
            entry = _Entry(
                alive=StorageWeakRef(storage),
                geometry=(),
                ids=torch.tensor(FIXED),
                itemsize=tensor.element_size(),
                master=torch.full((_nbytes(tensor) // tensor.element_size(),), FIXED),
            )
            self.entries[storage._cdata] = entry
        self.put(tensor, ids)

    def knows(self, tensor: Tensor) -> bool:
        """Whether the tensor is an activation."""
        return self._entry(tensor) is not None

    def _entry(self, tensor: Tensor) -> _Entry | None:
        try:
            key = tensor.untyped_storage()._cdata
        except (NotImplementedError, RuntimeError):
            return None
        entry = self.entries.get(key)
        if entry is not None and entry.alive.expired():
            del self.entries[key]
            return None
        return entry


def _geometry(tensor: Tensor) -> tuple[object, ...]:
    return (tuple(tensor.shape), tensor.stride(), tensor.storage_offset(), tensor.element_size())


def _nbytes(tensor: Tensor) -> int:
    return int(tensor.untyped_storage().nbytes())


def _materialize(entry: _Entry, tensor: Tensor) -> Tensor:
    """One id for each element of the storage."""
    if entry.master is None:
        count = _nbytes(tensor) // entry.itemsize
        entry.master = torch.full((count,), FIXED)
        shape, strides, offset, _ = entry.geometry
        whole = entry.master.as_strided(shape, strides, offset)
        whole.copy_(entry.ids.expand(shape))
        entry.geometry = ()
    return entry.master


def _seen(master: Tensor, tensor: Tensor) -> Tensor:
    return master.as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())
