"""What an index does not know is garbage only if the index knows all that there is."""

import json
import random
import shutil
from pathlib import Path

import pytest
from care_kit import Killed, Site, contents, fill
from home_kit import Operator, refused
from store_kit import WatchedIndex

from deepseek_store import Store
from deepseek_store.errors import IndexOutdated
from deepseek_store.index.rows import Batch
from deepseek_store.stripes.stripe import parse_key


def _forget_marks(operator: Operator) -> None:
    """As a store of before there were marks: nothing tells that its index is an older one."""
    for name in ("numbers", "owner.json"):
        (operator.home / name).unlink(missing_ok=True)
    for path in operator.cold.glob("stores/*.owners"):
        shutil.rmtree(path)


def test_stripes_of_later_than_the_index_stay_and_a_rebuild_finds_them(tmp_path: Path) -> None:
    operator = Operator(tmp_path)
    with operator.init() as store:
        operator.put(store, "a", 10, tier="cold")
    saved = operator.save(operator.home / "index.sqlite", "backup")
    with operator.open() as store:
        operator.put(store, "b", 10, tier="cold")
        store.maintenance.gc()
    operator.restore(saved, operator.home / "index.sqlite")
    _forget_marks(operator)
    before = {path for path in operator.cold.rglob("stripes/**/*") if path.is_file()}
    with operator.open() as store:
        assert isinstance(refused(store.maintenance.gc), IndexOutdated)
    assert before == {path for path in operator.cold.rglob("stripes/**/*") if path.is_file()}
    assert Store.rebuild(operator.home).ok
    with operator.open() as store:
        store.maintenance.gc()
        assert operator.lost(store) == {}


def test_an_older_image_of_a_tier_brings_nothing_back_that_was_deleted(site: Site) -> None:
    with site.init() as store:
        objects = fill(store, 20, 9000)
        store.maintenance.send(objects, "cold")
        image = {stat.key: site.cold.get(stat.key) for stat in site.cold.inner.list()}
        for key in objects:
            store.delete(key)
        for _ in range(3):
            store.maintenance.gc()
        assert not store.parts.state.stripes
        for key, data in image.items():
            site.cold.inner.put_if_absent(key, data)
        assert store.maintenance.gc().orphans > 0
        store.maintenance.gc()
    assert site.rebuild().objects == 0


def test_a_number_that_lies_on_a_tier_already_is_passed_over(tmp_path: Path) -> None:
    operator = Operator(tmp_path)
    with operator.init() as store:
        operator.put(store, "a", 10)
        following = store.parts.state.index.counters().get("stripe", 0) + 1
        theirs = [f"d{domain}/stripes/{following:016x}/000.1" for domain in range(8)]
        tier = store.parts.tiers.tier(0)
        for key in theirs:
            tier.put_if_absent(key, b"somebody else's")
        store.maintenance.send(operator.kept, "cold")
        assert following not in store.parts.state.stripes
        assert {bytes(tier.get(key)) for key in theirs} == {b"somebody else's"}
        assert operator.lost(store) == {}
    assert Store.rebuild(operator.home).objects == 10


def test_index_and_numbers_from_one_backup_are_noticed_on_the_tier(tmp_path: Path) -> None:
    operator = Operator(tmp_path)
    with operator.init() as store:
        operator.put(store, "a", 10, tier="cold")
    saved = {
        name: operator.save(operator.home / name, name) for name in ("index.sqlite", "numbers")
    }
    with operator.open() as store:
        operator.put(store, "b", 10, tier="cold")
        store.maintenance.gc()
    for name, path in saved.items():
        operator.restore(path, operator.home / name)
    before = {path for path in operator.cold.rglob("stripes/**/*") if path.is_file()}
    with operator.open() as store:
        assert isinstance(refused(lambda: store.put("c", b"")), IndexOutdated)
        assert isinstance(refused(store.maintenance.gc), IndexOutdated)
    assert before == {path for path in operator.cold.rglob("stripes/**/*") if path.is_file()}
    assert Store.rebuild(operator.home).ok
    with operator.open() as store:
        operator.put(store, "c", 10, tier="cold")
        store.maintenance.gc()
        assert operator.lost(store) == {}


def test_two_segments_of_one_number_are_both_kept(tmp_path: Path) -> None:
    operator = Operator(tmp_path)
    with operator.init() as store:
        operator.put(store, "a", 10, tier="cold")
    saved = operator.save(operator.home, "backup")
    with operator.open() as store:
        operator.put(store, "b", 6, tier="cold")
        theirs = set(store.parts.state.stripes)
        numbers = [row.id for row in store.parts.state.segments.values() if not row.local]
    # An image of the whole disk comes back: it can't be told from the home that it was, and goes on
    # with the same numbers for as long as it can't reach its tier.
    operator.restore(saved, operator.home)
    away = operator.cold.rename(tmp_path / "away")
    record = operator.home / "owner.json"
    record.write_text(_as_if_written_here(record))
    with operator.open() as store:
        store.parts.state.index.raise_counter("segment", max(numbers) - 4)
        ours = operator.put(store, "ours", 40)
    shutil.rmtree(operator.cold, ignore_errors=True)
    away.rename(operator.cold)
    report = Store.adopt(operator.home)
    assert any("are two" in fault for fault in report.faults)
    with operator.open() as store:
        assert operator.lost(store, [key for key in operator.kept if key[0] != "b"]) == {}
        assert store.maintenance.gc().unknown
        assert operator.lost(store, ours) == {}
        assert "other bytes" not in operator.lost(store).values()
    left = {int(path.name, 16) for path in operator.cold.glob("d*/stripes/*")}
    assert theirs <= left


def _as_if_written_here(record: Path) -> str:
    """The record of a home with its very file's number, as an image of the disk has it."""
    content = json.loads(record.read_text())
    content["where"]["file"] = record.stat().st_ino
    return json.dumps(content)


def test_the_only_copy_of_a_fragment_stays_whoever_wrote_it(site: Site) -> None:
    rng = random.Random(5)
    site.init().close()
    watched = WatchedIndex(site.home)
    with site.open(index=watched) as store:
        objects = fill(store, 60, 9000)
        store.maintenance.send(objects, "cold")
        (stripe,) = store.parts.state.stripes.values()
        index = rng.choice(stripe.stored)
        place = stripe.fragments[index]
        site.tier(place.tier).delete(place.key)

        # A repair that is killed when it has written, and before the index knows.
        def die(batch: Batch) -> None:
            if batch.stripes:
                raise Killed

        watched.before = die
        with pytest.raises(Killed):
            store.maintenance.scrub(repair=True)
        watched.let_pass()
        repaired = [
            stat.key
            for stat in site.cold.inner.list()
            if (named := parse_key(stat.key.partition("/")[0], stat.key)) is not None
            and named[:2] == (stripe.id, index)
        ]
        assert len(repaired) == 1
        assert store.maintenance.gc().orphans == 0
        assert site.cold.get(repaired[0])
        assert store.maintenance.scrub(repair=True).ok
        for _ in range(2):
            store.maintenance.gc()
        (stripe,) = store.parts.state.stripes.values()
        known = {each.key for each in stripe.fragments if each.key}
        assert {k.key for k in site.cold.inner.list() if "stripes" in k.key} == known
        assert contents(store) == objects


def test_a_clock_that_is_set_back_neither_hurries_nor_keeps_what_was_replaced(
    tmp_path: Path,
) -> None:
    site = Site(tmp_path, grace_s=100)
    now = [1e9]
    with site.init(clock=lambda: now[0]) as store:
        objects = fill(store, 20, 9000)
        store.maintenance.send(objects, "cold")
        for key in objects:
            store.delete(key)
        store.maintenance.gc()
        now[0] += 10
        store.maintenance.gc()
        (given_up,) = store.parts.state.given_up
        now[0] -= 1e6
        for _ in range(2):
            assert store.maintenance.gc().stripes_waiting == 1
        assert given_up in store.parts.state.given_up
        now[0] += 101
        store.maintenance.gc()
        assert store.parts.state.given_up == {}
    site.forget()
