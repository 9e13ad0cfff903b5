"""Packets of gradients: what goes in comes out, in few bits; whatever else comes in is refused."""

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_core import errors
from deepseek_parallel.codec import bits, gaps, levels, packet
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
    width = gaps.low_bits(length, len(places))
    above, low = gaps.split(places, width)
    np.testing.assert_array_equal(gaps.joined(above, low, width, length), places)


@given(st.lists(st.integers(0, 300)), st.integers(0, 12), st.data())
def test_rows_of_numbers_come_back_from_their_bits(counts, width, data):
    row = np.array(counts, np.int64)
    octets = np.frombuffer(bits.as_ones(row), np.uint8)
    np.testing.assert_array_equal(bits.of_ones(octets, len(row)), row)
    fields = np.array([data.draw(st.integers(0, 2**width - 1)) for _ in counts], np.int64)
    octets = np.frombuffer(bits.as_fields(fields, width), np.uint8)
    assert len(octets) == bits.octets_of(width * len(fields))
    np.testing.assert_array_equal(bits.of_fields(octets, len(fields), width), fields)


@given(places_in_a_vector, st.integers(0, 2**32 - 1))
def test_a_packet_comes_back(given_, seed):
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
        low, high = levels.span_of(values)
        magnitudes = np.abs(values).astype(np.float64)
        error = np.abs(np.abs(back.values.astype(np.float64)) - magnitudes)
        assert error.max() <= levels.most_error(low, high)
        assert magnitudes.max() <= np.abs(back.values).max() <= magnitudes.max() * (1 + 1 / 128)


@given(places_in_a_vector, st.integers(0, 2**32 - 1))
def test_a_packet_without_its_least_values_fits_its_slot(given_, seed):
    length, chosen = given_
    places = np.array(sorted(chosen), np.int64)
    values = np.random.default_rng(seed).standard_t(1, len(places)).astype(np.float32)
    places, values = places[values != 0], values[values != 0]
    room = packet.room_nbytes(length, len(places))
    data = packet.encode_within(places, values, length, room)
    assert len(data) <= room
    assert len(packet.padded(data, packet.slot_nbytes(length, len(places)))) == room + 4
    assert packet.unpadded(packet.padded(data, room + 4)) == data
    kept = packet.decode(data, length).places
    assert set(kept) <= set(places)
    left = np.abs(values[~np.isin(places, kept)])
    assert not len(left) or left.max() <= np.abs(values[np.isin(places, kept)]).min()
    assert len(left) <= 4 + len(places) // 4  # whatever they are, and wherever they lie


def test_random_places_mostly_fit_and_odd_ones_leave_a_few():
    length, num = 50_000, 500
    room = packet.room_nbytes(length, num)
    draw = np.random.default_rng(0)
    values = drawn("normal", length)
    values = values[largest(values, num)]
    whole = 0
    for _ in range(100):
        places = np.sort(draw.choice(length, num, replace=False))
        found = packet.decode(packet.encode_within(places, values, length, room), length)
        whole += len(found.places) == num
        assert len(found.places) >= num - 10
    assert whole >= 30
    ends = np.concatenate([np.arange(num // 2), length - 1 - np.arange(num // 2)[::-1]])
    found = packet.decode(packet.encode_within(ends, values, length, room), length)
    assert 0.95 * num <= len(found.places) < num


@pytest.mark.parametrize("kind", ["normal", "heavy", "sorted", "periodic"])
def test_where_much_is_kept_all_of_it_fits(kind):
    length = 20_000
    for share in (0.2, 0.5, 1.0):
        places = largest(drawn(kind, length), num_kept(length, share))
        room = packet.room_nbytes(length, num_kept(length, share))
        values = drawn(kind, length)[places]
        found = packet.decode(packet.encode_within(places, values, length, room), length)
        assert len(found.places) >= 0.995 * len(places)


@pytest.mark.parametrize("magnitude", [1e-45, 1e-38, 1.0, 3.3895e38, 3.4028e38])
def test_one_magnitude_comes_back_as_it_is_at_any_size(magnitude):
    value = np.float32([magnitude])
    back = packet.decode(packet.encode(np.array([2]), value, 5), 5).values
    assert np.isfinite(back).all()
    assert abs(back[0] - value[0]) <= value[0] / 128


@pytest.mark.parametrize("length", [100_000, 300_000, 1_000_003])
def test_one_percent_takes_at_most_12_2_bits_each_wherever_it_lies(length):
    """Those of a sorted vector lie at its two ends."""
    kept = num_kept(length, 0.01)
    for kind, most in (("normal", 11.6), ("heavy", 11.6), ("sorted", 12.2)):
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
    low, high = levels.span_of(values)
    codes = levels.codes_of(values, low, high)
    back = levels.values_of(codes, values < 0, low, high).astype(np.float64)
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


@given(st.binary(max_size=120), st.integers(0, 5000))
def test_any_bytes_below_a_right_checksum_are_refused_or_read(body, length):
    """As of a rank that lies."""
    check(zlib.crc32(body).to_bytes(4, "little") + body, length)


@given(st.binary(max_size=200), st.integers(0, 60), st.integers(0, 3), st.integers(0, 5000))
def test_any_bytes_below_a_right_head_are_refused_or_read(rest, num, k, length):
    counted = (num << 2 | k) << 15 | levels.upper_half(2.0)
    head = counted.to_bytes(bits.octets_of(17 + max(length.bit_length(), 6)), "little")
    body = np.float32(0.5).tobytes() + head + rest
    check(zlib.crc32(body).to_bytes(4, "little") + body, length)


def check(data, length):
    """Refused, or places in the vector with values that are numbers."""
    try:
        found = packet.decode(data, length)
    except errors.InputError:
        return
    assert np.isfinite(found.values).all() and len(found.values) == len(found.places)
    assert (np.diff(found.places) > 0).all()
    assert not len(found.places) or 0 <= found.places[0] <= found.places[-1] < length


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
