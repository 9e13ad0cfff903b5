"""The bytes of a fragment: what is written is read, and nothing else is taken for it."""

import struct

import attrs
import numpy as np
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from deepseek_store.codes import Code, Codec
from deepseek_store.stripes.fragment import (
    HEADER_NBYTES,
    BadFragment,
    FragmentHeader,
    TableRow,
    pack_header,
    pack_table,
    parse_header,
    parse_table,
    payload_lengths,
    payload_start,
)

CODES = [Code.parse(name) for name in ("replication(3)", "rs(6,3)", "lrc(12,2,2)", "lrc(216,4,8)")]
words = st.integers(0, 2**64 - 1)
headers = st.builds(
    FragmentHeader,
    store=st.binary(min_size=16, max_size=16),
    stripe=words,
    generation=words,
    index=st.integers(0, 2**16 - 1),
    code=st.sampled_from(CODES),
    width=st.integers(0, 2**16 - 1),
    nbytes=words,
    stripe_nbytes=words,
    xxh3=words,
    segment=words,
    tier=st.sampled_from(["hot", "warm", "cold"]),
    created_s=st.floats(allow_nan=False),
    table_nbytes=st.integers(0, 2**32 - 1),
    table_xxh3=words,
)
rows = st.lists(st.builds(TableRow, segment=words, nbytes=words, xxh3=words), min_size=1)
EXAMPLE = FragmentHeader(
    store=b"0123456789abcdef",
    stripe=7,
    generation=2,
    index=13,
    code=Code.parse("lrc(12,2,2)"),
    width=5,
    nbytes=1000,
    stripe_nbytes=2000,
    xxh3=99,
)


@given(headers)
def test_a_header_comes_back_as_it_was_written(header: FragmentHeader) -> None:
    packed = pack_header(header)
    assert len(packed) == HEADER_NBYTES <= 256
    assert parse_header(packed + b"payload") == header


def test_no_flipped_bit_goes_unseen() -> None:
    packed = bytearray(pack_header(EXAMPLE))
    for bit in range(8 * len(packed)):
        packed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BadFragment):
            parse_header(packed)
        packed[bit // 8] ^= 1 << bit % 8
    assert parse_header(packed) == EXAMPLE


def test_a_header_that_is_cut_off_is_none() -> None:
    packed = pack_header(EXAMPLE)
    for length in range(HEADER_NBYTES):
        with pytest.raises(BadFragment):
            parse_header(packed[:length])


def rehashed(body: bytes) -> bytes:
    return body + struct.pack("<Q", xxhash.xxh3_64_intdigest(body))


@pytest.mark.parametrize(
    ("at", "value", "said"),
    [(4, 9, "version 9"), (82, 7, "code is none"), (83, 0, "code is none"), (89, 5, "matrix")],
)
def test_a_format_of_the_future_is_named(at: int, value: int, said: str) -> None:
    body = bytearray(pack_header(EXAMPLE)[:-8])
    body[at] = value
    with pytest.raises(BadFragment, match=said):
        parse_header(rehashed(bytes(body)))


@given(rows, st.data())
def test_a_table_comes_back_and_no_flipped_bit_goes_unseen(
    table: list[TableRow], data: st.DataObject
) -> None:
    packed = pack_table(table)
    header = attrs.evolve(
        EXAMPLE,
        width=len(table),
        table_nbytes=len(packed),
        table_xxh3=xxhash.xxh3_64_intdigest(packed),
    )
    assert parse_table(header, packed + b"payload") == tuple(table)
    assert payload_start(header.code, len(table), header.index) == header.payload_start
    damaged = bytearray(packed)
    bit = data.draw(st.integers(0, 8 * len(packed) - 1))
    damaged[bit // 8] ^= 1 << bit % 8
    for bad in (damaged, packed[:-1]):
        with pytest.raises(BadFragment):
            parse_table(header, bad)


def test_a_data_fragment_has_no_table() -> None:
    data = attrs.evolve(EXAMPLE, index=0)
    assert parse_table(data, b"payload") == ()
    assert payload_start(data.code, data.width, 0) == HEADER_NBYTES
    with pytest.raises(BadFragment, match="cut off"):
        parse_table(attrs.evolve(data, table_nbytes=24, table_xxh3=0), b"x" * 24)


@given(
    st.sampled_from(["replication(3)", "rs(3,2)", "rs(6,3)", "lrc(12,2,2)", "lrc(7,3,2)"]),
    st.data(),
)
def test_what_a_parity_leaves_out_is_zeros(name: str, data: st.DataObject) -> None:
    code = Code.parse(name)
    lengths = data.draw(st.lists(st.integers(1, 40), min_size=1, max_size=code.k))
    right = payload_lengths(code, lengths)
    parities = Codec(code).encode([b"\xff" * length for length in lengths], max(lengths))
    assert right[: code.k] == (*lengths, *[0] * (code.k - len(lengths)))
    for parity, kept in zip(parities, right[code.k :], strict=True):
        assert not np.frombuffer(parity, np.uint8)[kept:].any()


def test_a_group_without_segments_has_no_parity() -> None:
    lengths = payload_lengths(Code.parse("lrc(140,4,6)"), [9] * 35)
    assert sum(length > 0 for length in lengths) == 35 + 1 + 6
