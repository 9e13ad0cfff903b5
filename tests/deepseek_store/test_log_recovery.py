"""What a segment's bytes say when they are whole, torn, or damaged."""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepseek_store.errors import Corrupt, ForeignStore
from deepseek_store.log import records as rec
from deepseek_store.log.records import Extent, Kind, Placed, Record
from deepseek_store.log.scan import Scan, scan
from deepseek_store.log.segment import (
    HEADER_NBYTES,
    TRAILER_NBYTES,
    SegmentHeader,
    SegmentLayout,
    footer_header,
    parse_footer,
    parse_segment_header,
    read_footer,
    segment_nbytes,
)

STORE = b"sixteen bytes id"
HEADER = SegmentHeader(store_id=STORE, segment=7, writer=3, created_s=1.25)
Group = Sequence[Sequence[Record]]  # appends, each of some records


def put(generation: int, payload: bytes = b"", *, kind: Kind = Kind.PUT, key: str = "k") -> Record:
    return Record(kind=kind, key=key, generation=generation, writer=3, payload=payload)


def segment_of(groups: Sequence[Group], *, sealed: bool = False) -> tuple[bytes, list[int]]:
    """Its bytes, and where each group ends."""
    layout, parts, ends = SegmentLayout(HEADER), [HEADER.to_bytes()], [HEADER_NBYTES]
    for group in groups:
        for batch in group:
            for i, record in enumerate(batch):
                layout.place(rec.prepare(record, batch_start=i == 0), parts)
        parts.append(layout.mark())
        layout.commit()
        ends.append(layout.end)
    if sealed:
        parts.append(layout.footer())
    return b"".join(parts), ends


def generations(scanned: Scan) -> list[int]:
    return [placed.record.generation for placed in scanned.placed]


def some_groups(rng: random.Random, count: int = 5) -> list[list[list[Record]]]:
    numbers = iter(range(1, 1000))
    return [
        [
            [put(next(numbers), rng.randbytes(rng.randrange(60))) for _ in range(rng.randint(1, 3))]
            for _ in range(rng.randint(1, 3))
        ]
        for _ in range(count)
    ]


def flat(groups: Sequence[Group]) -> list[Record]:
    return [record for group in groups for batch in group for record in batch]


@pytest.mark.parametrize("sealed", [False, True])
def test_a_whole_segment_reads_as_it_was_written(sealed: bool) -> None:
    groups = some_groups(random.Random(1))
    data, ends = segment_of(groups, sealed=sealed)
    found = scan(data, segment=7, store_id=STORE)
    assert [placed.record for placed in found.placed] == flat(groups)
    assert found.end == (len(data) if sealed else ends[-1])
    assert (found.sealed, found.torn_nbytes, found.faults) == (sealed, 0, ())
    assert found.header == HEADER
    for placed in found.placed:
        at = placed.payload_offset
        assert data[at : at + placed.payload_nbytes] == placed.record.payload
        assert placed.extent == Extent(
            7, at, placed.payload_nbytes, rec.hash_of(data[at:][: placed.payload_nbytes])
        )


def test_preallocated_room_is_the_normal_end() -> None:
    data, ends = segment_of(some_groups(random.Random(2)))
    found = scan(data + bytes(100_000), segment=7, store_id=STORE)
    assert (found.end, found.torn_nbytes, found.faults) == (ends[-1], 0, ())


def test_a_scan_can_begin_in_front_of_any_mark_and_behind_it() -> None:
    groups = some_groups(random.Random(3))
    data, ends = segment_of(groups)
    for i, end in enumerate(ends):
        for start in {end, max(HEADER_NBYTES, end - rec.HEADER_NBYTES)}:
            found = scan(data, segment=7, store_id=STORE, start=start)
            assert [placed.record for placed in found.placed] == flat(groups[i:])
            assert (found.end, found.faults) == (ends[-1], ())


@pytest.mark.parametrize("room", [0, 4096])
def test_a_segment_cut_anywhere_keeps_exactly_the_groups_before(room: int) -> None:
    groups = some_groups(random.Random(4))
    data, ends = segment_of(groups)
    for cut in range(HEADER_NBYTES, len(data) + 1):
        found = scan(data[:cut] + bytes(room), segment=7, store_id=STORE)
        whole = max(i for i, end in enumerate(ends) if end <= cut)
        if room and not any(data[cut:]):
            whole = len(groups)
        assert [placed.record for placed in found.placed] == flat(groups[:whole])
        assert found.end == ends[whole]
        assert found.torn_nbytes <= cut - ends[whole]
        assert found.faults == ()


@pytest.mark.parametrize("sealed", [False, True])
def test_no_flipped_byte_gives_wrong_bytes_or_goes_unreported(sealed: bool) -> None:
    deletes = [put(90, kind=Kind.DELETE, key="d")]
    groups = [[[put(1, b"one"), put(2, b"")]], [[put(3, b"three" * 9)], deletes], [[put(4)]]]
    data, ends = segment_of(groups, sealed=sealed)
    wanted = {record.generation: record for record in flat(groups)}
    for at in range(len(data)):
        for flip in (0x01, 0x80, 0xFF):
            bad = bytearray(data)
            bad[at] ^= flip
            found = scan(bad, segment=7, store_id=STORE)
            for placed in found.placed:
                assert placed.record == wanted[placed.record.generation]
            missing = set(wanted) - set(generations(found))
            last = not sealed and at >= ends[-2]
            assert not missing or found.faults or (last and found.torn_nbytes)
            # Only what was hit is gone: groups elsewhere all count.
            hit = sum(end <= at for end in ends)
            for i, group in enumerate(groups, 1):
                if i != hit:
                    assert missing.isdisjoint(record.generation for record in flat([group]))


@settings(max_examples=150)
@given(seed=st.integers(0, 1 << 32))
def test_rotten_stretches_are_reported_and_the_rest_counts(seed: int) -> None:
    rng = random.Random(seed)
    groups = some_groups(rng, 6)
    data, ends = segment_of(groups)
    bad = bytearray(data)
    start = rng.randrange(HEADER_NBYTES, ends[-2])
    nbytes = rng.choice((1, 8, 64, 300))
    end = min(start + nbytes, ends[-2])
    bad[start:end] = rng.choice((bytes, rng.randbytes))(end - start)
    found = scan(bad, segment=7, store_id=STORE)
    by_generation = {record.generation: record for record in flat(groups)}
    assert all(by_generation[one.record.generation] == one.record for one in found.placed)
    hurt = {
        i for i in range(len(groups)) if bad[ends[i] : ends[i + 1]] != data[ends[i] : ends[i + 1]]
    }
    there = set(generations(found))
    for i, group in enumerate(groups):
        if i not in hurt:
            assert {record.generation for record in flat([group])} <= there
    if len(there) < len(by_generation):
        assert found.faults
    assert found.end == ends[-1]
    assert found.torn_nbytes == 0


def test_a_lost_mark_is_corruption_if_a_good_one_follows_and_a_torn_tail_if_not() -> None:
    groups = [[[put(1, b"a")]], [[put(2, b"b")]], [[put(3, b"c")]]]
    data, ends = segment_of(groups)
    middle = bytearray(data)
    middle[ends[2] - 10] ^= 1
    found = scan(middle, segment=7, store_id=STORE)
    assert generations(found) == [1, 2, 3]
    assert [fault.offset for fault in found.faults] == [ends[2] - rec.HEADER_NBYTES]
    last = bytearray(data)
    last[ends[3] - 10] ^= 1
    found = scan(last, segment=7, store_id=STORE)
    assert generations(found) == [1, 2]
    assert found.faults == ()
    assert (found.end, found.torn_nbytes) == (ends[2], len(data) - ends[2])


def test_damage_at_the_end_is_corruption_where_an_index_knew_better() -> None:
    data, ends = segment_of([[[put(1, b"a")]], [[put(2, b"b" * 50), put(3, b"c")]]])
    bad = bytearray(data)
    bad[ends[1] + rec.HEADER_NBYTES + 5] ^= 1
    found = scan(bad, segment=7, store_id=STORE, synced=ends[2])
    assert generations(found) == [1, 3]
    assert found.faults
    assert (found.end, found.torn_nbytes) == (ends[2], 0)
    bad[ends[1] :] = bytes(len(bad) - ends[1])
    found = scan(bad, segment=7, store_id=STORE, synced=ends[2])
    assert generations(found) == [1]
    assert [(fault.offset, fault.nbytes) for fault in found.faults] == [
        (ends[1], ends[2] - ends[1])
    ]
    assert found.end == ends[2]


def test_a_delete_does_not_count_when_what_was_to_replace_it_is_damaged() -> None:
    rename = [put(2, b"moved here", key="new"), put(3, kind=Kind.DELETE, key="old")]
    other = [put(4, kind=Kind.DELETE, key="other")]
    data, ends = segment_of([[[put(1, b"a", key="old")]], [rename, other], [[put(5)]]])
    bad = bytearray(data)
    bad[ends[1] + rec.HEADER_NBYTES + 6] ^= 1
    found = scan(bad, segment=7, store_id=STORE)
    assert generations(found) == [1, 4, 5]
    assert any("withheld" in fault.reason for fault in found.faults)


def test_a_segment_stored_in_a_record_is_only_its_payload() -> None:
    inner, _ = segment_of([[[put(99, b"inner")]]], sealed=True)
    data, ends = segment_of([[[put(1, inner)]], [[put(2, b"x")]]])
    assert generations(scan(data, segment=7, store_id=STORE)) == [1, 2]
    bad = bytearray(data)
    bad[ends[0]] ^= 1  # the outer header: the search for the next record passes the payload
    found = scan(bad, segment=7, store_id=STORE)
    assert generations(found) == [2]
    assert len(found.faults) == 1


def test_old_records_in_reused_room_do_not_count() -> None:
    data, _ = segment_of([[[put(1, b"a")]], [[put(2, b"b")]]])
    shorter, _ = segment_of([[[put(3, b"a")]]])
    assert generations(scan(shorter + bytes(64) + data, segment=7, store_id=STORE)) == [3]
    other = SegmentHeader(store_id=STORE, segment=8, writer=3, created_s=1.0)
    found = scan(other.to_bytes() + data[HEADER_NBYTES:], segment=8, store_id=STORE)
    assert (found.placed, found.end) == ([], HEADER_NBYTES)


def test_a_mark_stands_only_for_the_records_that_it_was_written_for() -> None:
    ours, ends = segment_of([[[put(1, b"same length"), put(2, b"x")]]])
    theirs, _ = segment_of([[[put(3, b"as long too"), put(2, b"x")]]])
    record = put(1, b"same length")
    first = ends[0] + rec.aligned(rec.front_nbytes(record) + rec.nbytes_of(record.payload))
    mixed = theirs[:first] + ours[first:]
    assert rec.verified_header(mixed, ends[0], salt=rec.salt_of(STORE, 7), offset=ends[0])
    found = scan(mixed, segment=7, store_id=STORE)
    assert (found.placed, found.end, found.torn_nbytes > 0) == ([], HEADER_NBYTES, True)


def test_a_damaged_segment_header_hides_nothing() -> None:
    for sealed in (False, True):
        data, _ = segment_of([[[put(1, b"a")]], [[put(2, b"b")]]], sealed=sealed)
        bad = b"\xff" * HEADER_NBYTES + data[HEADER_NBYTES:]
        found = scan(bad, segment=7, store_id=STORE)
        assert generations(found) == [1, 2]
        assert found.faults[0].offset == 0
    found = scan(bad, segment=7)  # the footer has a copy
    assert generations(found) == [1, 2]
    assert found.header == HEADER


def test_empty_and_unwritten_files_are_no_faults() -> None:
    for data in (b"", bytes(10), bytes(5000)):
        found = scan(data, segment=7, store_id=STORE)
        assert (found.placed, found.end, found.torn_nbytes, found.faults) == ([], 0, 0, ())


def test_foreign_segments_are_refused() -> None:
    data, _ = segment_of([[[put(1)]]])
    with pytest.raises(ForeignStore, match="belongs to store"):
        scan(data, segment=7, store_id=b"another store id")
    with pytest.raises(ForeignStore, match="holds segment"):
        scan(data, segment=8, store_id=STORE)
    later = bytearray(data[:56])
    later[8] = 2
    later += rec.hash_of(bytes(later)).to_bytes(8, "little") + data[HEADER_NBYTES:]
    with pytest.raises(ForeignStore, match="format 2"):
        scan(later, segment=7, store_id=STORE)


def test_headers_alone_tell_where_everything_is() -> None:
    data, _ = segment_of(some_groups(random.Random(6)), sealed=True)
    hopping = scan(data, segment=7, store_id=STORE, verify_payload=False)
    assert hopping == scan(data, segment=7, store_id=STORE)


def bare(placed: Sequence[Placed]) -> list[tuple[object, ...]]:
    return [
        (one.record.key, one.record.generation, one.record.meta, one.extent, one.offset, one.end)
        for one in placed
    ]


def build_segment(records):
    """A whole sealed segment of these records: its bytes in parts, and where each lies."""
    layout = SegmentLayout(HEADER)
    parts = [HEADER.to_bytes()]
    for record in records:
        layout.place(rec.prepare(record), parts)
    parts.append(layout.mark())
    placed = layout.commit()
    parts.append(layout.footer())
    return parts, placed


def test_a_built_segment_can_be_read_from_its_footer_alone() -> None:
    extents = rec.pack_extents([Extent(1, 2, 3, 4), Extent(5, 6, 7, 8)])
    manifest = Record(
        kind=Kind.PUT, key="big", generation=9, writer=3, manifest=True, payload=extents, meta=b"mm"
    )
    records = [put(5, bytes(9000), kind=Kind.SHARD), put(6, b"abc", key="ä" * 2048), manifest]
    parts, placed = build_segment(records)
    data = b"".join(parts)
    assert len(data) == segment_nbytes(records)
    footer = read_footer(data[-TRAILER_NBYTES:], len(data))
    assert footer is not None
    assert (footer.min_generation, footer.count) == (5, 3)
    tail = data[footer.offset : footer.offset + footer.nbytes]
    found = parse_footer(tail)
    assert bare(found) == bare(placed)
    assert [one.record.payload for one in found] == [b"", b"", extents]
    assert footer_header(tail) == HEADER
    assert bare(scan(data, segment=7).placed) == bare(placed)


def test_a_damaged_footer_is_refused_and_the_segment_still_reads() -> None:
    data, _ = segment_of(some_groups(random.Random(7)), sealed=True)
    footer = read_footer(data, len(data))
    assert footer is not None
    whole = parse_footer(data[footer.offset :])
    for at in range(footer.offset, len(data) - TRAILER_NBYTES):
        bad = bytearray(data)
        bad[at] ^= 0x40
        with suppress(Corrupt):
            assert bare(parse_footer(bad[footer.offset :])) == bare(whole)
        assert bare(scan(bad, segment=7, store_id=STORE).placed) == bare(whole)
    for at in range(len(data) - TRAILER_NBYTES, len(data)):
        bad = bytearray(data)
        bad[at] ^= 0x40
        assert read_footer(bad, len(bad)) is None
    assert read_footer(data, len(data) + 1) is None
    assert read_footer(b"", 0) is None
    assert parse_segment_header(b"") is None
