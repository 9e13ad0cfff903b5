"""Files of a store that are damaged, foreign, swapped or gone: right bytes, or none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from store_kit import SMALL, damage_index, data_of, fragment_file, urls

from deepseek_core import errors
from deepseek_store import Store
from deepseek_store.errors import ForeignStore, Unrecoverable
from deepseek_store.log.segment import sealed_name


@pytest.mark.parametrize("how", ["missing", "empty", "truncated", "noise", "foreign", "other"])
def test_an_index_that_is_damaged_or_foreign_is_refused_and_can_be_rebuilt(
    tmp_path: Path, how: str
) -> None:
    with Store.init(tmp_path / "s", policy=SMALL, **urls(tmp_path)) as store:
        for number in range(20):
            store.put(f"k/{number}", data_of(number))
        store.delete("k/0")
        store.maintenance.send(["k/1", "k/2"], "cold")
    index = tmp_path / "s" / "index.sqlite"
    if how == "other":
        Store.init(tmp_path / "t").close()
        index.write_bytes((tmp_path / "t" / "index.sqlite").read_bytes())
    else:
        damage_index(index, how)
    with pytest.raises(ForeignStore) as caught:
        store = Store(tmp_path / "s")
        # A page deep in the file is met later.
        list(store.list())
        store.close()
    assert "rebuild" in str(caught.value.remedy)
    Store.rebuild(tmp_path / "s")
    with Store(tmp_path / "s") as store:
        assert len(store) == 19
        for number in range(1, 20):
            assert bytes(store.get(f"k/{number}")) == data_of(number)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"format": 1}', '{"format": 99}', "\udcff"],
    ids=["empty", "half", "list", "null", "bare", "later", "bytes"],
)
def test_a_foreign_store_json_is_refused(tmp_path: Path, text: str) -> None:
    Store.init(tmp_path / "s").close()
    path = tmp_path / "s" / "store.json"
    good = path.read_bytes()
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ForeignStore) as caught:
        Store(tmp_path / "s")
    assert caught.value.remedy
    path.write_bytes(good)
    Store(tmp_path / "s").close()


def test_a_folder_that_is_none_or_is_used_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(errors.ConfigError, match="no store") as caught:
            Store(folder)
        assert caught.value.remedy
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "letter.txt").write_text("dear", encoding="utf-8")
    with pytest.raises(errors.ConfigError, match="something else"):
        Store.init(tmp_path / "used")
    assert (tmp_path / "used" / "letter.txt").read_text(encoding="utf-8") == "dear"


def segment_of(store: Store, key: str) -> Path:
    (extent,) = _extents(store, key)
    return store.home / "log" / sealed_name(extent.segment)


def _extents(store: Store, key: str) -> Any:
    from deepseek_store.log.records import unpack_extents

    version = store.parts.state.catalog.get(key)
    assert version is not None
    return unpack_extents(version.extents)


@pytest.mark.parametrize("striped", [False, True])
@pytest.mark.parametrize("how", ["removed", "truncated", "flipped", "emptied"])
def test_a_damaged_segment_gives_right_bytes_or_none(
    tmp_path: Path, how: str, striped: bool
) -> None:
    with Store.init(tmp_path / "s", policy=SMALL, **urls(tmp_path)) as store:
        for number in range(12):
            store.put(f"k/{number}", data_of(number))
        if striped:
            moves = store.maintenance.plan(flush=True)
            kinds = {move.kind for move in moves.moves}
            assert kinds == {"adopt"}
            store.maintenance.apply(moves)
    with Store(tmp_path / "s") as store:
        store.parts.journal.seal()
        path = segment_of(store, "k/5")
        (extent,) = _extents(store, "k/5")
    content = bytearray(path.read_bytes())
    content[extent.offset + 77] ^= 0x40
    path.unlink()
    if how != "removed":
        cut = {"truncated": extent.offset + 50, "flipped": len(content), "emptied": 0}[how]
        path.write_bytes(content[:cut])
    for _ in range(2):
        with Store(tmp_path / "s") as store:
            for number in range(12):
                key = f"k/{number}"
                try:
                    assert bytes(store.get(key)) == data_of(number)
                except errors.StorageError as error:
                    assert error.remedy and not striped
                    assert how != "flipped" or number == 5
            store.put("later", b"x")
            store.maintenance.gc()


def test_fragments_that_were_swapped_and_are_whole_in_themselves_are_not_believed(
    tmp_path: Path,
) -> None:
    with Store.init(tmp_path / "s", policy=SMALL, **urls(tmp_path)) as store:
        keys = [f"k/{number}" for number in range(30)]
        for key in keys:
            store.put(key, data_of(key, 15_000))
        store.maintenance.send(keys[:15], "cold")
        store.maintenance.send(keys[15:], "cold")
        one, two = sorted(store.parts.state.stripes)
    cold = tmp_path / "cold"
    for index, (first, second) in enumerate([(one, two), (one, one)]):
        left = fragment_file(cold, first, index)
        right = fragment_file(cold, second, index if first != second else index + 1)
        content = left.read_bytes()
        left.write_bytes(right.read_bytes())
        right.write_bytes(content)
    with Store(tmp_path / "s") as store:
        for key in keys:
            assert bytes(store.get(key)) == data_of(key, 15_000)


def test_more_damage_than_the_code_bears_is_refused_and_the_rest_is_read(tmp_path: Path) -> None:
    with Store.init(tmp_path / "s", policy=SMALL, **urls(tmp_path)) as store:
        keys = [f"k/{number}" for number in range(15)]
        for key in keys:
            store.put(key, data_of(key, 15_000))
        store.maintenance.send(keys, "cold")
        store.maintenance.gc()
        (number,) = store.parts.state.stripes
    for path in (tmp_path / "cold").rglob(f"stripes/{number:016x}/*"):
        if not path.name.startswith("000"):
            path.write_bytes(path.read_bytes()[:300])
    with Store(tmp_path / "s") as store:
        refused = 0
        for key in keys:
            try:
                assert bytes(store.get(key)) == data_of(key, 15_000)
            except Unrecoverable as error:
                assert error.lost and error.remedy
                refused += 1
        assert 0 < refused < len(keys)
        store.put(keys[0], b"rewritten")
        assert bytes(store.get(keys[0])) == b"rewritten"
