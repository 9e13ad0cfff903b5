"""Histograms of one pass, and the ranges that are made of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepseek_compress.quantize.observing import BINS, Observer
from deepseek_compress.quantize.ranges import METHODS


def seen(*batches):
    found = Observer("t")
    for batch in batches:
        found.add(np.asarray(batch, np.float32), len(batch), len(batch))
    return found


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=40))
@settings(max_examples=60)
def test_nothing_is_lost_while_the_reach_grows(values):
    found = seen(*([[value] for value in values]))
    assert (found.low, found.high) == (np.float32(min(values)), np.float32(max(values)))
    assert len(found.lows) == len(values)
    zeros_before = next((i for i, v in enumerate(values) if v), len(values))
    assert found.counts.sum() == len(values) - zeros_before
    assert found.reach >= max(abs(found.low), abs(found.high))


def test_growing_gives_the_histogram_of_one_go():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(64, 100)).astype(np.float32)
    whole, grown = Observer("t"), Observer("t")
    grown.add(values[:1] * 0.01, 1, 1)
    for row in values:
        grown.add(row[None], 1, 1)
    whole.reach = grown.reach
    whole.add(values, 64, 64)
    edges = np.linspace(-grown.reach, grown.reach, BINS + 1)
    off = np.abs(np.cumsum(grown.counts)[:-1] - np.cumsum(whole.counts)[:-1] - 50)
    assert edges[-1] >= np.abs(values).max()
    assert off.max() <= 150  # of 6400: the first row, and merged bins


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("kind", ["normal", "relu", "negative", "tailed", "constant", "zero"])
def test_every_method_stays_within_what_was_seen(method, bits, kind):
    rng = np.random.default_rng(1)
    values = {
        "normal": rng.normal(size=(32, 500)),
        "relu": np.maximum(rng.normal(size=(32, 500)), 0),
        "negative": -np.abs(rng.normal(size=(32, 500))) - 3,
        "tailed": rng.standard_t(2, size=(32, 500)),
        "constant": np.full((32, 500), 2.5),
        "zero": np.zeros((32, 500)),
    }[kind]
    found = seen(values)
    made = METHODS[method](found, bits)
    low, high = min(found.low, 0), max(found.high, 0)
    assert low - 1e-6 <= made.min <= made.max <= high + 1e-6
    assert made.bits == bits and made.source == method


@pytest.mark.parametrize("method", ["percentile"])
def test_methods_that_cut_lose_less_on_heavy_tails(method):
    rng = np.random.default_rng(2)
    values = rng.normal(size=(64, 2000)).astype(np.float32)
    values[0, :3] = 60
    found = seen(values)

    def error(made):
        scale, zero = made.affine()
        steps = np.clip(np.rint(values / scale), -zero, 255 - zero)
        return np.median(np.abs(values - steps * scale))

    assert error(METHODS[method](found, 8)) < 0.5 * error(METHODS["minmax"](found, 8))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", ["gamma", "lognormal", "exponential"])
def test_no_method_cuts_what_eight_bits_can_hold(method, kind):
    """A Relu's values crowd at 0: a coarse histogram of them takes rounding for free."""
    rng = np.random.default_rng(0)
    values = {
        "gamma": rng.gamma(0.3, 1, size=(64, 4000)),
        "lognormal": rng.lognormal(0, 1, size=(64, 4000)),
        "exponential": rng.exponential(size=(64, 4000)),
    }[kind]
    found = seen(values)

    def squares(made):
        scale, zero = made.affine()
        steps = np.clip(np.rint(values / scale), -zero, 255 - zero)
        return np.square(values - steps * scale).mean()

    assert squares(METHODS[method](found, 8)) < 3 * squares(METHODS["minmax"](found, 8))


def test_what_fills_up_a_batch_is_not_counted():
    found = Observer("t")
    batch = np.float32([[1], [2], [99], [99]])
    found.add(batch, 2, 4)
    assert (found.high, len(found.highs)) == (2.0, 2)
