"""What a user gave as data: samples by number, and how a batch is made of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import attrs
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    default_collate,
)

from deepseek_core import errors

_KNOWN: Final = (RandomSampler, SequentialSampler, DistributedSampler)
_MAP_STYLE: Final = "give a dataset with __len__ and __getitem__: torch's, a list, TensorDataset"


@attrs.frozen(kw_only=True, eq=False)
class Data:
    """Samples 0 to `length` - 1 of a dataset, and what makes a batch of them.

    `workers` are processes that read ahead, `batch` and `shuffle` what a DataLoader said.
    """

    dataset: Any
    length: int
    collate: Callable[[list[Any]], Any] = default_collate
    workers: int = 0
    context: Any = None
    batch: int | None = None
    shuffle: bool = True

    def read(self, numbers: Sequence[int]) -> Any:
        """The batch of these samples.

        Raises:
            InputError: the dataset has fewer samples than in the beginning.
        """
        self.check_length()
        whole = getattr(self.dataset, "__getitems__", None)
        try:
            samples = whole(list(numbers)) if whole else [self.dataset[n] for n in numbers]
        except IndexError as error:
            self.check_length()
            raise errors.InputError(
                f"the dataset has no sample {max(numbers)}, though it says that it has "
                f"{self.length}: {error}",
                remedy="correct its __len__, or give the dataset whole",
            ) from error
        return self.collate(samples)

    def check_length(self) -> None:
        """Refuse a dataset that has shrunk.

        Raises:
            InputError: it has.
        """
        if len(self.dataset) < self.length:
            raise errors.InputError(
                f"the dataset has {len(self.dataset)} samples now, and had {self.length}",
                remedy="train on a dataset that nobody changes meanwhile, as a copy of it",
            )


def data_of(given: Any, what: str = "data") -> Data:
    """A dataset or a DataLoader, checked.

    Raises:
        ConfigError: it can't be read by number, or its sampler would be lost.
        InputError: it has no samples.
    """
    if isinstance(given, DataLoader):
        return _of_loader(given, what)
    return Data(dataset=given, length=_length(given, what))


def _of_loader(loader: Any, what: str) -> Data:
    length = _length(loader.dataset, what)
    if loader.batch_size is None or type(loader.batch_sampler) is not BatchSampler:
        raise errors.ConfigError(
            f"{what}: a DataLoader with a batch_sampler, or without batches",
            remedy="give DataLoader(dataset, batch_size=...) or the dataset itself",
        )
    sampler = loader.sampler
    if type(sampler) not in _KNOWN or getattr(sampler, "replacement", False):
        raise errors.ConfigError(
            f"{what}: its sampler {type(sampler).__name__} would be lost: samples come once an "
            "epoch, in an order that the seed chooses",
            remedy="give torch.utils.data.Subset(dataset, numbers), or leave the sampler out",
        )
    if loader.worker_init_fn is not None:
        raise errors.ConfigError(
            f"{what}: its worker_init_fn would be lost: seeds are set for each microbatch",
            remedy="leave it out, and let the dataset draw from torch, numpy or random",
        )
    shuffle = isinstance(sampler, RandomSampler) or getattr(sampler, "shuffle", False)
    return Data(
        dataset=loader.dataset,
        length=length,
        collate=loader.collate_fn,
        workers=loader.num_workers,
        context=loader.multiprocessing_context,
        batch=loader.batch_size,
        shuffle=bool(shuffle),
    )


def _length(dataset: Any, what: str) -> int:
    kind = type(dataset).__name__
    if isinstance(dataset, IterableDataset) or (
        not hasattr(dataset, "__getitem__") and hasattr(dataset, "__iter__")
    ):
        raise errors.ConfigError(
            f"{what}: {kind} is only iterable: its samples have no numbers, so that ranks can't "
            "share them and a resume can't find its place",
            remedy=f"{_MAP_STYLE}; list(dataset) makes one of what fits in memory",
        )
    if isinstance(dataset, Mapping | str | bytes | Tensor) or not hasattr(dataset, "__getitem__"):
        raise errors.ConfigError(f"{what}: a {kind} is no dataset", remedy=_MAP_STYLE)
    if isinstance(dataset, tuple) and all(hasattr(part, "shape") for part in dataset):
        raise errors.ConfigError(
            f"{what}: a tuple of {len(dataset)} tensors is no dataset",
            remedy="give torch.utils.data.TensorDataset(inputs, targets)",
        )
    try:
        length = len(dataset)
    except (TypeError, NotImplementedError) as error:
        raise errors.ConfigError(f"{what}: {kind} has no length", remedy=_MAP_STYLE) from error
    if length < 1:
        raise errors.InputError(f"{what} has no samples", remedy="see why the dataset is empty")
    return length


def moved(batch: Any, device: Any) -> Any:
    """A batch with its tensors on a device; mappings, lists and tuples keep their kind."""
    if isinstance(batch, Tensor) or callable(getattr(batch, "to", None)):
        return batch.to(device)
    if isinstance(batch, Mapping):
        held = {name: moved(value, device) for name, value in batch.items()}
        return held if type(batch) is dict else _of_kind(batch, held)
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(moved(part, device) for part in batch))
    if isinstance(batch, list | tuple):
        return type(batch)(moved(part, device) for part in batch)
    return batch


def _of_kind(batch: Any, held: dict[Any, Any]) -> Any:
    try:
        return type(batch)(held)
    except TypeError:  # a kind that is made in another way
        return held
