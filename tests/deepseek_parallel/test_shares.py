"""Whole items for workers of unequal speed."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_parallel.shares import Affine, allocate, imbalance

COST = st.builds(Affine, st.floats(0, 5), st.floats(0.01, 5))


def last_end(costs, counts):
    return max(cost.of(count) for cost, count in zip(costs, counts, strict=True))


@given(st.lists(COST, min_size=1, max_size=3), st.integers(0, 8), st.integers(0, 1))
def test_no_other_division_ends_sooner(costs, more, least):
    total = more + least * len(costs)
    counts = allocate(costs, total, least)
    assert sum(counts) == total
    assert min(counts) >= least
    best = min(
        last_end(costs, tried)
        for tried in product(range(least, total + 1), repeat=len(costs))
        if sum(tried) == total
    )
    assert last_end(costs, counts) == pytest.approx(best, rel=1e-9)


@given(st.lists(COST, min_size=1, max_size=40), st.integers(0, 3000))
def test_the_bulk_is_given_as_the_plain_greedy_does(costs, total):
    plain = [0] * len(costs)
    for _ in range(total):
        plain[min(range(len(costs)), key=lambda i: costs[i].of(plain[i] + 1))] += 1
    counts = allocate(costs, total)
    assert sum(counts) == total
    assert last_end(costs, counts) == pytest.approx(last_end(costs, plain), rel=1e-9)


@pytest.mark.parametrize(
    ("total", "floor"), [(16, 0.11), (32, 0.053), (96, 0.018), (128, 0.026), (256, 0.0065), (10, 0)]
)
def test_the_floor_of_granularity_is_the_known_one(total, floor):
    costs = [Affine(0.0, 1.0)] * 3 + [Affine(0.0, 3.0)]
    counts = allocate(costs, total)
    ends = [cost.of(count) for cost, count in zip(costs, counts, strict=True)]
    assert imbalance(ends) == pytest.approx(floor, abs=0.005)


def test_equal_workers_differ_by_one_item():
    assert allocate([Affine(1.0, 2.0)] * 3, 8) == [3, 3, 2]
