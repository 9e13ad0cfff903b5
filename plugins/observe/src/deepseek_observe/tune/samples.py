"""Samples by number, and the numbers of batches that follow each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, TensorDataset, default_collate

from deepseek_core import errors

_MAP_STYLE: Final = "give a dataset with __len__ and __getitem__: torch's, a list, TensorDataset"
_HELD_SHARE: Final = 10
_HELD_MOST: Final = 10_000
Numbers = NDArray[np.int64]


@attrs.frozen(kw_only=True, eq=False)
class Samples:
    """Samples 0 to `length` - 1 of a dataset, and what makes a batch of them."""

    dataset: Any
    length: int
    collate: Callable[[list[Any]], Any] = default_collate

    def read(self, numbers: Sequence[int] | Numbers) -> Any:
        """The batch of these samples."""
        if type(self.dataset) is TensorDataset and self.collate is default_collate:
            which = torch.as_tensor(numbers)
            return [part[which] for part in self.dataset.tensors]
        listed = [int(number) for number in numbers]
        whole = getattr(self.dataset, "__getitems__", None)
        return self.collate(whole(listed) if whole else [self.dataset[n] for n in listed])

    def divided(self, seed: int) -> tuple[Numbers, Numbers]:
        """Samples to train on, and one of ten, 10,000 at most, that are held out."""
        order = np.random.default_rng(seed).permutation(self.length)
        held = min(self.length // _HELD_SHARE, _HELD_MOST)
        return (order[held:], order[:held]) if held else (order, order)


def samples_of(given: Any) -> Samples:
    """A dataset, or that of a DataLoader.

    Raises:
        ConfigError: it can't be read by number.
        InputError: it has no samples.
    """
    if isinstance(given, DataLoader):
        return Samples(
            dataset=given.dataset, length=_length(given.dataset), collate=given.collate_fn
        )
    return Samples(dataset=given, length=_length(given))


def _length(dataset: Any) -> int:
    kind = type(dataset).__name__
    if isinstance(dataset, IterableDataset) or (
        not hasattr(dataset, "__getitem__") and hasattr(dataset, "__iter__")
    ):
        raise errors.ConfigError(
            f"data: {kind} is only iterable: trials can't begin at the same sample",
            remedy="give some of it as a list: list(itertools.islice(dataset, 10_000))",
        )
    if isinstance(dataset, Mapping | str | bytes | Tensor) or not hasattr(dataset, "__getitem__"):
        raise errors.ConfigError(f"data: a {kind} is no dataset", remedy=_MAP_STYLE)
    if isinstance(dataset, tuple) and all(hasattr(part, "shape") for part in dataset):
        raise errors.ConfigError(
            f"data: a tuple of {len(dataset)} tensors is no dataset",
            remedy="give torch.utils.data.TensorDataset(inputs, targets)",
        )
    try:
        length = len(dataset)
    except (TypeError, NotImplementedError) as error:
        raise errors.ConfigError(f"data: {kind} has no length", remedy=_MAP_STYLE) from error
    if length < 2:
        raise errors.InputError(
            f"the data have {length} samples", remedy="give some hundred samples or more"
        )
    return length


class Stream:
    """Batches of samples in an order that `seed` chooses, each sample once in an epoch."""

    def __init__(self, numbers: Numbers, seed: int) -> None:
        self._numbers, self._seed = numbers, seed
        self._epoch, self._left = 0, numbers[:0]

    def take(self, count: int) -> Numbers:
        """The next `count` samples; epochs run on."""
        while len(self._left) < count:
            order = np.random.default_rng((self._seed, self._epoch)).permutation(self._numbers)
            self._epoch += 1
            self._left = np.concatenate([self._left, order])
        taken, self._left = self._left[:count], self._left[count:]
        return taken


def moved(batch: Any, device: Any) -> Any:
    """A batch with its tensors on a device; mappings, lists and tuples keep their kind."""
    if isinstance(batch, Tensor) or callable(getattr(batch, "to", None)):
        return batch.to(device)
    if isinstance(batch, Mapping):
        return {name: moved(value, device) for name, value in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(moved(part, device) for part in batch))
    if isinstance(batch, list | tuple):
        return type(batch)(moved(part, device) for part in batch)
    return batch
