"""An explanation says where an object lies, what that is worth, and what will become of it."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from care_kit import Site, fill

from deepseek_core import errors
from deepseek_store import Store
from deepseek_store.codes.durability import DurabilityModel, nines_by_repair
from deepseek_store.planning.policy import DAY_S


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path, warm=18, cold=18)
    yield made
    made.forget()


def test_an_object_of_the_log_lies_in_the_log_and_its_mirrors(site: Site, tmp_path: Path) -> None:
    with site.init(mirrors=[tmp_path / "mirror"]) as store:
        objects = fill(store, 20, 9000)
        told = store.maintenance.explain("k/0007")
        assert told.tier == "hot"
        assert told.nbytes == len(objects["k/0007"])
        (copy,) = told.copies
        assert copy.places == (str(site.home / "log"), str(tmp_path / "mirror"))
        assert copy.stripe is None
        assert told.shards == {told.nbytes: 1}
        assert "2 copies" in " ".join(told.sentences())


def test_an_adopted_object_has_a_copy_in_a_stripe_too(site: Site) -> None:
    with site.init() as store:
        fill(store, 40, 9000)
        store.maintenance.apply(store.maintenance.plan(flush=True))
        told = store.maintenance.explain("k/0001")
        assert told.tier == "hot"
        assert [copy.tier for copy in told.copies] == ["hot", "warm"]
        assert told.copies[1].stripe in store.parts.state.stripes


def test_the_nines_and_the_losses_are_those_of_the_stripe_as_it_lies(site: Site) -> None:
    with site.init() as store:
        fill(store, 40, 9000)
        store.maintenance.send(["k/0001"], "cold")
        told = store.maintenance.explain("k/0001")
        assert told.tier == "cold"
        (copy,) = told.copies
        stripe = store.parts.state.stripes[copy.stripe or 0]
        assert copy.code == stripe.code.name
        assert not copy.full
        places = [each.place for each in stripe.fragments if each.key]
        most = max(places.count(place) for place in places)
        assert copy.nines == nines_by_repair(stripe.code, DurabilityModel(), most)
        assert copy.domain_losses == stripe.code.tolerance // most
        data = sum(each.nbytes for each in stripe.fragments[: stripe.code.k])
        assert copy.efficiency == pytest.approx(data / stripe.object_nbytes)
        said = " ".join(told.sentences())
        for model in ("take one time", "bound by bandwidth", "latent sector errors"):
            assert model in said


def test_a_large_object_has_many_shards_and_a_reason_for_their_size(site: Site) -> None:
    with site.init() as store:
        store.put("big", bytes(1_000_000))
        hot = store.maintenance.explain("big")
        assert sum(nbytes * count for nbytes, count in hot.shards.items()) == 1_000_000
        assert "not measured" in hot.shards_why
        store.maintenance.send(["big"], "cold")
        cold = store.maintenance.explain("big")
        assert sum(nbytes * count for nbytes, count in cold.shards.items()) == 1_000_000
        assert max(cold.shards) <= 65_536
        assert "the last shard of a segment" in cold.shards_why
        assert sum(copy.nbytes for copy in cold.copies) == 1_000_000


def test_a_pin_decides_and_is_told(site: Site) -> None:
    with site.init() as store:
        fill(store, 10, 9000)
        store.maintenance.pin("k/0001", "cold")
        told = store.maintenance.explain("k/0001")
        assert told.pinned == "cold"
        assert (told.next_tier, told.next_at_s) == ("cold", told.now_s)
        assert "with the next plan" in told.sentences()[-1]
        store.maintenance.send(["k/0001"], "cold")
        assert store.maintenance.explain("k/0001").next_at_s is None


def test_when_it_says_that_an_object_moves_it_moves(tmp_path: Path) -> None:
    site = Site(tmp_path, half_life_s=DAY_S, min_residence_s=3600.0, stripe_wait_s=0.0, learn=False)
    now_s = 1_700_000_000.0
    with site.init(clock=lambda: now_s) as store:
        fill(store, 60, 9000)
        told = store.maintenance.explain("k/0001")
        assert told.next_at_s is not None
        assert told.next_at_s > now_s + 60
        local = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(told.next_at_s))
        assert local in told.sentences()[-1]
        now_s = told.next_at_s - 60
        store.maintenance.apply(store.maintenance.plan(flush=True))
        assert store.maintenance.explain("k/0001").tier == "hot"
        now_s = told.next_at_s + 60
        for _ in range(3):
            store.maintenance.apply(store.maintenance.plan(flush=True))
        assert store.maintenance.explain("k/0001").tier == told.next_tier
    site.forget()


def test_reads_make_an_object_warmer(site: Site) -> None:
    with site.init() as store:
        fill(store, 10, 9000)
        before = store.maintenance.explain("k/0001").accesses_per_day
        for _ in range(50):
            store.get("k/0001")
        after = store.maintenance.explain("k/0001")
        assert after.accesses_per_day > before
        assert after.verdict is not None
        assert f"{after.accesses_per_day:.3g} accesses a day" in " ".join(after.sentences())


def test_it_is_plain_json(site: Site) -> None:
    with site.init() as store:
        fill(store, 40, 9000)
        store.maintenance.apply(store.maintenance.plan(flush=True))
        told = json.loads(json.dumps(store.maintenance.explain("k/0001").to_json()))
        assert told["key"] == "k/0001"
        assert told["tier"] == "hot"
        assert len(told["verdict"]["candidates"]) == 3
        assert "next_at_s" in told


def test_a_tier_that_does_not_answer_is_no_reason_to_say_nothing(site: Site) -> None:
    with site.init() as store:
        fill(store, 40, 9000)
        store.maintenance.send(["k/0001"], "cold")
    site.cold.dead = True
    with site.open() as store:
        told = store.maintenance.explain("k/0001")
        assert told.tier == "cold"
        assert told.verdict is None
        assert told.unknown is not None
        assert "is not known" in " ".join(told.sentences())


def test_an_explanation_reads_no_fragment(site: Site) -> None:
    with site.init() as store:
        fill(store, 40, 9000)
        store.maintenance.send(["k/0001", "k/0002"], "cold")
        site.cold.away |= set(site.cold.failure_domains)
        assert store.maintenance.explain("k/0001").tier == "cold"
        assert store.maintenance.explain("k/0001").verdict is not None


def test_an_object_that_is_not_there_is_an_error(site: Site) -> None:
    with site.init() as store, pytest.raises(errors.ObjectMissing):
        store.maintenance.explain("nothing")


def test_a_store_without_tiers_explains_too(tmp_path: Path) -> None:
    with Store.init(tmp_path / "store") as store:
        store.put("key", b"data")
        store.put("empty", b"")
        told = store.maintenance.explain("key")
        assert told.tier == "hot"
        assert told.next_at_s is None
        assert told.verdict is not None
        assert told.verdict.rule == "only-tier"
        assert store.maintenance.explain("empty").nbytes == 0
