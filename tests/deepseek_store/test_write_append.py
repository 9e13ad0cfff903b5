"""Appending: the object's bytes stay where they are, and nothing that was acknowledged is lost."""

import random
import threading
from pathlib import Path

import pytest

from deepseek_store import Store
from deepseek_store.errors import GenerationMismatch
from deepseek_store.log.records import unpack_extents


@pytest.mark.parametrize("shared", [False, True])
def test_random_appends_equal_a_plain_byte_string(tmp_path: Path, shared: bool) -> None:
    rng = random.Random(3)
    plain: dict[str, bytes] = {}
    with Store.init(tmp_path / "home", shared=shared) as store:
        for _ in range(120):
            key = rng.choice(["a", "b", "c"])
            piece = rng.randbytes(rng.choice((0, 1, 90, 5_000, 700_000)))
            receipt = store.append(key, piece)
            plain[key] = plain.get(key, b"") + piece
            assert receipt.nbytes == len(plain[key])
            assert store.get(key) == plain[key]
        store.maintenance.gc()
        assert {key: bytes(store.get(key)) for key in plain} == plain
    with Store(tmp_path / "home", shared=shared) as store:
        assert {key: bytes(store.get(key)) for key in plain} == plain
    (tmp_path / "home" / "index.sqlite").unlink()
    Store.rebuild(tmp_path / "home")
    with Store(tmp_path / "home") as store:
        assert {key: bytes(store.get(key)) for key in plain} == plain
        assert store.maintenance.fsck(deep=True).ok


def test_an_append_to_a_large_object_writes_little(tmp_path: Path) -> None:
    large = random.Random(1).randbytes(8 << 20)
    with Store.init(tmp_path / "home") as store:
        store.put("k", large, meta={"epoch": "7"})
        before = store.parts.state.catalog.get("k")
        store.append("k", b"more")
        after = store.parts.state.catalog.get("k")
        assert before is not None and after is not None
        assert after.extents.startswith(before.extents)
        assert sum(one.nbytes for one in unpack_extents(after.extents)[-1:]) == 4
        assert store.stat("k").meta == {"epoch": "7"}
        assert store.get("k", len(large)) == b"more"


def test_many_small_appends_leave_few_pieces(tmp_path: Path) -> None:
    with Store.init(tmp_path / "home") as store:
        for number in range(500):
            store.append("log", b"%09d\n" % number)
        assert store.get("log") == b"".join(b"%09d\n" % number for number in range(500))
        assert store.stat("log").shards <= 12


def test_threads_that_append_to_one_object_lose_nothing(tmp_path: Path) -> None:
    with Store.init(tmp_path / "home") as store:

        def work(name: bytes) -> None:
            for _ in range(20):
                while True:
                    try:
                        store.append("log", name)
                        break
                    except OSError:
                        continue  # the others were quicker, eight times

        threads = [threading.Thread(target=work, args=(b"%d" % n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(bytes(store.get("log"))) == sorted(b"0123" * 20)


def test_an_append_compares_the_generation(tmp_path: Path) -> None:
    with Store.init(tmp_path / "home") as store:
        first = store.append("k", b"a", if_generation=0)
        with pytest.raises(GenerationMismatch):
            store.append("k", b"b", if_generation=0)
        store.append("k", b"b", if_generation=first.generation)
        with pytest.raises(GenerationMismatch):
            store.append("k", b"c", if_generation=first.generation)
        with pytest.raises(GenerationMismatch):
            store.append("new", b"c", if_generation=first.generation)
        assert store.get("k") == b"ab"
        assert not store.exists("new")


def test_a_snapshot_keeps_what_was_before_an_append(tmp_path: Path) -> None:
    with Store.init(tmp_path / "home") as store:
        store.put("k", b"old")
        store.snapshot("then")
        store.append("k", b" and new")
        store.maintenance.gc()
        assert store.get("k", snapshot="then") == b"old"
        assert store.get("k") == b"old and new"
