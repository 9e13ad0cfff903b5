"""Packets of gradients: what goes in comes out, in few bits; whatever else comes in is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_core import errors
from deepseek_parallel.codec import gaps, levels, packet
from deepseek_parallel.codec.compressor import TopK
from deepseek_parallel.codec.select import largest, num_kept

DRAWS = {
    "normal": lambda draw, n: draw.standard_normal(n),
    "heavy": lambda draw, n: draw.standard_t(2, n),
    "sparse": lambda draw, n: draw.standard_normal(n) * (draw.random(n) < 0.004),
    "equal": lambda draw, n: np.ones(n),
    "sorted": lambda draw, n: np.sort(draw.standard_normal(n)),
    "periodic": lambda draw, n: np.tile([9.0, *[0.1] * 6], n // 7 + 1)[:n],
}


def drawn(kind, length, seed=0):
    return DRAWS[kind](np.random.default_rng(seed), length).astype(np.float32)


places_in_a_vector = st.integers(1, 5000).flatmap(
    lambda length: st.tuples(st.just(length), st.sets(st.integers(0, length - 1)))
)


@given(places_in_a_vector)
def test_places_come_back(given_):
    length, chosen = given_
    places = np.array(sorted(chosen), np.int64)
    data = gaps.encode(places, length)
    np.testing.assert_array_equal(gaps.decode(data, len(places), length), places)
    assert len(data) <= gaps.most_nbytes(length, len(places)) if len(places) else not data


@given(places_in_a_vector, st.integers(0, 2**32 - 1))
def test_a_packet_comes_back_and_fits_its_slot(given_, seed):
    length, chosen = given_
    places = np.array(sorted(chosen), np.int64)
    draw = np.random.default_rng(seed)
    values = (draw.standard_t(1, len(places)) * 10.0 ** draw.integers(-30, 30)).astype(np.float32)
    places, values = places[values != 0], values[values != 0]
    data = packet.encode(places, values, length)
    back = packet.decode(data, length)
    np.testing.assert_array_equal(back.places, places)
    assert (np.sign(back.values) == np.sign(values)).all()
    if len(places):
        magnitudes = np.abs(values).astype(np.float64)
        error = np.abs(np.abs(back.values.astype(np.float64)) - magnitudes)
        assert error.max() <= levels.most_error(magnitudes.min(), magnitudes.max())
        assert np.abs(back.values).max() == magnitudes.max()
    for most in (len(places), len(places) + 3, length):
        if len(places) <= most <= length:
            slot = packet.padded(data, packet.slot_nbytes(length, most))
            assert len(slot) == packet.slot_nbytes(length, most)
            assert packet.unpadded(slot) == data


def test_fewer_values_never_take_a_longer_packet():
    """A slot is made for the most values that a rank may send."""
    for length in range(1, 260):
        longest = 0
        for num in range(1, length + 1):
            bits = gaps.most_nbytes(length, num) + levels.nbytes_of(num)
            longest = max(longest, bits)
            assert packet.slot_nbytes(length, num) - packet.slot_nbytes(length, 1) >= (
                longest - gaps.most_nbytes(length, 1) - levels.nbytes_of(1) - 2
            )
            assert longest <= bits + 2


@pytest.mark.parametrize("length", [300_000, 1_000_003])
def test_one_percent_takes_at_most_12_2_bits_each(length):
    """Wherever they lie, 12.6: those of a sorted vector lie at its two ends."""
    kept = num_kept(length, 0.01)
    for kind, most in (("normal", 12.2), ("heavy", 12.2), ("sorted", 12.6)):
        assert TopK().pack(drawn(kind, length)).nbytes * 8 / kept <= most, kind


@pytest.mark.parametrize("kind", DRAWS)
@pytest.mark.parametrize("length", [1, 7, 1000, 300_000])
@pytest.mark.parametrize("ratio", [0.001, 0.01, 0.3, 1.0])
def test_the_largest_are_those_of_a_full_sort(kind, length, ratio):
    array = drawn(kind, length)
    num = num_kept(length, ratio)
    found = largest(array, num)
    assert (np.diff(found) > 0).all()
    magnitudes = np.abs(array)
    expected = np.sort(magnitudes)[length - num :]
    np.testing.assert_array_equal(np.sort(magnitudes[found]), expected[expected > 0])


@pytest.mark.parametrize("length", [1000, 300_000])
def test_of_equal_magnitudes_the_first_are_taken(length):
    array = np.where(np.arange(length) % 3, np.float32(-2), np.float32(1))
    array[[5, length - 1]] = 7
    twos = np.flatnonzero(array == -2)
    for num in (1, 2, 9, length // 100, len(twos)):
        expected = np.sort(
            np.append(twos[: num - 2], [5, length - 1])[-num:] if num > 2 else [5, length - 1][:num]
        )
        np.testing.assert_array_equal(largest(array, num), expected)


@given(st.lists(st.floats(-44, 38), min_size=1, max_size=60), st.integers(0, 2**32 - 1))
def test_a_code_is_never_farther_off_than_zero_would_be(exponents, seed):
    """Else error feedback would grow, where one gradient is far larger than the others."""
    magnitudes = (10.0 ** np.array(exponents)).astype(np.float32)
    values = magnitudes * np.random.default_rng(seed).choice([-1, 1], len(magnitudes)).astype(
        np.float32
    )
    codes, low, high = levels.encode(values)
    back = levels.decode(codes, len(values), low, high).astype(np.float64)
    assert (np.abs(back - values) <= np.abs(values.astype(np.float64)) * (1 + 1e-6)).all()


def test_a_sample_that_misleads_changes_no_answer():
    """Every sampled magnitude is large, and all others are small."""
    array = np.full(1_000_000, 0.001, np.float32)
    array[:: len(array) // 16_384] = 1.0
    array[1:40_000:2] = 0.5
    found = largest(array, 30_000)
    assert len(found) == 30_000
    np.testing.assert_array_equal(np.sort(array[found])[:1], [0.5])


def packets():
    array = drawn("normal", 5000)
    places = largest(array, 50)
    return packet.encode(places, array[places], 5000)


@given(st.binary(max_size=200))
def test_foreign_bytes_are_refused(data):
    with pytest.raises(errors.InputError):
        packet.decode(data, 5000)


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_flipped_byte_is_refused(place, flip):
    data = bytearray(packets())
    data[place % len(data)] ^= flip
    with pytest.raises(errors.InputError):
        packet.decode(bytes(data), 5000)


@given(st.binary(max_size=300), st.integers(0, 400), st.integers(1, 5000))
def test_places_of_any_bytes_are_within_the_vector_or_refused(data, num, length):
    """Below the checksum, as of a rank that lies."""
    try:
        places = gaps.decode(data, num, length)
    except errors.InputError:
        return
    assert len(places) == num
    assert (np.diff(places) > 0).all()
    assert not num or 0 <= places[0] <= places[-1] < length


@given(st.binary(max_size=120))
def test_a_head_of_any_bytes_is_refused_or_read(body):
    """With a checksum that is right."""
    import struct
    import zlib

    data = struct.pack("<I", zlib.crc32(body)) + body
    try:
        found = packet.decode(data, 1000)
    except errors.InputError:
        return
    assert found.bad is not None or np.isfinite(found.values).all()


def test_a_packet_of_a_longer_vector_is_refused():
    array = drawn("normal", 5000)
    array[4999] = 100
    places = largest(array, 50)
    data = packet.encode(places, array[places], 5000)
    with pytest.raises(errors.InputError):
        packet.decode(data, 4000)


def test_a_vector_that_is_not_finite_is_told():
    assert packet.decode(packet.encode_bad(7), 5000).bad == 7
    assert len(packet.encode_bad(7)) + 4 <= packet.slot_nbytes(1, 1)


@pytest.mark.parametrize("ratio", [0, -1, 1.5, float("nan")])
def test_a_ratio_that_can_not_be_is_refused(ratio):
    with pytest.raises(errors.ConfigError, match="ratio must be"):
        TopK(ratio)
