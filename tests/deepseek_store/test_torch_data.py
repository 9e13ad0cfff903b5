"""Samples are the right ones, in the sampler's order, and are there before they are asked for."""

import functools
import pickle
import random
import time

import pytest
from fs_stores import quick_folder, tier_url

from deepseek_core import errors
from deepseek_store import Policy, Store
from deepseek_store.errors import StoreLocked
from deepseek_store.torch_data import ObjectDataset, OrderedBatches, loader

torch = pytest.importorskip("torch")

COUNT = 120


def first_number(data):
    return int.from_bytes(data[:4], "little")


def sample(number):
    return number.to_bytes(4, "little") + random.Random(number).randbytes(9_000)


@functools.cache
def policy():
    return Policy(
        landing="cold",
        cache_nbytes=8 << 20,
        sizing=64 << 10,
        cold_fragment_nbytes=64 << 10,
        codes={"hot": "auto", "warm": "auto", "cold": "replication(2)"},
    )


@pytest.fixture(scope="module")
def home(request):
    with quick_folder() as folder:
        cold = tier_url("local", request, folder)
        with Store.init(folder / "store", cold=[cold], policy=policy()) as store:
            for number in range(COUNT):
                store.put(f"train/{number:04d}", sample(number), tier="hot")
            store.maintenance.send((f"train/{number:04d}" for number in range(COUNT)), "cold")
        yield folder / "store"


@pytest.fixture
def store(home):
    with Store(home, shared=True) as store:
        yield store


@pytest.fixture
def data(store):
    return ObjectDataset(store, (f"train/{number:04d}" for number in range(COUNT)), sample_of)


def sample_of(data):
    assert bytes(data) == sample(first_number(data))
    return first_number(data)


def in_order(batches):
    return [number for batch in batches for number in batch.tolist()]


def test_every_sample_is_the_object_of_its_key(data):
    assert len(data) == COUNT
    assert [data[number] for number in range(COUNT)] == list(range(COUNT))
    assert data.__getitems__([5, 3]) == [5, 3]


def test_without_a_decoder_a_sample_is_the_bytes(home, store):
    assert ObjectDataset(home, ["train/0007"])[0] == sample(7)


def test_a_dataset_travels_as_the_home_of_its_store(data):
    text = pickle.dumps(data)
    assert len(text) < 100 * COUNT
    assert pickle.loads(text)[7] == 7


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_gives_the_order_of_its_seed(data, workers):
    loaded = loader(data, 16, shuffle=True, seed=3, num_workers=workers)
    expected = [
        torch.randperm(COUNT, generator=torch.Generator().manual_seed(3 + epoch)).tolist()
        for epoch in range(2)
    ]
    assert [in_order(loaded), in_order(loaded)] == expected
    assert len(loaded) == -(-COUNT // 16)


def test_workers_that_persist_get_the_order_of_each_epoch(data):
    loaded = loader(data, 16, shuffle=True, seed=1, num_workers=2, persistent_workers=True)
    epochs = [in_order(loaded) for _ in range(3)]
    assert all(sorted(epoch) == list(range(COUNT)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


def test_started_anew_workers_open_the_store_too(data):
    loaded = loader(data, 40, num_workers=1, multiprocessing_context="spawn")
    assert in_order(loaded) == list(range(COUNT))


def test_a_sampler_of_ones_own_sets_the_order(data):
    sampler = torch.utils.data.DistributedSampler(data, num_replicas=3, rank=1, seed=4)
    loaded = loader(data, 8, sampler=sampler)
    found = in_order(loaded)
    sampler.set_epoch(0)
    assert found == list(sampler)
    assert len(loaded) == 5


def test_a_set_epoch_is_the_epoch_that_comes(data):
    one, two = (loader(data, 8, shuffle=True, seed=9) for _ in range(2))
    in_order(one)
    two.batch_sampler.set_epoch(1)
    assert in_order(one) == in_order(two)


def test_dropping_the_last_batch_drops_what_does_not_fill_it(data):
    loaded = loader(data, 50, drop_last=True)
    assert in_order(loaded) == list(range(100))
    assert len(loaded) == 2


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_each_worker_gets_its_share_of_the_order_with_its_first_batch(workers):
    batches = list(OrderedBatches(lambda epoch: range(20), 20, 3, workers=workers))
    for number in range(workers):
        mine = [index for batch in batches[number::workers] for index in batch]
        assert list(batches[number].ahead) == mine
    assert all(batch.ahead is None for batch in batches[workers:])


def let_it_fetch(store):
    """Wait until all that is wanted ahead is here."""
    fetcher = store.parts.reader.fetcher
    end_s = time.monotonic() + 30
    while (fetcher.queued or fetcher._under_way) and time.monotonic() < end_s:
        time.sleep(0.0005)


def test_a_known_order_leaves_hardly_a_read_to_demand(home):
    demanded = {}
    for told in (False, True):
        with Store(home, shared=True) as store:
            data = ObjectDataset(store, (f"train/{n:04d}" for n in range(COUNT)), sample_of)
            order = random.Random(5).sample(range(COUNT), COUNT)
            make = loader if told else torch.utils.data.DataLoader
            for _ in make(data, 8, sampler=order):
                let_it_fetch(store)  # as a training step does
            demanded[told] = COUNT - store.parts.cache.stats().prefetched_used
    # The first batch begins when the order becomes known.
    assert demanded[True] <= 8 + 2 < COUNT / 2 < demanded[False]


def test_what_workers_read_is_known_to_be_warm():
    with quick_folder() as folder:
        keys = [f"train/{number}" for number in range(8)]
        with Store.init(folder / "store", shared=True) as store:
            for number, key in enumerate(keys):
                store.put(key, sample(number))
            assert in_order(loader(ObjectDataset(store, keys, sample_of), 2, num_workers=2))
        with Store(folder / "store") as store:
            assert all(map(store.parts.heat.knows, keys))


def test_workers_beside_an_exclusive_store_are_refused_before_they_start(home):
    with Store(home) as store:
        with pytest.raises(StoreLocked, match="shared=True"):
            loader(ObjectDataset(store, ["train/0000"]), num_workers=1)
        assert in_order(loader(ObjectDataset(store, ["train/0001"], sample_of))) == [1]


def test_settings_that_contradict_each_other_are_refused(data):
    with pytest.raises(errors.ConfigError, match="shuffle and sampler"):
        loader(data, shuffle=True, sampler=[1])
    with pytest.raises(errors.ConfigError, match="in_order"):
        loader(data, in_order=False)
    with pytest.raises(errors.InputError, match="batch_size"):
        loader(data, 0)
