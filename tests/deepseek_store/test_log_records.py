"""Records and extents as bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_core import errors
from deepseek_store.errors import Corrupt
from deepseek_store.log import records as rec
from deepseek_store.log.records import Extent, Kind, Record

numbers = st.integers(0, (1 << 63) - 1)
records = st.builds(
    Record,
    kind=st.sampled_from([Kind.PUT, Kind.SHARD, Kind.DELETE]),
    key=st.text(max_size=60),
    generation=numbers,
    writer=numbers,
    move=numbers,
    created_s=st.floats(allow_nan=False),
    object_offset=numbers,
    object_nbytes=numbers,
    meta=st.binary(max_size=40),
    manifest=st.booleans(),
    payload=st.binary(max_size=200),
)


def bytes_of(record: Record, *, salt: int = 0, offset: int = 0) -> bytes:
    return b"".join(rec.encode(record, salt=salt, offset=offset))


@given(record=records, salt=st.integers(0, (1 << 64) - 1), offset=st.integers(0, 1 << 40))
def test_a_record_comes_back_as_it_was(record: Record, salt: int, offset: int) -> None:
    data = bytes_of(record, salt=salt, offset=offset)
    assert len(data) % 8 == 0
    assert len(data) == rec.aligned(rec.front_nbytes(record) + rec.nbytes_of(record.payload))
    header = rec.verified_header(data, 0, salt=salt, offset=offset)
    assert header is not None
    front = header.front_nbytes
    payload = data[front : front + header.payload_nbytes]
    assert rec.record_of(header, data[rec.HEADER_NBYTES : front], payload) == record
    assert header.payload_xxh3 == rec.hash_of(payload)
    assert header.nbytes == len(data)


def test_a_header_takes_at_most_96_bytes() -> None:
    assert len(bytes_of(Record(kind=Kind.DELETE, key="", generation=1, writer=1))) <= 96


def test_any_flipped_bit_of_header_key_or_meta_is_noticed() -> None:
    record = Record(kind=Kind.PUT, key="a/b", generation=7, writer=2, meta=b"m", payload=b"xyz")
    data = bytes_of(record, salt=5, offset=64)
    header = rec.verified_header(data, 0, salt=5, offset=64)
    assert header is not None
    for bit in range(header.front_nbytes * 8):
        bad = bytearray(data)
        bad[bit // 8] ^= 1 << bit % 8
        assert rec.verified_header(bad, 0, salt=5, offset=64) is None


def test_a_record_counts_only_where_it_was_written() -> None:
    data = bytes_of(Record(kind=Kind.PUT, key="k", generation=1, writer=1), salt=5, offset=64)
    assert rec.verified_header(data, 0, salt=5, offset=64) is not None
    assert rec.verified_header(data, 0, salt=5, offset=72) is None
    assert rec.verified_header(data, 0, salt=6, offset=64) is None
    assert rec.salt_of(bytes(16), 1) != rec.salt_of(bytes(16), 2)
    assert rec.salt_of(bytes(16), 1) != rec.salt_of(b"x" * 16, 1)


def test_a_key_of_4096_bytes_is_taken_and_one_of_4097_is_not() -> None:
    for key in ("k" * 4096, "ü" * 2048):
        data = bytes_of(Record(kind=Kind.PUT, key=key, generation=1, writer=1))
        header = rec.verified_header(data, 0, salt=0, offset=0)
        assert header is not None
        assert data[rec.HEADER_NBYTES :][: header.key_nbytes].decode() == key
    for key in ("k" * 4097, "ü" * 2048 + "k"):
        with pytest.raises(errors.InputError, match="4097 bytes"):
            Record(kind=Kind.PUT, key=key, generation=1, writer=1)


@pytest.mark.parametrize(
    "field", ["generation", "writer", "move", "object_offset", "object_nbytes"]
)
@pytest.mark.parametrize("number", [-1, 1 << 63])
def test_numbers_out_of_range_are_refused(field: str, number: int) -> None:
    fields = {"kind": Kind.PUT, "key": "k", "generation": 1, "writer": 1, field: number}
    with pytest.raises(errors.InputError, match="out of range"):
        Record(**fields)


def test_half_of_a_surrogate_pair_is_no_key() -> None:
    record = Record(kind=Kind.PUT, key="\ud800", generation=1, writer=1)
    with pytest.raises(errors.InputError, match="not text"):
        rec.prepare(record)


def test_views_of_wider_items_are_written_byte_by_byte() -> None:
    payload = memoryview(bytes(range(32))).cast("I")
    record = Record(kind=Kind.PUT, key="k", generation=1, writer=1, payload=payload)
    plain = Record(kind=Kind.PUT, key="k", generation=1, writer=1, payload=bytes(payload))
    assert bytes_of(record) == bytes_of(plain)


@given(st.lists(st.builds(Extent, numbers, numbers, numbers, st.integers(0, (1 << 64) - 1))))
def test_extents_come_back_as_they_were(extents: list[Extent]) -> None:
    packed = rec.pack_extents(extents)
    assert len(packed) == 32 * len(extents)
    assert rec.unpack_extents(packed) == tuple(extents)


def test_what_is_no_list_of_extents_is_refused() -> None:
    with pytest.raises(Corrupt, match="33 bytes"):
        rec.unpack_extents(bytes(33))
