"""The catalog of keys keeps what a dictionary of versions would, read again from any index."""

import random
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from deepseek_core import errors
from deepseek_store.index.catalog import Catalog
from deepseek_store.index.packed import PackedVersions
from deepseek_store.index.rows import Batch, Changes, RecordAt, Version
from deepseek_store.index.sorted_keys import SortedKeys
from deepseek_store.index.source import DatabaseSource
from deepseek_store.index.sqlite import SqliteDatabase, SqliteIndex

# Few enough that one step meets what another left.
KEYS = st.sampled_from(("a", "b", "a/a", "a/b", "a/b/c", "b/", "é", "a\U0010ffff", "/", "ab", "a0"))
PREFIXES = st.text(alphabet="ab/é\U0010ffff", max_size=3)


class CatalogAgainstLists(RuleBasedStateMachine):
    """The catalog, and a plain dict of lists that is searched from end to end."""

    def __init__(self) -> None:
        super().__init__()
        self.catalog = Catalog()
        self.lists: dict[str, list[Version]] = {}
        self.clock = 0
        self.index: SqliteIndex | None = None
        self.database: SqliteDatabase | None = None
        self.folder = tempfile.TemporaryDirectory()

    def teardown(self) -> None:
        self.leave_index()
        self.folder.cleanup()

    def leave_index(self) -> None:
        if self.index is not None:
            self.index.close()
            self.index = None
        if self.database is not None:
            self.database.close()

    def put(self, version: Version) -> bool:
        self.clock = max(self.clock, version.generation)
        kept = self.lists.setdefault(version.key, [])
        same = [v for v in kept if v.order == version.order]
        if same and same[0].move >= version.move:
            return False
        self.lists[version.key] = [v for v in kept if v not in same] + [version]
        return True

    def drop(self, key: str, generation: int, writer: int) -> bool:
        kept = self.lists.get(key, [])
        left = [v for v in kept if v.order != (generation, writer)]
        self.lists[key] = left
        return len(left) < len(kept)

    def newest(self, key: str) -> Version | None:
        return max(self.lists.get(key, []), key=lambda v: v.order, default=None)

    @rule(
        key=KEYS,
        generation=st.integers(1, 4),
        writer=st.integers(0, 1),
        move=st.integers(0, 2),
        deleted=st.booleans(),
    )
    def apply(self, key: str, generation: int, writer: int, move: int, deleted: bool) -> None:
        version = Version(key=key, generation=generation, writer=writer, move=move, deleted=deleted)
        assert self.catalog.apply(version) == self.put(version)

    @rule(key=KEYS, generation=st.integers(1, 4), writer=st.integers(0, 1))
    def forget(self, key: str, generation: int, writer: int) -> None:
        assert self.catalog.forget(key, generation, writer) == self.drop(key, generation, writer)

    @rule(key=KEYS, generation=st.integers(1, 4), move=st.integers(1, 3))
    def move(self, key: str, generation: int, move: int) -> None:
        version = Version(key=key, generation=generation, writer=1, move=move)
        known = any(v.order == version.order for v in self.lists.get(key, []))
        assert self.catalog.move(version) == (known and self.put(version))

    @rule(
        versions=st.lists(st.builds(lambda k, g: Version(key=k, generation=g, writer=3), KEYS,
                                    st.integers(1, 9)), max_size=4),
        forgotten=st.lists(st.tuples(KEYS, st.integers(1, 4), st.integers(0, 1)), max_size=2),
    )  # fmt: skip
    def catch_up(self, versions: list[Version], forgotten: list[tuple[str, int, int]]) -> None:
        if self.index is not None:  # what others tell of is in the index
            self.index.commit(Batch(versions=versions, forget=forgotten))
        changes = Changes(seq=1, clock=4, versions=versions, forgotten=forgotten)
        self.catalog.catch_up(changes)
        self.clock = max(self.clock, 4)
        for lost in forgotten:
            self.drop(*lost)
        for version in versions:
            self.put(version)

    @rule(shuffle=st.randoms())
    def load_anew(self, shuffle: random.Random) -> None:
        everything = [v for kept in self.lists.values() for v in kept]
        shuffle.shuffle(everything)
        self.leave_index()
        self.catalog.replace(PackedVersions.of(everything))

    @rule(alone=st.booleans())
    def go_on_unloaded(self, alone: bool) -> None:
        self.leave_index()
        path = Path(self.folder.name) / f"{len(list(Path(self.folder.name).iterdir()))}.sqlite"
        self.database = SqliteDatabase(path)
        self.index = SqliteIndex(path, bytes(16), create=True)
        self.index.commit(Batch(versions=[v for kept in self.lists.values() for v in kept]))
        self.database.open(create=False)
        self.catalog.defer(DatabaseSource(self.database), self.clock, alone=alone)

    @rule()
    def fold(self) -> None:
        packed = self.catalog.packed()
        everything = [v for kept in self.lists.values() for v in kept]
        assert [packed.at(row) for row in range(len(packed))] == sorted(
            everything, key=lambda v: (v.key, v.order)
        )

    @rule(prefix=PREFIXES, after=PREFIXES)
    def list_keys(self, prefix: str, after: str) -> None:
        live = self.live()
        expected = sorted(k for k in live if k.startswith(prefix) and k > after)
        assert list(self.catalog.keys(prefix, after)) == expected

    @rule(prefix=PREFIXES)
    def list_children(self, prefix: str) -> None:
        below = [k[len(prefix) :] for k in self.live() if k.startswith(prefix)]
        names = {prefix + rest[: rest.find("/") + 1 or len(rest)] for rest in below}
        assert list(self.catalog.children(prefix)) == sorted(names)

    def live(self) -> list[str]:
        newest = {key: self.newest(key) for key in self.lists}
        return [key for key, version in newest.items() if version and not version.deleted]

    @invariant()
    def clock_is_the_same(self) -> None:
        assert self.catalog.clock == self.clock

    @rule()
    def ask_for_all(self) -> None:
        assert len(self.catalog) == len(self.live())
        everything = [v for kept in self.lists.values() for v in kept]
        superseded = [v for v in everything if v != self.newest(v.key)]
        tombstones = [v for v in everything if v == self.newest(v.key) and v.deleted]
        assert sorted(v.id for v in self.catalog.superseded()) == sorted(v.id for v in superseded)
        assert sorted(v.id for v in self.catalog.tombstones()) == sorted(v.id for v in tombstones)
        assert sorted(v.id for v in self.catalog.all_versions()) == sorted(v.id for v in everything)

    @rule()
    def ask_for_each(self) -> None:
        for key, kept in self.lists.items():
            newest = self.newest(key)
            assert self.catalog.current(key) == newest
            assert self.catalog.get(key) == (None if newest and newest.deleted else newest)
            ordered = sorted(kept, key=lambda v: v.order, reverse=True)
            assert list(self.catalog.versions(key)) == ordered
            assert all(self.catalog.find(v.id) == v for v in kept)


CatalogAgainstLists.TestCase.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None
)
TestCatalogAgainstLists = CatalogAgainstLists.TestCase


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 1500)), max_size=200), st.integers(0, 1500))
def test_sorted_keys_over_several_chunks_equal_a_sorted_set(
    steps: list[tuple[bool, int]], start: int
) -> None:
    first = {f"{n:04d}" for n in range(0, 1500, 2)}
    keys, plain = SortedKeys(first), set(first)
    for adding, number in steps:
        key = f"{number:04d}"
        (keys.add if adding else keys.discard)(key)
        (plain.add if adding else plain.discard)(key)
    text = f"{start:04d}"
    assert list(keys.iterate(text)) == sorted(k for k in plain if k >= text)
    assert list(keys.iterate(text, after=True)) == sorted(k for k in plain if k > text)


def test_ten_thousand_keys_in_random_order_come_out_sorted_and_go_again() -> None:
    names = [f"{n * 7919 % 10_007:05d}" for n in range(10_007)]
    keys = SortedKeys()
    for name in names:
        keys.add(name)
        keys.add(name)
    assert list(keys.iterate("")) == sorted(names)
    for name in names:
        keys.discard(name)
    assert list(keys.iterate("")) == []


def test_readers_see_whole_versions_and_every_lasting_key_while_a_writer_works() -> None:
    catalog = Catalog()
    lasting = [f"k/{n:04d}" for n in range(0, 3000, 3)]
    for key in lasting:
        catalog.apply(Version(key=key, generation=1, writer=1, nbytes=1))
    done, wrong = threading.Event(), list[object]()

    def read() -> None:
        while not done.is_set():
            seen = list(catalog.keys("k/"))
            if seen != sorted(set(seen)) or not set(lasting) <= set(seen):
                wrong.append(seen)
            for key in lasting[::100]:
                version = catalog.get(key)
                # Each generation is written with as many bytes.
                if version is None or version.nbytes != version.generation:
                    wrong.append(version)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for generation in range(2, 4):
        for n in range(3000):
            key = f"k/{n:04d}"
            catalog.apply(Version(key=key, generation=generation, writer=1, nbytes=generation))
            if n % 3:
                catalog.forget(key, generation, 1)
    done.set()
    for reader in readers:
        reader.join()
    assert not wrong


def test_an_iteration_under_way_bears_inserts_and_removals() -> None:
    catalog = Catalog()
    for n in range(0, 4000, 2):
        catalog.apply(Version(key=f"{n:04d}", generation=1, writer=1))
    seen = []
    for key in catalog.keys(""):
        seen.append(key)
        n = int(key)
        catalog.apply(Version(key=f"{n + 1:04d}", generation=2, writer=1))
        catalog.forget(key, 1, 1)
    assert set(seen) >= {f"{n:04d}" for n in range(0, 4000, 2)}
    assert seen == sorted(seen)
    assert len(catalog) == len(list(catalog.keys("")))


def test_children_of_a_folder_are_found_without_walking_through_it() -> None:
    catalog = Catalog()
    for n in range(3000):
        catalog.apply(Version(key=f"big/{n:04d}", generation=1, writer=1))
    for key in ("big0", "a", "z/y/x", "big\U0010ffff"):
        catalog.apply(Version(key=key, generation=1, writer=1))
    assert list(catalog.children()) == ["a", "big/", "big0", "big\U0010ffff", "z/"]
    assert list(catalog.children("z/")) == ["z/y/"]
    assert list(catalog.children("none/")) == []


@pytest.mark.parametrize(
    "fields",
    [
        {"key": ""},
        {"key": "a\0b"},
        {"key": "half \ud800"},
        {"generation": 0},
        {"generation": 1 << 63},
        {"nbytes": -1},
        {"move": -1},
        {"segment": 1 << 64},
        {"created_s": float("nan")},
        {"created_s": float("inf")},
    ],
    ids=str,
)
def test_a_version_that_no_database_could_keep_is_refused_at_birth(
    fields: dict[str, object],
) -> None:
    with pytest.raises(errors.InputError):
        Version(**{"key": "k", "generation": 1, "writer": 1, **fields})  # type: ignore[arg-type]


def test_a_version_knows_its_name_its_order_and_its_record() -> None:
    version = Version(key="k", generation=3, writer=7, segment=5, offset=64)
    assert version.id == ("k", 3, 7)
    assert version.order == (3, 7)
    assert version.record == RecordAt(5, 64)
