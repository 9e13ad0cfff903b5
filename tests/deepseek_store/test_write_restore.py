"""A snapshot is brought back: all of it or a folder, from any tier, as often as one likes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from store_kit import SMALL, data_of, urls

from deepseek_core import errors
from deepseek_store import Store

KEYS = ("a/1", "a/2", "b/1", "b/2", "c")
CHANGES = st.lists(
    st.tuples(st.sampled_from(KEYS), st.sampled_from(("put", "delete", "rename", "send", "gc"))),
    max_size=8,
)


def _content(store: Store, prefix: str = "") -> dict[str, bytes]:
    return {info.key: bytes(store.get(info.key)) for info in store.list(prefix)}


def _change(store: Store, changes: list[tuple[str, str]]) -> None:
    for number, (key, kind) in enumerate(changes):
        if kind == "put":
            store.put(key, data_of((key, number), 3_000))
        elif kind == "delete":
            store.delete(key)
        elif kind == "gc":
            store.maintenance.gc()
        elif store.exists(key) and kind == "rename":
            store.rename(key, f"{key}-new")
        elif store.exists(key):
            store.maintenance.send([key], "cold")


@settings(max_examples=25)
@given(before=CHANGES, after=CHANGES)
def test_all_is_as_it_was_whatever_came_between(tmp_path_factory, before, after):
    folder = tmp_path_factory.mktemp("restore")
    with Store.init(folder / "home", policy=SMALL, **urls(folder)) as store:
        for key in KEYS:
            store.put(key, data_of(key, 3_000), meta={"name": key})
        _change(store, before)
        was = _content(store)
        store.snapshot("then")
        _change(store, after)
        now = _content(store)
        foreseen = store.restore("then", dry_run=True)
        assert _content(store) == now
        assert store.restore("then") == foreseen
        assert foreseen.same + foreseen.restored == len(was)
        assert foreseen.deleted == len(now.keys() - was.keys())
        store.maintenance.gc()
        assert _content(store) == was
        assert store.restore("then").restored == 0
    with Store(folder / "home") as store:
        assert _content(store) == was
        assert store.maintenance.fsck(deep=True).ok


def test_a_folder_is_brought_back_alone(tmp_path):
    with Store.init(tmp_path / "home") as store:
        for key in KEYS:
            store.put(key, key.encode())
        store.snapshot("then")
        for key in KEYS:
            store.put(key, b"new")
        store.put("a/3", b"new")
        store.put("a/1-neighbor", b"new")
        assert store.restore("then", "a/1").restored == 1
        assert bytes(store.get("a/1-neighbor")) == b"new"
        done = store.restore("then", "a/")
        assert (done.restored, done.deleted, done.same) == (1, 2, 1)
        assert _content(store, "a/") == {"a/1": b"a/1", "a/2": b"a/2"}
        assert bytes(store.get("b/1")) == b"new"


def test_a_restore_is_undone_by_a_snapshot_taken_before(tmp_path):
    with Store.init(tmp_path / "home") as store:
        store.put("a", b"old", meta={"epoch": "1"})
        store.snapshot("then")
        store.put("a", b"new", meta={"epoch": "2"})
        store.snapshot("before restoring")
        store.restore("then")
        assert store.stat("a").meta == {"epoch": "1"}
        store.restore("before restoring")
        assert (bytes(store.get("a")), store.stat("a").meta) == (b"new", {"epoch": "2"})


def test_an_unknown_snapshot_changes_nothing(tmp_path):
    with Store.init(tmp_path / "home") as store:
        store.put("a", b"content")
        with pytest.raises(errors.InputError, match="no snapshot 'never'"):
            store.restore("never")
        assert bytes(store.get("a")) == b"content"


def test_a_name_that_neither_has_is_no_success(tmp_path):
    with Store.init(tmp_path / "home") as store:
        store.put("runs/1/a", b"1")
        store.snapshot("then")
        for name in ("run/1", "runs/10", "runs/1/a/b"):
            for dry_run in (False, True):
                with pytest.raises(errors.ObjectMissing, match=name):
                    store.restore("then", name, dry_run=dry_run)
        store.delete("runs/1/a")
        store.put("later", b"2")
        assert store.restore("then", "runs").restored == store.restore("then", "later").deleted == 1
