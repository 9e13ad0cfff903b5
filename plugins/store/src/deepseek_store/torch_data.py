"""Training data from a store: a data set of objects, and a loader that tells what comes next.

    data = ObjectDataset(store, keys, decode=read_sample)
    for batch in loader(data, batch_size=64, shuffle=True, seed=7, num_workers=4):
        ...

The loader knows the order of its sampler before an epoch begins, and each process that reads gets
its share of it to fetch ahead: slow tiers then answer like fast ones.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from deepseek_core import errors
from deepseek_store.errors import StoreLocked
from deepseek_store.fs.shared_stores import open_shared
from deepseek_store.store import Store

if TYPE_CHECKING:
    from torch.utils.data import DataLoader

T = TypeVar("T")


class BatchIndexes(list[int]):
    """Indexes of one batch; `ahead`, if set, are all that this process will be asked for."""

    ahead: Sequence[int] | None = None


class ObjectDataset(Generic[T]):
    """Objects of a store, decoded, by their number: a map-style data set for torch.

    `decode` takes an object's bytes (a `memoryview`) and has to be picklable where workers are
    started by `spawn`. What is pickled is the store's home: each process opens it for itself, so
    for loaders with workers open the store with `shared=True`.
    """

    def __init__(
        self,
        store: Store | str | os.PathLike[str],
        keys: Iterable[str],
        decode: Callable[[memoryview], T] = bytes,  # type: ignore[assignment]
        *,
        shared: bool = True,
    ) -> None:
        home = store.home if isinstance(store, Store) else store
        self.home = os.path.realpath(home)
        self.keys = tuple(keys)
        self.shared = shared
        self._decode = decode

    @property
    def store(self) -> Store:
        """The store, opened by this process.

        Raises:
            StoreLocked: another process has it open, and not both share it.
        """
        return open_shared(self.home, shared=self.shared)

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int) -> T:
        return self._decode(self.store.get(self.keys[index]))

    def __getitems__(self, batch: Sequence[int]) -> list[T]:
        """Several at once; what a loader asks for, with what it will ask for later."""
        store = self.store
        ahead = getattr(batch, "ahead", None)
        if ahead is not None:
            store.prefetch(self.keys[index] for index in ahead)
        return [self._decode(store.get(self.keys[index])) for index in batch]


class OrderedBatches:
    """Batches in the order of a sampler, which is known as a whole before each epoch.

    `order(epoch)` gives its `count` indexes. The first batch of each of `workers` processes carries
    the share of that process: torch hands batches to its workers in turn.
    """

    def __init__(
        self,
        order: Callable[[int], Sequence[int]],
        count: int,
        batch_size: int,
        *,
        drop_last: bool = False,
        workers: int = 0,
    ) -> None:
        if batch_size < 1:
            raise errors.InputError(f"batch_size is {batch_size}", remedy="give 1 or more")
        self.epoch = 0
        self.batch_size, self.drop_last = batch_size, drop_last
        self._order, self._count, self._workers = order, count, max(1, workers)

    def set_epoch(self, epoch: int) -> None:
        """Begin with that epoch; each pass through the batches is one more."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[BatchIndexes]:
        # As a generator: a loader with workers makes two of these for an epoch, and uses one.
        batches = self.batches(self.epoch)
        self.epoch += 1
        for number, batch in enumerate(batches[: self._workers]):
            batch.ahead = [i for mine in batches[number :: self._workers] for i in mine]
        yield from batches

    def __len__(self) -> int:
        full, rest = divmod(self._count, self.batch_size)
        return full if self.drop_last or not rest else full + 1

    def batches(self, epoch: int) -> list[BatchIndexes]:
        """All batches of an epoch."""
        order = self._order(epoch)
        stop = len(order) - len(order) % self.batch_size if self.drop_last else len(order)
        return [
            BatchIndexes(order[start : min(start + self.batch_size, stop)])
            for start in range(0, stop, self.batch_size)
        ]


def loader(
    dataset: ObjectDataset[Any],
    batch_size: int = 1,
    *,
    shuffle: bool = False,
    seed: int = 0,
    sampler: Collection[int] | None = None,
    drop_last: bool = False,
    num_workers: int = 0,
    **options: Any,
) -> DataLoader[Any]:
    """A torch `DataLoader` whose reads are fetched ahead, in the order of its sampler.

    With `shuffle` epoch e has the order of `seed` + e; `sampler` (a `DistributedSampler`, say)
    gives any other, and knows its length. The loader's `batch_sampler.set_epoch` begins with a
    later epoch; other `options` are the `DataLoader`'s.

    Raises:
        ConfigError: both `shuffle` and `sampler`, or an option that would undo the order.
        StoreLocked: there are to be workers, and this process has the store for itself.
    """
    from torch.utils.data import DataLoader

    if shuffle and sampler is not None:
        raise errors.ConfigError("shuffle and sampler are both given", remedy="give one of them")
    if not options.get("in_order", True):
        raise errors.ConfigError(
            "in_order=False gives batches to whoever is free", remedy="leave it out"
        )
    if num_workers > 0:
        _check_shared(dataset)
    batches = OrderedBatches(
        _order(len(dataset), seed if shuffle else None, sampler),
        len(dataset if sampler is None else sampler),
        batch_size,
        drop_last=drop_last,
        workers=num_workers,
    )
    return DataLoader(dataset, batch_sampler=batches, num_workers=num_workers, **options)


def _order(
    count: int, seed: int | None, sampler: Iterable[int] | None
) -> Callable[[int], Sequence[int]]:
    if sampler is not None:
        return lambda epoch: _sampled(sampler, epoch)
    if seed is None:
        return lambda epoch: range(count)
    return lambda epoch: _shuffled(count, seed + epoch)


def _sampled(sampler: Iterable[int], epoch: int) -> list[int]:
    if hasattr(sampler, "set_epoch"):
        sampler.set_epoch(epoch)
    return [int(index) for index in sampler]


def _shuffled(count: int, seed: int) -> list[int]:
    import torch

    found: list[int] = torch.randperm(count, generator=torch.Generator().manual_seed(seed)).tolist()
    return found


def _check_shared(dataset: ObjectDataset[Any]) -> None:
    if not dataset.store.parts.opened.shared:
        raise StoreLocked(
            f"this process has the store in {dataset.home} for itself, so no worker can open it",
            remedy="open it with shared=True, or load with num_workers=0",
        )
