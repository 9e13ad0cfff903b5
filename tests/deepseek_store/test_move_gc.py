"""The collector takes all that nobody can see any more, and never anything else."""

import random
from pathlib import Path

import pytest
from care_kit import SMALL, Killed, Site, contents, fill
from care_machine import StoreMachine
from hypothesis import HealthCheck, settings
from store_kit import WatchedIndex

from deepseek_store import Store
from deepseek_store.home import state
from deepseek_store.index.rows import Batch

TestNothingLiveIsCollected = StoreMachine.TestCase
TestNothingLiveIsCollected.settings = settings(
    max_examples=20,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


def _objects_on(site: Site) -> set[str]:
    """But for the marks by which a store knows its tiers again."""
    keys = {found.key for tier in (site.warm, site.cold) for found in tier.inner.list()}
    return {key for key in keys if not key.startswith("stores/")}


def _known(store: Store) -> set[str]:
    state = store.parts.state
    stripes = [*state.stripes.values(), *(stripe for stripe, _ in state.given_up.values())]
    return {each.key for stripe in stripes for each in stripe.fragments if each.key}


def test_an_emptied_store_takes_no_room(site: Site) -> None:
    with site.init() as store:
        objects = fill(store, 120, 9000)
        store.maintenance.apply(store.maintenance.plan(flush=True))
        store.maintenance.send(list(objects)[:60], "cold")
        for key in objects:
            store.delete(key)
        store.parts.journal.seal()
        for _ in range(4):
            store.maintenance.gc()
        assert _objects_on(site) == set()
        assert store.parts.state.stripes == {}
        assert list(store.parts.state.catalog.all_versions()) == []
        assert not [p for p in (store.home / "log").iterdir() if p.name.startswith("segment")]


def test_a_dry_run_changes_nothing_and_tells_what_would_go(site: Site) -> None:
    with site.init() as store:
        objects = fill(store, 60, 9000)
        for key in list(objects)[:30]:
            store.put(key, b"new")
        store.flush()
        before = list(store.parts.state.catalog.all_versions())
        would = store.maintenance.gc(dry_run=True)
        assert list(store.parts.state.catalog.all_versions()) == before
        assert store.maintenance.gc().versions == would.versions


@pytest.mark.parametrize("lives", [0, 1, 7])
def test_no_orphan_is_left_when_a_move_was_killed(site: Site, lives: int) -> None:
    with site.init() as store:
        objects = fill(store, 60, 9000)
        site.cold.lives = lives
        with pytest.raises(Killed):
            store.maintenance.send(objects, "cold")
        site.cold.lives = None
        report = store.maintenance.gc()
        assert report.orphans >= min(lives, 1)
        assert _objects_on(site) == _known(store) == set()
        assert contents(store) == objects
        store.maintenance.send(objects, "cold")
        assert contents(store) == objects
        assert _objects_on(site) == _known(store)


def test_orphans_wait_for_their_grace_period(tmp_path: Path) -> None:
    import time

    site = Site(tmp_path, grace_s=100)
    shift_s = 0.0
    with site.init(clock=lambda: time.time() + shift_s) as store:
        objects = fill(store, 60, 9000)
        site.cold.lives = 5
        with pytest.raises(Killed):
            store.maintenance.send(objects, "cold")
        site.cold.lives = None
        left = _objects_on(site)
        assert len(left) == 5
        assert store.maintenance.gc().orphans == 0
        shift_s = -50.0  # a tier whose clock is ahead of ours
        assert store.maintenance.gc().orphans == 0
        assert _objects_on(site) == left
        shift_s = 101.0
        assert store.maintenance.gc().orphans == 5
        assert _objects_on(site) == set()
    site.forget()


def test_another_stores_fragments_on_the_same_tier_are_left_alone(
    site: Site, tmp_path: Path
) -> None:
    ours = site.init()
    theirs = site.init_at(tmp_path / "other")
    with ours, theirs:
        mine = fill(ours, 60, 9000, seed=1)
        other = fill(theirs, 60, 9000, seed=2)
        ours.maintenance.send(mine, "cold")
        theirs.maintenance.send(other, "cold")
        site.cold.inner.put_if_absent("d000/stripes/0000000000000009/000.1", b"what is this?")
        before = _objects_on(site)
        assert ours.maintenance.gc().orphans == theirs.maintenance.gc().orphans == 0
        assert _objects_on(site) == before
        for key in mine:
            ours.delete(key)
        ours.parts.journal.seal()
        for _ in range(3):
            ours.maintenance.gc()
        assert contents(theirs) == other
        assert _objects_on(site) == before - (
            before - _known(theirs) - {"d000/stripes/0000000000000009/000.1"}
        )


def test_a_tombstone_stays_while_an_orphan_could_bring_its_key_back(site: Site) -> None:
    site.init().close()
    index = WatchedIndex(site.home)
    with site.open(index=index) as store:
        objects = fill(store, 20, 9000)

        # A move that wrote all of its stripe, and was killed before the index knew.
        def die(batch: Batch) -> None:
            if batch.stripes:
                raise Killed

        index.before = die
        with pytest.raises(Killed):
            store.maintenance.send(objects, "cold")
        index.let_pass()
        orphans = _objects_on(site)
        assert orphans
        for key in objects:
            store.delete(key)
        store.parts.journal.seal()
        # It can't be deleted now.
        site.cold.away |= set(site.cold.failure_domains)
        for _ in range(3):
            report = store.maintenance.gc()
        assert report.unreachable
        assert len(list(store.parts.state.catalog.tombstones())) == len(objects)
        site.cold.away.clear()
    assert site.rebuild().objects == 0
    with site.open() as store:
        assert len(store) == 0
        for _ in range(4):
            store.maintenance.apply(store.maintenance.plan())
            store.parts.journal.seal()
            store.maintenance.gc()
        assert _objects_on(site) == set()
        assert not list(store.parts.state.catalog.tombstones())


def test_a_tombstone_stays_while_an_open_segment_has_an_older_record(site: Site) -> None:
    with site.init(shared=True) as one, site.open(shared=True) as two:
        one.put("key", b"old")
        assert two.delete("key")
        two.parts.journal.seal()
        for _ in range(3):
            two.maintenance.gc()
        assert [each.key for each in two.parts.state.catalog.tombstones()] == ["key"]
        one.parts.journal.seal()
        for _ in range(4):
            two.maintenance.gc()
        assert not list(two.parts.state.catalog.tombstones())
    assert site.rebuild().objects == 0


def test_the_index_forgets_old_removals_and_who_lags_behind_loads_it_anew(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    with site.init(shared=True) as one, site.open(shared=True) as two:
        objects = fill(one, 60, 9000)
        assert contents(two) == objects
        start = one.parts.state.index.poll()
        gone = [key for n, key in enumerate(objects) if n % 3]
        for key in gone:
            one.delete(key)
        one.parts.journal.seal()
        one.maintenance.gc()
        assert not one.parts.state.index.changes_since(start).reload
        # More removals than objects: to read those is less than to be told of these.
        monkeypatch.setattr(state, "_LEAST_NOTES", 0)
        one.maintenance.gc()
        assert one.parts.state.index.changes_since(start).reload
        left = {key: value for key, value in objects.items() if key not in gone}
        assert contents(two) == contents(one) == left


def test_one_stripe_that_is_lost_does_not_stop_the_collector(site: Site) -> None:
    with site.init() as store:
        objects = fill(store, 60, 9000)
        store.maintenance.send(objects, "cold")
        (stripe,) = store.parts.state.stripes.values()
        for each in stripe.fragments:
            if each.key:
                site.cold.delete(each.key)
        rng = random.Random(0)
        store.put("more", rng.randbytes(3 * SMALL))
        store.put("more", b"less")
        store.delete("k/0001")
        store.parts.journal.seal()
        report = store.maintenance.gc()
        assert report.segments
        # Whoever may be in the lost stripe is not forgotten.
        assert "k/0001" in {each.key for each in store.parts.state.catalog.tombstones()}


def test_a_put_and_its_delete_in_one_segment_are_freed_at_once(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with Store.init(home) as store:
        store.put("a", b"x" * 50_000)
        store.delete("a")
        report = store.maintenance.gc()
        assert (report.segments, report.tombstones) == (1, 1)
        assert report.freed_nbytes > 50_000
        assert not store.parts.state.segments
        store.put("kept", b"y")
        store.put("b", b"x" * 50_000)
        store.delete("b")
        store.maintenance.gc()
    assert Store.rebuild(home).ok
    with Store(home) as store:
        assert [info.key for info in store.list()] == ["kept"]


def test_a_delete_beside_what_a_snapshot_keeps_is_kept(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with Store.init(home) as store:
        store.put("a", b"1")
        store.snapshot("before")
        store.delete("a")
        store.maintenance.gc()
        assert not store.exists("a")
        assert bytes(store.get("a", snapshot="before")) == b"1"
    assert Store.rebuild(home).ok
    with Store(home) as store:
        assert not store.exists("a")
