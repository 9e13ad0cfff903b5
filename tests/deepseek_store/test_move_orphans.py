"""What an index does not know is garbage only if the index knows all that there is."""

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from care_kit import Killed, Site, contents, fill, fragments_of
from home_kit import Operator, refused

from deepseek_store import Store
from deepseek_store.errors import IndexOutdated
from deepseek_store.home import tier_set
from deepseek_store.index.rows import Batch
from deepseek_store.stripes.stripe import parse_key


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    made = Site(tmp_path)
    monkeypatch.setattr(tier_set, "open_tier", made.open_tier)
    yield made
    made.forget()


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
        store.gc()
    operator.restore(saved, operator.home / "index.sqlite")
    _forget_marks(operator)
    before = {path for path in operator.cold.rglob("stripes/**/*") if path.is_file()}
    with operator.open() as store:
        assert isinstance(refused(store.gc), IndexOutdated)
    assert before == {path for path in operator.cold.rglob("stripes/**/*") if path.is_file()}
    assert Store.rebuild(operator.home).ok
    with operator.open() as store:
        store.gc()
        assert operator.lost(store) == {}


def test_an_orphan_that_holds_what_the_index_has_not_stays(site: Site) -> None:
    with site.init() as store:
        objects = fill(store, 20, 9000)
        store.send(objects, "cold")
        (stripe,) = store.parts.state.stripes.values()
        # The index forgets the stripe, and one of its keys.
        for version in list(store.parts.state.catalog.versions("k/0003")):
            store.parts.state.catalog.forget(*version.id)
        kept = store.parts.state.stripes.pop(stripe.id)
        before = fragments_of(site, stripe)
        report = store.gc()
        assert report.orphans == 0
        assert any(f"stripe {stripe.id:x}" in line for line in report.unknown)
        assert fragments_of(site, stripe) == before
        store.parts.state.stripes[stripe.id] = kept
    assert Store.rebuild(site.home).ok
    with site.open() as store:
        assert contents(store) == objects


def test_the_only_copy_of_a_fragment_stays_whoever_wrote_it(site: Site) -> None:
    rng = random.Random(5)
    with site.init() as store:
        objects = fill(store, 60, 9000)
        store.send(objects, "cold")
        (stripe,) = store.parts.state.stripes.values()
        index = rng.choice(stripe.stored)
        place = stripe.fragments[index]
        site.tier(place.tier).delete(place.key)
        # A repair that is killed when it has written, and before the index knows.
        commit = store.parts.state.commit

        def die(batch: Batch) -> None:
            if batch.stripes:
                raise Killed
            commit(batch)

        store.parts.state.commit = die  # type: ignore[method-assign]
        with pytest.raises(Killed):
            store.scrub(repair=True)
        store.parts.state.commit = commit  # type: ignore[method-assign]
        repaired = [
            stat.key
            for stat in site.cold.inner.list()
            if (named := parse_key(stat.key.partition("/")[0], stat.key)) is not None
            and named[:2] == (stripe.id, index)
        ]
        assert len(repaired) == 1
        assert store.gc().orphans == 0
        assert site.cold.get(repaired[0])
        assert store.scrub(repair=True).ok
        for _ in range(2):
            store.gc()
        (stripe,) = store.parts.state.stripes.values()
        known = {each.key for each in stripe.fragments if each.key}
        assert {k.key for k in site.cold.inner.list() if "stripes" in k.key} == known
        assert contents(store) == objects


def test_a_clock_that_is_set_back_neither_hurries_nor_keeps_what_was_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Site(tmp_path, grace_s=100)
    monkeypatch.setattr(tier_set, "open_tier", site.open_tier)
    now = [1e9]
    with site.init(clock=lambda: now[0]) as store:
        objects = fill(store, 20, 9000)
        store.send(objects, "cold")
        for key in objects:
            store.delete(key)
        store.gc()
        now[0] += 10
        store.gc()
        (given_up,) = store.parts.state.given_up
        now[0] -= 1e6
        for _ in range(2):
            assert store.gc().stripes_waiting == 1
        assert given_up in store.parts.state.given_up
        now[0] += 101
        store.gc()
        assert store.parts.state.given_up == {}
    site.forget()
