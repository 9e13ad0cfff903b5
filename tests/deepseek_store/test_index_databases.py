"""What an index does, the same on SQLite and PostgreSQL."""

import threading
import time
from collections.abc import Iterator

import attrs
import pytest
from index_places import STORE, IndexPlace, in_processes, increment

from deepseek_core import errors
from deepseek_store.errors import ForeignStore, GenerationMismatch, IndexUnavailable, StoreClosed
from deepseek_store.index.base import Index
from deepseek_store.index.catalog import Catalog
from deepseek_store.index.port import Transaction
from deepseek_store.index.rows import Batch, HeatRow, SegmentRow, StripeRow, Version


@pytest.fixture
def index(index_place: IndexPlace) -> Iterator[Index]:
    with index_place.open() as opened:
        yield opened


def put(key: str, generation: int, writer: int = 1, **fields: object) -> Version:
    return Version(key=key, generation=generation, writer=writer, **fields)  # type: ignore[arg-type]


def loaded(index: Index) -> Catalog:
    catalog = Catalog()
    index.load(catalog)
    return catalog


def everything(catalog: Catalog) -> list[Version]:
    return sorted(catalog.all_versions(), key=lambda v: v.id)


FULL = put(
    "a/é/\U0001f40b",
    7,
    writer=(1 << 63) - 1,
    move=2,
    nbytes=1 << 40,
    created_s=1.7e9 + 0.125,
    meta=b"\x00\xff",
    extents=bytes(range(256)) * 40,
    segment=(1 << 62) + 1,
    offset=64,
)


def test_a_version_comes_back_as_it_was_written(index: Index) -> None:
    tombstone = put("b", 8, deleted=True)
    index.commit(Batch(versions=[FULL, tombstone]))
    catalog = loaded(index)
    assert everything(catalog) == [FULL, tombstone]
    assert catalog.clock == 8


def test_keys_load_in_the_order_of_code_points(index: Index) -> None:
    keys = ["a", "B", "b", "é", "e", "~", "\U0001f40b", "\uffff", "a/b", "a.b", "A"]
    index.commit(Batch(versions=[put(key, 1) for key in keys]))
    assert list(loaded(index).keys("")) == sorted(keys)


def test_the_same_version_is_replaced_by_a_later_move_only(index: Index) -> None:
    versions = [put("k", 5, move=m, segment=m) for m in (1, 3, 2)]
    for version in versions:
        index.commit(Batch(versions=[version]))
    assert everything(loaded(index)) == [versions[1]]


def test_older_versions_stay_until_they_are_forgotten(index: Index) -> None:
    index.commit(Batch(versions=[put("k", 5), put("k", 3), put("k", 5, writer=2)]))
    catalog = loaded(index)
    assert [v.order for v in catalog.versions("k")] == [(5, 2), (5, 1), (3, 1)]
    index.commit(Batch(forget=[("k", 3, 1), ("k", 5, 1)]), catalog)
    assert everything(catalog) == everything(loaded(index)) == [put("k", 5, writer=2)]


def test_a_move_does_not_bring_back_a_version_that_was_forgotten(index: Index) -> None:
    index.commit(Batch(versions=[put("kept", 1), put("lost", 1)]))
    catalog = loaded(index)
    index.commit(Batch(forget=[("lost", 1, 1)]), catalog)
    moved = [put(key, 1, move=1, segment=9) for key in ("kept", "lost")]
    index.commit(Batch(moved=moved), catalog)
    assert everything(catalog) == everything(loaded(index)) == moved[:1]


def test_compare_and_set_takes_the_right_generation_only(index: Index) -> None:
    index.commit(Batch(versions=[put("k", 4), put("gone", 3, deleted=True)]))
    for key, expected, found in (("k", 3, 4), ("k", 0, 4), ("new", 1, 0), ("gone", 3, 0)):
        with pytest.raises(GenerationMismatch) as refused:
            index.commit(Batch(versions=[put(key, 9), put("other", 9)], expect={key: expected}))
        assert refused.value.found == found
    assert loaded(index).get("other") is None
    index.commit(Batch(versions=[put("k", 9)], expect={"k": 4, "gone": 0, "new": 0}))
    assert loaded(index).get("k") == put("k", 9)


def test_a_batch_may_be_committed_again(index: Index) -> None:
    batch = Batch(versions=[put("k", 2)], forget=[("k", 1, 1)], expect={"k": 1}, pins={"k": "hot"})
    index.commit(Batch(versions=[put("k", 1)]))
    index.commit(batch)
    index.commit(batch)
    assert everything(loaded(index)) == [put("k", 2)]


def test_a_batch_that_fails_half_way_leaves_nothing(index: Index) -> None:
    seq = index.poll()
    bad = Batch(versions=[put("k", 1)], pins={"k": "hot"}, meta={"name": object()})  # type: ignore[dict-item]
    with pytest.raises(errors.StorageError) as failed:
        index.commit(bad)
    assert not failed.value.retryable
    assert everything(loaded(index)) == []
    assert index.pins() == {}
    assert index.poll() == seq


SEGMENT = SegmentRow(
    id=3, writer=2, state="active", nbytes=4096, min_generation=5, created_s=2.5, applied=100
)
STRIPE = StripeRow(
    id=8, tier="cold", generation=2, code="LRC(140,4,6)", created_s=1.5, places=b"\0\1"
)


def test_segments_come_back_and_their_applied_offset_never_goes_down(index: Index) -> None:
    index.commit(Batch(segments=[SEGMENT]))
    sealed = attrs.evolve(
        SEGMENT, state="sealed", local=False, stripe=8, fragment=0, nbytes=9000, applied=50
    )
    index.commit(Batch(segments=[sealed, attrs.evolve(SEGMENT, id=1)], applied={3: 20, 77: 9}))
    assert index.segments() == [attrs.evolve(SEGMENT, id=1), attrs.evolve(sealed, applied=100)]
    index.commit(Batch(applied={3: 9000}, drop_segments=[1]))
    assert index.segments() == [attrs.evolve(sealed, applied=9000)]


def test_stripes_keep_the_highest_generation(index: Index) -> None:
    index.commit(Batch(stripes=[STRIPE]))
    index.commit(Batch(stripes=[attrs.evolve(STRIPE, generation=1, places=b"old")]))
    assert index.stripes() == [STRIPE]
    given_up = attrs.evolve(STRIPE, deleted_s=99.5)
    index.commit(Batch(stripes=[given_up]))
    assert index.stripes() == [given_up]
    index.commit(Batch(drop_stripes=[8]))
    assert index.stripes() == []


def test_pins_heat_and_meta_are_kept_and_taken_away(index: Index) -> None:
    heat = [HeatRow(key="k", rate_per_s=0.5, at_s=10.0), HeatRow(key="x", rate_per_s=1.0, at_s=0.0)]
    index.commit(
        Batch(versions=[put("k", 1)], pins={"k": "hot", "x": "cold"}, heat=heat, meta={"a": "1"})
    )
    cooler = HeatRow(key="k", rate_per_s=0.25, at_s=20.0)
    index.commit(Batch(pins={"x": None}, heat=[cooler], meta={"a": None, "b": "é"}))
    assert index.pins() == {"k": "hot"}
    assert index.meta() == {"b": "é"}
    assert index.heat() == {"k": (0.25, 20.0), "x": (1.0, 0.0)}
    assert index.heat_of(["x", "y"]) == {"x": (1.0, 0.0)}
    index.trim(0)
    assert index.heat() == {"k": (0.25, 20.0)}


def test_changes_tell_all_that_others_did_and_nothing_twice(index_place: IndexPlace) -> None:
    with index_place.open() as ours, index_place.open() as theirs:
        catalog = Catalog()
        theirs.commit(Batch(versions=[put("old", 1), put("gone", 1)], pins={"old": "hot"}))
        seq = ours.load(catalog)
        theirs.commit(
            Batch(
                versions=[put("new", 4)],
                forget=[("gone", 1, 1)],
                segments=[SEGMENT, attrs.evolve(SEGMENT, id=4)],
                stripes=[STRIPE],
                pins={"old": None, "new": "cold"},
            )
        )
        theirs.commit(Batch(drop_segments=[4], drop_stripes=[5]))
        changes = ours.changes_since(seq)
        catalog.catch_up(changes)
        assert everything(catalog) == everything(loaded(theirs))
        assert changes.versions == (put("new", 4),)
        assert list(changes.segments) == [SEGMENT]
        assert (changes.dropped_segments, changes.dropped_stripes) == ((4,), (5,))
        assert list(changes.stripes) == [STRIPE]
        assert changes.pins == {"old": None, "new": "cold"}
        assert (changes.clock, changes.seq, ours.poll()) == (4, theirs.poll(), theirs.poll())
        assert ours.changes_since(changes.seq).versions == ()


def test_a_version_that_was_forgotten_and_written_again_is_there(index: Index) -> None:
    catalog = Catalog()
    index.commit(Batch(forget=[("k", 1, 1)]))
    index.commit(Batch(versions=[put("k", 1)]))
    catalog.catch_up(index.changes_since(0))
    assert catalog.get("k") == put("k", 1)


def test_the_clock_does_not_go_back_when_the_newest_version_is_forgotten(
    index_place: IndexPlace,
) -> None:
    with index_place.open() as index:
        index.commit(Batch(versions=[put("k", 70, deleted=True)]))
        index.commit(Batch(forget=[("k", 70, 1)]))
    with index_place.open(create=False) as index:
        catalog = loaded(index)
        assert (len(list(catalog.all_versions())), catalog.clock) == (0, 70)


def test_who_is_too_far_behind_or_ahead_is_told_to_reload(index: Index) -> None:
    first = index.commit(Batch(versions=[put("k", 1)]))
    index.commit(Batch(forget=[("k", 1, 1)]))
    last = index.commit(Batch(versions=[put("k", 2)]))
    index.trim(last - 1)
    assert index.changes_since(first).reload
    assert not index.changes_since(last - 1).reload
    assert index.changes_since(index.poll() + 1).reload


def test_polling_asks_the_database_no_more_often_than_it_is_told(index_place: IndexPlace) -> None:
    with index_place.open() as ours, index_place.open() as theirs:
        before = ours.poll()
        after = theirs.commit(Batch(versions=[put("k", 1)]))
        assert ours.poll(max_age_s=3600.0) == before
        assert ours.poll() == after == ours.poll(max_age_s=3600.0)


def test_numbers_are_given_out_once(index_place: IndexPlace) -> None:
    with index_place.open() as ours, index_place.open() as theirs:
        taken = [index.allocate("segment", count) for index in (ours, theirs) for count in (1, 3)]
        assert taken == [1, 2, 5, 6]
        assert ours.allocate("writer") == 1
        ours.raise_counter("segment", 100)
        ours.raise_counter("segment", 50)
        assert theirs.allocate("segment") == 101


def test_a_snapshot_keeps_its_versions_through_overwrites_deletes_and_moves(index: Index) -> None:
    index.commit(Batch(versions=[put("a", 1), put("a", 2), put("b", 3), put("c", 4, deleted=True)]))
    snapshot = index.snapshot("monday", 12.5)
    assert (snapshot.name, snapshot.created_s, snapshot.count) == ("monday", 12.5, 2)
    catalog = loaded(index)
    index.commit(Batch(versions=[put("a", 5), put("b", 6, deleted=True)]), catalog)
    index.commit(Batch(forget=[v.id for v in catalog.superseded()]), catalog)
    assert everything(catalog) == everything(loaded(index))
    assert [v.id for v in catalog.superseded()] == [("a", 2, 1), ("b", 3, 1)]
    moved = put("a", 2, move=1, segment=50)
    index.commit(Batch(moved=[moved]), catalog)
    assert index.snapshot_versions("monday") == [moved, put("b", 3)]
    assert index.snapshot_members() == {("a", 2, 1), ("b", 3, 1)}


def test_versions_of_a_dropped_snapshot_can_be_forgotten_unless_another_has_them(
    index: Index,
) -> None:
    index.commit(Batch(versions=[put("a", 1), put("b", 2)]))
    index.snapshot("one", 1.0)
    index.commit(Batch(versions=[put("b", 3)]))
    index.snapshot("two", 2.0)
    assert [(row.name, row.count) for row in index.snapshots()] == [("one", 2), ("two", 2)]
    assert index.drop_snapshot("one")
    assert not index.drop_snapshot("one")
    index.commit(Batch(forget=[("a", 1, 1), ("b", 2, 1), ("b", 3, 1)]))
    assert [v.id for v in everything(loaded(index))] == [("a", 1, 1), ("b", 3, 1)]
    assert index.snapshot_versions("one") == []


def test_a_snapshots_name_is_taken_once(index: Index) -> None:
    index.snapshot("s", 1.0)
    with pytest.raises(errors.InputError, match="already"):
        index.snapshot("s", 2.0)


def test_an_index_of_another_store_or_format_is_refused(index_place: IndexPlace) -> None:
    with index_place.open() as index:
        index._database.write(lambda transaction, _: transaction.run("UPDATE head SET format = 99"))
    with pytest.raises(ForeignStore, match="format 99"):
        index_place.open(create=False)
    with pytest.raises(ForeignStore, match="format 99"):
        index_place.open()
    with index_place_of(index_place, "UPDATE head SET format = 1"):
        pass
    for create in (True, False):
        with pytest.raises(ForeignStore, match=STORE.hex()):
            index_place.open(create=create, store=b"another store...")


def index_place_of(place: IndexPlace, statement: str) -> Index:
    """Opens the index after a statement was run on its database."""
    from deepseek_store.index.postgres import PostgresDatabase, PostgresUrl
    from deepseek_store.index.sqlite import SqliteDatabase

    database = (
        SqliteDatabase(place.home / "index.sqlite")
        if place.url == "sqlite"
        else PostgresDatabase(PostgresUrl.parse(place.url))
    )
    database.open(create=False)
    database.write(lambda transaction, _: transaction.run(statement))
    database.close()
    return place.open(create=False)


@pytest.mark.parametrize("table", ["head", "versions", "snapshot_members"])
def test_a_database_that_lacks_a_table_is_refused_with_a_remedy(
    index_place: IndexPlace, table: str
) -> None:
    index_place.open().close()
    with pytest.raises(ForeignStore, match="ds-sdk store rebuild"):  # noqa: SIM117
        with index_place_of(index_place, f"DROP TABLE {table}") as index:
            index.load(Catalog())
            index.snapshot("s", 1.0)


def test_an_index_that_was_never_made_is_missed(index_place: IndexPlace) -> None:
    with pytest.raises(ForeignStore, match="ds-sdk store rebuild"):
        index_place.open(create=False)


def test_a_closed_index_says_so(index_place: IndexPlace) -> None:
    index = index_place.open()
    index.close()
    index.close()
    uses = (
        index.poll,
        lambda: index.commit(Batch()),
        lambda: index.exclusive("k").__enter__(),
    )
    for use in uses:
        with pytest.raises(StoreClosed, match="open the store again"):
            use()


def _use_after_fork(index: Index) -> None:
    with pytest.raises(StoreClosed, match="another process"):
        index.poll()
    with pytest.raises(StoreClosed, match="another process"):
        index.commit(Batch())


def test_a_fork_does_not_use_its_parents_connection(index: Index) -> None:
    in_processes(_use_after_fork, [(index,)])
    index.commit(Batch(versions=[put("k", 1)]))
    assert loaded(index).get("k") == put("k", 1)


def _count(place: IndexPlace, writer: int, times: int) -> None:
    with place.open(create=False) as index:
        catalog = Catalog()
        seen = index.load(catalog)
        for _ in range(times):
            seen = increment(index, catalog, seen, writer)


def test_two_processes_lose_no_update_of_a_counter(index_place: IndexPlace) -> None:
    times = 300
    with index_place.open() as index:
        in_processes(_count, [(index_place, writer, times) for writer in (1, 2)])
        catalog = loaded(index)
        versions = catalog.versions("n")
        assert versions[0].meta == b"%d" % (2 * times)
        # Every number was written by one commit.
        assert sorted(int(v.meta) for v in versions) == list(range(1, 2 * times + 1))
        assert {v.writer for v in versions} == {1, 2}
        followed = Catalog()
        followed.catch_up(index.changes_since(0))
        assert everything(followed) == everything(catalog)


def _count_apart(place: IndexPlace, writer: int) -> None:
    with place.open(create=False) as index:
        catalog = Catalog()
        for _ in range(40):
            with index.exclusive("n", "other"), index.exclusive("n"):
                index.load(catalog)
                now = catalog.get("n")
                generation = now.generation if now else 0
                version = put("n", generation + 1, writer)
                index.commit(Batch(versions=[version], expect={"n": generation}))


def test_exclusive_keeps_processes_apart_so_that_no_compare_and_set_fails(
    index_place: IndexPlace,
) -> None:
    with index_place.open() as index:
        in_processes(_count_apart, [(index_place, writer) for writer in (1, 2)])
        newest = loaded(index).get("n")
        assert newest is not None and newest.generation == 80


def test_exclusive_keeps_threads_and_other_openings_apart_but_not_from_committing(
    index_place: IndexPlace,
) -> None:
    inside, order = threading.Event(), list[str]()

    def second(index: Index) -> None:
        inside.wait()
        with index.exclusive("k"):
            order.append("second")

    with index_place.open() as ours, index_place.open() as theirs:
        threads = [threading.Thread(target=second, args=(i,)) for i in (ours, theirs)]
        for thread in threads:
            thread.start()
        with ours.exclusive("k"):
            inside.set()
            theirs.commit(Batch(versions=[put("k", 1)]))
            ours.commit(Batch(versions=[put("k", 2)]))
            with theirs.exclusive("something else"):
                time.sleep(0.05)
                order.append("first")
        for thread in threads:
            thread.join()
    assert order == ["first", "second", "second"]


def test_a_later_commit_is_never_seen_before_an_earlier_one(index_place: IndexPlace) -> None:
    """A reader that saw number n is not to meet a lower one later."""
    started, go_on = threading.Event(), threading.Event()
    numbers: dict[str, int] = {}

    def slow(transaction: Transaction, seq: int) -> None:
        started.set()
        go_on.wait()

    def commit(index: Index) -> None:
        numbers["late"] = index.commit(Batch(versions=[put("late", 2)]))

    with index_place.open() as ours, index_place.open() as theirs, index_place.open() as reader:
        first = threading.Thread(target=lambda: numbers.update(early=ours._transact(slow)))
        first.start()
        started.wait()
        second = threading.Thread(target=commit, args=(theirs,))
        second.start()
        before = reader.changes_since(0)
        second.join(0.2)
        assert second.is_alive()
        assert (before.versions, reader.changes_since(0).versions) == ((), ())
        go_on.set()
        first.join()
        second.join()
        assert reader.changes_since(numbers["early"]).versions == (put("late", 2),)
    assert numbers["early"] < numbers["late"]


def test_a_follower_misses_nothing_of_four_committers(index_place: IndexPlace) -> None:
    writers, times = range(4), 40

    def work(index: Index, writer: int) -> None:
        for n in range(times):
            forget = [(f"{writer}/{n - 1}", n, writer)] if n % 2 else []
            index.commit(Batch(versions=[put(f"{writer}/{n}", n + 1, writer)], forget=forget))

    opened = [index_place.open() for _ in writers]
    threads = [threading.Thread(target=work, args=(opened[w], w)) for w in writers]
    with index_place.open() as reader:
        for thread in threads:
            thread.start()
        catalog, seen = Catalog(), 0
        while seen < len(writers) * times:
            changes = reader.changes_since(seen)
            assert not changes.reload
            catalog.catch_up(changes)
            seen = changes.seq
        for thread in threads:
            thread.join()
        assert everything(catalog) == everything(loaded(reader))
        assert len(catalog) == len(writers) * times // 2
    for index in opened:
        index.close()


def test_an_index_that_waits_too_long_for_its_turn_says_to_try_again(
    index_place: IndexPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deepseek_store.index.sqlite._BUSY_S", 0.1)
    monkeypatch.setattr("deepseek_store.index.postgres._LOCK_S", 0.1)
    started, go_on = threading.Event(), threading.Event()

    def slow(transaction: Transaction, seq: int) -> None:
        started.set()
        go_on.wait()

    with index_place.open() as ours, index_place.open() as theirs:
        if index_place.url != "sqlite":
            monkeypatch.setattr(theirs._database, "_retry_s", 0.3)
        first = threading.Thread(target=lambda: ours._transact(slow))
        first.start()
        started.wait()
        with pytest.raises(IndexUnavailable) as waited:
            theirs.commit(Batch(versions=[put("k", 1)]))
        go_on.set()
        first.join()
        assert waited.value.retryable
        theirs.commit(Batch(versions=[put("k", 1)]))
