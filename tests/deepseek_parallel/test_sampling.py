"""The order of samples: each once in an epoch, and the same for any number of ranks."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepseek_core import errors
from deepseek_parallel import Order, StateMismatch


@given(st.integers(1, 3000), st.integers(0, 2**64 - 1), st.integers(0, 10**6), st.booleans())
def test_every_epoch_holds_each_sample_once(length, seed, epoch, shuffle):
    found = Order(length, seed, shuffle).indices(epoch * length, length)
    assert found.dtype == np.int64
    assert sorted(found) == list(range(length))


@settings(max_examples=50)
@given(st.integers(1, 200), st.integers(0, 1000), st.lists(st.integers(0, 90), max_size=9))
def test_it_is_the_same_however_it_is_cut(length, position, counts):
    order = Order(length, 7)
    at, pieces = position, [np.empty(0, np.int64)]
    for count in counts:
        pieces.append(order.indices(at, count))
        at += count
    whole = order.indices(position, sum(counts))
    assert np.array_equal(np.concatenate(pieces), whole)


def test_what_a_checkpoint_means_does_not_change_with_versions():
    assert list(Order(10).indices(0, 20)) == [
        *(2, 7, 4, 6, 9, 1, 8, 3, 0, 5),
        *(4, 3, 6, 7, 1, 0, 8, 5, 9, 2),
    ]
    assert list(Order(10, shuffle=False).indices(8, 4)) == [8, 9, 0, 1]


def test_all_orders_of_four_samples_are_as_likely():
    seen = Counter(tuple(Order(4, seed).indices(0, 4)) for seed in range(4800))
    assert len(seen) == 24
    chi_square = sum((count - 200) ** 2 / 200 for count in seen.values())
    assert chi_square < 49.7  # 23 degrees of freedom, p = .001


def test_epochs_and_neighbors_are_unrelated():
    order = Order(50_000, 3)
    first, second = order.indices(0, 50_000), order.indices(50_000, 50_000)
    for one, other in ((first, second), (first[1:], first[:-1]), (first, np.arange(50_000))):
        assert abs(np.corrcoef(one, other)[0, 1]) < 0.02


def test_nothing_of_the_length_of_the_dataset_is_stored():
    found = Order(10**15, 1).indices(10**17 + 5, 1000)
    assert len(set(found)) == 1000
    assert 0 <= found.min() <= found.max() < 10**15


def test_a_dataset_that_shrinks_or_grows_is_told():
    saved = Order(10, 3).state()
    assert Order.resumed(saved, 10) == Order(10, 3)
    for length in (9, 11):
        with pytest.raises(StateMismatch, match=f"has {length} samples and had 10"):
            Order.resumed(saved, length)
    with pytest.raises(StateMismatch, match="no fields of an order"):
        Order.resumed({"length": 10}, 10)


@pytest.mark.parametrize(
    "deed",
    [
        lambda: Order(0),
        lambda: Order(2.5),
        lambda: Order(True),
        lambda: Order(3, -1),
        lambda: Order(3).indices(-1, 2),
        lambda: Order(3).indices(0, -2),
        lambda: Order(3).indices(2**62, 1),
    ],
)
def test_numbers_that_can_not_be_are_refused(deed):
    with pytest.raises(errors.InputError, match="must be"):
        deed()
