"""What a store does with objects, whichever tier they lie in."""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from deepseek_core import errors
from deepseek_store import Policy, Store
from deepseek_store.errors import GenerationMismatch, StoreClosed
from deepseek_store.index.catalog import Catalog
from deepseek_store.index.rows import Version

TIERS = {"warm": ["memory://objects-w?domains=6"], "cold": ["memory://objects-c?domains=12"]}
SMALL = Policy(
    warm_fragment_nbytes=128 << 10, cold_fragment_nbytes=64 << 10, sizing=64 << 10, grace_s=0.0
)
SIZES = (0, 1, 4095, 64 << 10, (64 << 10) + 1, 300_000)


def data_of(nbytes: int) -> bytes:
    return random.Random(nbytes).randbytes(nbytes)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.init(tmp_path / "store", policy=SMALL, **TIERS) as opened:
        yield opened


@pytest.mark.parametrize("tier", ["hot", "warm", "cold"])
def test_objects_of_all_sizes_come_back_whole_and_in_ranges_from_every_tier(
    store: Store, tier: str
) -> None:
    for nbytes in SIZES:
        store.put(f"o/{nbytes}", data_of(nbytes), tier=tier)
    rng = random.Random(tier)
    for _ in range(2):
        for nbytes in SIZES:
            key, data = f"o/{nbytes}", data_of(nbytes)
            assert bytes(store.get(key)) == data
            for _ in range(8):
                start = rng.randrange(nbytes + 10)
                stop = start + rng.randrange(nbytes + 10)
                assert bytes(store.get(key, start, stop)) == data[start:stop]
        home = store.home
        store.close()
        store = Store(home)
    assert [info.nbytes for info in store.list("o/")] == [*sorted(SIZES, key=str)]
    store.close()


@pytest.mark.parametrize("tier", ["hot", "cold"])
def test_a_stream_is_what_its_chunks_are_however_they_are_cut(store: Store, tier: str) -> None:
    data = data_of(300_000)
    for number, step in enumerate((1000, 65_536, 65_537, 1 << 20)):
        chunks = (bytearray(data[at : at + step]) for at in range(0, len(data), step))
        receipt = store.put_stream(f"s/{number}", chunks, tier=tier)
        assert receipt.nbytes == len(data)
        assert bytes(store.get(f"s/{number}")) == data
    store.put_stream("s/none", iter(()))
    assert bytes(store.get("s/none")) == b""


def test_a_stream_that_breaks_off_leaves_no_object_and_no_lasting_room(store: Store) -> None:
    def broken() -> Iterator[bytes]:
        yield data_of(200_000)
        raise RuntimeError("the source broke off")

    store.put("kept", b"old")
    with pytest.raises(RuntimeError, match="broke off"):
        store.put_stream("kept", broken())
    assert bytes(store.get("kept")) == b"old"
    store.parts.journal.seal()
    store.put("kept", b"new")
    store.maintenance.gc()
    assert sum(row.nbytes for row in store.parts.state.segments.values()) < 20_000


def test_any_buffer_is_taken_and_may_be_changed_afterwards(store: Store) -> None:
    buffer = bytearray(b"before")
    store.put("a", buffer)
    buffer[:] = b"after!"
    assert bytes(store.get("a")) == b"before"
    store.put("b", memoryview(np.arange(5, dtype=np.int32)))
    assert np.frombuffer(store.get("b"), np.int32).tolist() == [0, 1, 2, 3, 4]
    with pytest.raises((errors.InputError, TypeError)):
        store.put("c", "text")  # type: ignore[arg-type]
    assert not store.exists("c")


def test_compare_and_set_takes_effect_only_on_what_was_expected(store: Store) -> None:
    first = store.put("n", b"1", if_generation=0)
    with pytest.raises(GenerationMismatch) as caught:
        store.put("n", b"2", if_generation=0)
    assert caught.value.found == first.generation and caught.value.remedy
    second = store.put("n", b"2", if_generation=first.generation)
    assert second.generation > first.generation
    with pytest.raises(GenerationMismatch):
        store.delete("n", if_generation=first.generation)
    with pytest.raises(GenerationMismatch):
        store.put_stream("n", [b"3"], if_generation=first.generation)
    assert bytes(store.get("n")) == b"2"
    assert store.delete("n", if_generation=second.generation)
    with pytest.raises(GenerationMismatch) as caught:
        store.put("n", b"4", if_generation=second.generation)
    assert caught.value.found == 0
    assert store.put("n", b"4", if_generation=0).generation > second.generation


@pytest.mark.parametrize("tier", ["hot", "cold"])
def test_copies_and_renames_move_no_bytes_and_live_on_their_own(store: Store, tier: str) -> None:
    data = data_of(200_000)
    store.put("a", data, meta={"kind": "model"}, tier=tier)
    store.copy("a", "b")
    store.rename("a", "c")
    assert not store.exists("a")
    for key in ("b", "c"):
        assert bytes(store.get(key)) == data
        assert store.stat(key).meta == {"kind": "model"}
    store.delete("b")
    store.maintenance.gc()
    assert bytes(store.get("c")) == data
    store.rename("c", "c")
    assert bytes(store.get("c")) == data
    with pytest.raises(errors.ObjectMissing):
        store.copy("b", "d")
    with pytest.raises(errors.ObjectMissing):
        store.rename("b", "d")
    with pytest.raises(GenerationMismatch):
        store.copy("c", "c2", if_generation=5)


def test_a_put_that_is_not_durable_yet_counts_for_all_that_follows(store: Store) -> None:
    receipt = store.put("loose", b"1", durable=False)
    assert bytes(store.get("loose")) == b"1"
    assert [info.key for info in store.list()] == ["loose"]
    with pytest.raises(GenerationMismatch):
        store.put("loose", b"2", if_generation=0)
    assert store.put("loose", b"2", if_generation=receipt.generation, durable=False)
    store.rename("loose", "tight")
    assert bytes(store.get("tight")) == b"2" and not store.exists("loose")
    store.put("tight", b"3", durable=False)
    assert store.delete("tight")
    assert not store.exists("tight")
    store.put("last", data_of(100_000), durable=False)
    home = store.home
    store.close()
    with Store(home) as again:
        assert [info.key for info in again.list()] == ["last"]
        assert bytes(again.get("last")) == data_of(100_000)


def test_a_loose_put_hides_no_durable_one_for_good_before_it_is_durable_itself(
    store: Store,
) -> None:
    store.put("a", b"durable")
    store.put("a", b"loose", durable=False)
    store.parts.committer.flush()
    version = store.parts.state.catalog.versions("a")[-1]
    rows = [row.key for row in _index_versions(store) if row.generation == version.generation]
    assert rows == ["a"], "the index forgot what a power cut would bring back"


def test_an_object_that_moves_before_the_index_has_it_is_found_there_later(store: Store) -> None:
    store.put("a", data_of(5000), durable=False)
    store.parts.mover.send(["a"], "cold")
    store.flush()
    (row,) = _index_versions(store)
    assert row == store.parts.state.catalog.get("a")
    assert row.move == 1


def _index_versions(store: Store) -> list[Version]:
    catalog = Catalog()
    store.parts.state.index.load(catalog)
    return list(catalog.all_versions())


@pytest.mark.parametrize("tier", ["hot", "warm", "cold"])
def test_a_snapshot_keeps_what_was_there_through_all_that_comes_after(
    store: Store, tier: str
) -> None:
    was = {f"k/{number}": data_of(3000 + number) for number in range(12)}
    for key, data in was.items():
        store.put(key, data, tier=tier)
    store.snapshot("then")
    store.put("k/0", b"new")
    store.delete("k/1")
    store.rename("k/2", "k/z")
    store.maintenance.send([key for key in was if store.exists(key)], "cold")
    store.maintenance.gc()
    store.maintenance.apply(store.maintenance.plan(flush=True))
    store.maintenance.gc()
    for _ in range(2):
        for key, data in was.items():
            assert bytes(store.get(key, snapshot="then")) == data
        assert store.stat("k/1", snapshot="then").nbytes == len(was["k/1"])
        home = store.home
        store.close()
        store = Store(home)
    assert [row.name for row in store.snapshots()] == ["then"]
    with pytest.raises(errors.InputError, match="already"):
        store.snapshot("then")
    with pytest.raises(errors.InputError, match="no snapshot"):
        store.get("k/0", snapshot="never")
    assert store.drop_snapshot("then") and not store.drop_snapshot("then")
    store.maintenance.gc()
    with pytest.raises(errors.InputError, match="no snapshot"):
        store.get("k/0", snapshot="then")
    store.close()


def test_lists_are_in_order_and_folders_are_not_walked_through(store: Store) -> None:
    for key in ("b/2", "a", "b/1", "b/c/1", "ab", "b.x", "é"):
        store.put(key, b"x")
    store.put("b/3", b"x")
    store.delete("b/3")
    assert [info.key for info in store.list()] == ["a", "ab", "b.x", "b/1", "b/2", "b/c/1", "é"]
    assert [info.key for info in store.list("b/", after="b/1")] == ["b/2", "b/c/1"]
    assert list(store.children()) == ["a", "ab", "b.x", "b/", "é"]
    assert list(store.children("b/")) == ["b/1", "b/2", "b/c/"]
    assert len(store) == 7


def test_what_is_not_there_says_so_and_a_closed_store_too(store: Store) -> None:
    with pytest.raises(errors.ObjectMissing) as caught:
        store.get("nothing")
    assert caught.value.remedy
    assert store.delete("nothing") is False
    with pytest.raises(errors.ObjectMissing):
        store.stat("nothing")
    with pytest.raises(errors.InputError):
        store.get("nothing" if store.exists("nothing") else _some(store), 5, 2)
    store.close()
    store.close()
    for use in (lambda: store.get("x"), lambda: store.put("x", b""), lambda: len(store)):
        with pytest.raises(StoreClosed) as closed:
            use()
        assert closed.value.remedy


def _some(store: Store) -> str:
    store.put("some", b"data")
    return "some"


def test_five_thousand_shards_are_there_after_reopening(tmp_path: Path) -> None:
    with Store.init(tmp_path / "many") as store:
        for number in range(5000):
            store.put(f"shard/{number:05d}", number.to_bytes(4, "little") * 16, durable=False)
    with Store(tmp_path / "many") as store:
        assert len(store) == 5000
        for number in range(0, 5000, 97):
            assert bytes(store.get(f"shard/{number:05d}")) == number.to_bytes(4, "little") * 16


@pytest.mark.parametrize("shared", [False, True])
def test_what_is_not_on_disk_yet_can_be_expected(tmp_path: Path, shared: bool) -> None:
    Store.init(tmp_path / "home").close()
    with Store(tmp_path / "home", shared=shared) as store:
        loose = store.put("key", b"loose", durable=False)
        assert bytes(store.get("key")) == b"loose"
        store.put("key", b"durable", if_generation=loose.generation)
        assert bytes(store.get("key")) == b"durable"


MOVED = (
    "apply",
    "codes",
    "explain",
    "fsck",
    "gc",
    "pin",
    "plan",
    "repair",
    "scrub",
    "send",
    "unpin",
)


@pytest.mark.parametrize("name", MOVED)
def test_what_moved_to_maintenance_is_found_by_its_old_name_with_a_warning(
    store: Store, name: str
) -> None:
    with pytest.warns(DeprecationWarning, match=rf"use store\.maintenance\.{name}$") as told:
        found = getattr(store, name)
    assert [warning.filename for warning in told] == [__file__]
    assert found == getattr(store.maintenance, name)


def test_each_place_that_uses_an_old_name_is_told_once(store: Store) -> None:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("default")
        for _ in range(3):
            store.gc()  # type: ignore[attr-defined]
        store.gc()  # type: ignore[attr-defined]
    lines = [warning.lineno for warning in told]
    assert len(lines) == 2 and lines[1] == lines[0] + 1
    with pytest.raises(AttributeError, match="no attribute 'defragment'"):
        store.defragment()  # type: ignore[attr-defined]
