"""Bytes that are handed over piece by piece: whole or not at all, and safe from the collector."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_store_full_disk import FullDisk

from deepseek_core import errors
from deepseek_store import Policy, Store
from deepseek_store.errors import GenerationMismatch, KeyRefused
from deepseek_store.write.upload import Cutter

SMALL = Policy(warm_fragment_nbytes=256 << 10, sizing=64 << 10)


@pytest.fixture
def store(tmp_path):
    with Store.init(tmp_path / "store", policy=SMALL) as store:
        yield store


@given(st.lists(st.binary(max_size=40)), st.integers(1, 17))
def test_pieces_are_the_same_bytes_in_one_length(chunks, nbytes):
    cutter = Cutter(nbytes)
    whole = b"".join(chunks)
    pieces = [bytes(piece) for chunk in chunks for piece in cutter.feed(chunk)]
    assert cutter.held_nbytes == len(whole) % nbytes
    rest = bytes(cutter.rest())
    assert all(len(piece) == nbytes for piece in pieces)
    assert b"".join(pieces) + rest == whole


@pytest.mark.parametrize("nbytes", [0, 1, 64 << 10, (64 << 10) + 1, 1_000_000])
def test_an_upload_is_an_object_once_it_is_committed(store, nbytes):
    content = os.urandom(nbytes)
    with store.begin("a", meta={"epoch": "7"}) as upload:
        for start in range(0, nbytes, 9_999):
            upload.write(content[start : start + 9_999])
        assert upload.nbytes == nbytes
        assert not store.exists("a")
        receipt = upload.commit()
    assert (receipt.key, receipt.nbytes) == ("a", nbytes)
    assert store.stat("a").generation == receipt.generation
    assert store.stat("a").meta == {"epoch": "7"}
    assert bytes(store.get("a")) == content


def test_an_upload_that_is_not_committed_is_garbage(store):
    with store.begin("a") as upload:
        upload.write(os.urandom(2_000_000))
    assert not store.exists("a")
    store.parts.journal.seal()
    assert store.maintenance.gc().freed_nbytes > 1_000_000
    with pytest.raises(errors.InputError, match="has ended"):
        upload.write(b"more")
    with pytest.raises(errors.InputError, match="has ended"):
        upload.commit()


def test_the_collector_leaves_what_is_under_way(store):
    content = os.urandom(3_000_000)
    with store.begin("a") as upload:
        upload.write(content)
        store.parts.journal.seal()
        store.maintenance.gc()
        upload.write(content)
        store.maintenance.gc()
        upload.commit()
    assert bytes(store.get("a")) == content * 2
    store.maintenance.gc()
    assert bytes(store.get("a")) == content * 2


def test_a_stream_of_chunks_is_left_alone_too(store):
    content = os.urandom(1_000_000)

    def chunks():
        for _ in range(4):
            yield content
            store.maintenance.gc()

    store.put_stream("a", chunks())
    assert bytes(store.get("a")) == content * 4


def test_what_is_sealed_while_the_collector_looks_is_not_taken_for_dead(store, monkeypatch):
    from deepseek_store.move import gc as collector

    content = os.urandom(200_000)
    take_census = collector.take_census

    def census_and_then_a_put(*args, **options):
        census = take_census(*args, **options)
        store.put("late", content)
        store.parts.journal.seal()
        return census

    monkeypatch.setattr(collector, "take_census", census_and_then_a_put)
    store.maintenance.gc()
    assert bytes(store.get("late")) == content


def test_the_collector_of_another_process_leaves_it_too(tmp_path):
    content = os.urandom(1_000_000)
    Store.init(tmp_path / "s", policy=SMALL).close()
    with Store(tmp_path / "s", shared=True) as one, Store(tmp_path / "s", shared=True) as two:
        with one.begin("a") as upload:
            upload.write(content)
            one.parts.journal.seal()
            assert two.maintenance.gc().segments == 0
            upload.commit()
        assert bytes(two.get("a")) == content
        one.delete("a")
    with Store(tmp_path / "s") as store:
        store.maintenance.gc()
        assert not any(row.nbytes > 100_000 for row in store.parts.state.segments.values())


def test_a_commit_compares_with_what_is_there(store):
    first = store.put("a", b"1")
    with store.begin("a") as upload, pytest.raises(GenerationMismatch):
        upload.write(b"2")
        upload.commit(expect=0)
    with store.begin("a") as upload:
        upload.write(b"2")
        upload.commit(expect=first.generation)
    assert bytes(store.get("a")) == b"2"


def test_a_chunk_may_be_changed_after_it_was_handed_over(store):
    chunk = bytearray(100_000)
    with store.begin("a") as upload:
        for number in range(5):
            chunk[:] = bytes([number]) * len(chunk)
            upload.write(chunk)
        upload.commit()
    assert bytes(store.get("a")) == b"".join(bytes([n]) * 100_000 for n in range(5))


def test_what_is_no_buffer_or_no_key_is_refused(store):
    with store.begin("a") as upload, pytest.raises(errors.InputError, match="not bytes"):
        upload.write("text")
    with pytest.raises(KeyRefused):
        store.begin("../a")


def test_an_upload_that_failed_can_not_be_committed_without_what_it_lost(tmp_path):
    home = tmp_path / "small"
    Store.init(home, policy=SMALL).close()
    disk = FullDisk()
    with Store(home, disk=disk) as store, store.begin("a") as upload:
        disk.left_nbytes = 1_500_000
        upload.write(b"1" * 1_000)
        with pytest.raises(errors.TierFull):
            upload.write(os.urandom(3_000_000))
        disk.left_nbytes = 9_000_000  # there is space again, and the caller goes on
        with pytest.raises(errors.InputError, match="has ended"):
            upload.write(b"3" * 1_000)
        with pytest.raises(errors.InputError, match="has ended"):
            upload.commit()
        assert not store.exists("a")


def test_a_chunk_that_is_refused_leaves_the_upload_as_it_was(store):
    with store.begin("a") as upload:
        upload.write(b"1")
        with pytest.raises(errors.InputError, match="not bytes"):
            upload.write("text")
        upload.write(b"2")
        upload.commit()
    assert store["a"] == b"12"
