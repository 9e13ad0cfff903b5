"""What a store tells plugins that listen."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from care_kit import Site, adopted, break_fragment, fill, fragments_of
from sim_disk import SimDisk

from deepseek_core import errors, events
from deepseek_core.testing import listening
from deepseek_store import Store
from deepseek_store.home.events import StoreEvents
from deepseek_store.home.findings import KeptFinding


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path, warm=18, cold=18)
    yield made
    made.forget()


def test_it_tells_what_it_moves(site: Site) -> None:
    with listening() as heard, site.init() as store:
        objects = adopted(store)
        store.maintenance.send(objects, "cold")
        store.maintenance.send(objects, "hot")
    found = heard.of(events.ObjectsMoved)
    ways = {(one.source, one.target) for one in found}
    assert ways >= {("hot", "warm"), ("cold", "hot")}
    nbytes = sum(map(len, objects.values()))
    assert sum(one.nbytes for one in found if one.source == "cold") == nbytes
    assert {one.store for one in found} == {f"ds:{site.home}"}


def test_it_tells_of_damage_and_of_its_repair(site: Site) -> None:
    rng = random.Random(2)
    with listening() as heard, site.init() as store:
        adopted(store)
        (stripe, *_) = store.parts.state.stripes.values()
        break_fragment(site, stripe, 0, "corrupt-payload", fragments_of(site, stripe), rng)
        assert not store.maintenance.scrub().ok
        assert store.maintenance.repair().ok
    (met, *_) = heard.of(events.DamageFound)
    assert met.example.startswith(f"fragment 0 of stripe {stripe.id:x}") and not met.lost
    (healed,) = heard.of(events.DamageRepaired)
    assert (healed.repaired, healed.left) == (1, 0)
    scrub, repair = heard.of(events.ScrubEnded)
    assert (scrub.kind, scrub.faults, scrub.repaired, scrub.complete) == ("scrub", 1, 0, True)
    assert scrub.nbytes > 0
    assert (repair.kind, repair.faults, repair.repaired) == ("repair", 1, 1)


def test_it_tells_how_it_is_once_in_a_second_and_not_before(site: Site) -> None:
    with listening() as heard, site.init() as store:
        objects = fill(store, 20, 9000)
        assert heard.of(events.StoreState) == []
        store.parts.events._states = events.Pace(1.0)
        for key in objects:
            store.get(key)
    (state,) = heard.of(events.StoreState)
    assert (state.objects, state.hot_reads, state.fetched) == (20, 0, 0)
    assert [tier.tier for tier in state.tiers] == ["hot", "warm", "cold"]
    assert state.tiers[0].capacity_bytes > 0


def test_to_tell_how_it_is_asks_no_tier(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that hangs must not hold up a reader of what lies elsewhere."""
    with listening() as heard, site.init() as store:
        store.put("a", b"hot")
        tiers = [tier for tier in store.parts.tiers.tiers if tier is not None]
        for tier in tiers:
            monkeypatch.setattr(type(tier), "profile", lambda self: pytest.fail("asked"))
        store.parts.events.opened()
    (state, *_) = heard.of(events.StoreState)
    assert tiers and [tier.tier for tier in state.tiers] == ["hot", "warm", "cold"]


def test_one_that_cares_for_itself_tells_how_it_is_as_it_opens(tmp_path: Path) -> None:
    Store.init(tmp_path / "home").close()
    with listening() as heard, Store(tmp_path / "home", background=True):
        pass
    (state,) = heard.of(events.StoreState)
    assert state.objects == 0


class FullDisk(SimDisk):
    """A disk that takes no more."""

    is_full = False

    def create(self, name: str, nbytes: int) -> None:
        self._check()
        super().create(name, nbytes)

    def write_at(self, name: str, offset: int, parts: Any) -> None:
        self._check()
        super().write_at(name, offset, parts)

    def _check(self) -> None:
        if self.is_full:
            raise errors.TierFull("no space left", url=self.url, remedy="free space")


def test_a_full_tier_is_told_once_in_a_second(tmp_path: Path) -> None:
    Store.init(tmp_path / "home").close()
    disk = FullDisk()
    with listening() as heard, Store(tmp_path / "home", disk=disk) as store:
        store.put("a", b"x" * 1000)
        disk.is_full = True
        for _ in range(3):
            with pytest.raises(errors.TierFull):
                store.put("b", b"x" * 1000)
        disk.is_full = False
    (told,) = heard.of(events.TierFull)
    assert "no space left" in told.reason and told.store == store.url


def test_what_comes_fast_is_summed_up() -> None:
    found = KeptFinding(what="segment", number=7, kind="corrupt", place="/disk", detail="bytes 3")
    with listening() as heard:
        told = StoreEvents(Path("home"), pytest.fail)
        for nbytes in (1, 2, 3):
            told.moved("hot", "warm", nbytes)
            told.moved("warm", "warm", nbytes)
            told.met(found)
        told.flush()
        told.flush()
    assert [(m.moves, m.nbytes) for m in heard.of(events.ObjectsMoved)] == [(1, 1), (2, 5)]
    assert [(d.times, d.reason) for d in heard.of(events.DamageFound)] == [
        (1, "corrupt: bytes 3"), (2, "corrupt: bytes 3"),
    ]  # fmt: skip
