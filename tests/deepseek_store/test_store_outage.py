"""An outage is not a loss: it is told as what it is, who is away and why, and it ends."""

import random
from pathlib import Path

import pytest
from care_kit import Site, break_fragment, contents, cooled, fill, fragments_of, segment_files

from deepseek_core import errors
from deepseek_store import Store
from deepseek_store.errors import Corrupt, Unrecoverable

pytestmark = pytest.mark.usefixtures("tiers_asked_at_once")


def test_a_tier_that_is_down_is_unavailable_and_comes_back(site: Site) -> None:
    with site.init() as store:
        objects = cooled(store)
    site.cold.dead = True
    with site.open() as store:
        with pytest.raises(errors.TierUnavailable, match="nobody answers") as caught:
            store.get("k/0001")
        assert caught.value.retryable
        assert isinstance(caught.value, OSError)
        assert not isinstance(caught.value, Corrupt)
        assert caught.value.url == site.urls[1]
        assert site.urls[1] in caught.value.message
        assert caught.value.remedy
        # It flaps: the same process reads again as soon as it answers.
        for _ in range(3):
            site.cold.dead = False
            assert bytes(store.get("k/0001")) == objects["k/0001"]
        assert contents(store) == objects


def test_domains_beyond_the_code_are_named_with_their_cause(site: Site) -> None:
    with site.init() as store:
        objects = cooled(store)
        site.cold.away |= set(site.cold.failure_domains)
        with pytest.raises(errors.TierUnavailable, match="is out of reach") as caught:
            store.get("k/0001")
        assert "d001" in caught.value.message
        assert "more" in caught.value.message
        assert "Nothing of it is known to be lost" in caught.value.message
        # Those that failed a moment ago are asked again before anything is refused.
        site.cold.away.clear()
        assert contents(store) == objects


def test_what_is_bad_and_what_is_away_are_told_apart(site: Site) -> None:
    rng = random.Random(1)
    with site.init() as store:
        objects = cooled(store)
        (stripe,) = store.parts.state.stripes.values()
        whole = fragments_of(site, stripe)
        bad = list(stripe.stored)[: stripe.code.tolerance]
        for index, kind in zip(bad, ("missing", "truncated", "swapped", "missing"), strict=True):
            break_fragment(site, stripe, index, kind, whole, rng)
        last = stripe.stored[stripe.code.tolerance]
        break_fragment(site, stripe, last, "unreachable", whole, rng)
        refused = 0
        for key, content in objects.items():
            try:
                assert bytes(store.get(key)) == content
            except errors.TierUnavailable as error:
                assert "besides" in error.message
                refused += 1
        assert refused
        # It comes back damaged: now it is a loss, and only now.
        site.cold.away.clear()
        break_fragment(site, stripe, last, "missing", whole, rng)
        lost = 0
        for key, content in objects.items():
            try:
                assert bytes(store.get(key)) == content
            except Unrecoverable as error:
                assert set(error.lost) >= {*bad, last}
                assert not isinstance(error, OSError)
                lost += 1
        assert lost >= refused


def test_a_fragment_that_is_away_is_not_lost_because_others_are(site: Site) -> None:
    """More is gone than the code bears, but this object lies on a domain that is only away."""
    rng = random.Random(2)
    with site.init() as store:
        objects = cooled(store)
        (stripe,) = store.parts.state.stripes.values()
        whole = fragments_of(site, stripe)
        away, *others = [index for index in stripe.stored if index < stripe.width]
        parities = [index for index in stripe.stored if index >= stripe.code.k]
        for index in (*others[:1], *parities):
            break_fragment(site, stripe, index, "missing", whole, rng)
        break_fragment(site, stripe, away, "unreachable", whole, rng)
        segment = stripe.fragments[away].segment
        keys = [
            v.key for v in map(store.parts.state.catalog.get, objects) if v and v.segment == segment
        ]
        assert keys
        for key in keys:
            try:
                store.get(key)
            except Unrecoverable:
                assert others[0] in _indexes(store, key, stripe)
            except errors.TierUnavailable:
                pass
        report = store.maintenance.repair()
        whole_keys = [key for key in keys if _indexes(store, key, stripe) == {away}]
        assert whole_keys
        assert not set(report.lost_keys) & set(whole_keys)
        site.cold.away.clear()
        for key in whole_keys:
            assert bytes(store.get(key)) == objects[key]


def _indexes(store: Store, key: str, stripe) -> set[int]:  # type: ignore[no-untyped-def]
    from deepseek_store.log.records import unpack_extents

    version = store.parts.state.catalog.get(key)
    assert version is not None
    return {stripe.index_of(extent.segment) for extent in unpack_extents(version.extents)}


def test_a_log_whose_disk_is_away_is_an_outage_too(site: Site, tmp_path: Path) -> None:
    mirror = tmp_path / "mirror"
    with site.init(mirrors=[mirror]) as store:
        objects = fill(store, 20, 9000)
        store.parts.journal.seal()
        (file,) = segment_files(store)[:1]
        right = file.read_bytes()
        file.write_bytes(bytes(len(right)))
        mirror.rename(tmp_path / "away")
        store.parts.disk.close()
        key = "k/0001"
        with pytest.raises(errors.TierUnavailable, match="mirror"):
            store.get(key)
        (tmp_path / "away").rename(mirror)
        assert bytes(store.get(key)) == objects[key]


def test_salvage_during_an_outage_gives_nobody_up(site: Site) -> None:
    """An object with one piece in a damaged segment and another on a tier that is away."""
    with site.init() as store:
        cold = fill(store, 40, 9000, prefix="c")
        store.maintenance.send(cold, "cold")
        big = random.Random(3).randbytes(300_000)
        store.put("big", big)
        store.parts.journal.seal()
        store.maintenance.gc()
        hurt = segment_files(store)[0]
        data = bytearray(hurt.read_bytes())
        data[len(data) // 2] ^= 1
        hurt.write_bytes(data)
        store.parts.disk.close()
        site.cold.away |= set(site.cold.failure_domains)
        report = store.maintenance.scrub(repair=True)
        assert set(report.lost_keys) <= {"big"}
        site.cold.away.clear()
        for key, content in cold.items():
            assert bytes(store.get(key)) == content


def test_each_domain_tells_its_own_cause(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    causes = {"d001": "the token has expired", "d002": "no such host", "d003": "connection refused"}

    def away(key: str) -> None:
        domain = key.partition("/")[0]
        why = causes.get(domain, "timed out")
        raise errors.TierUnavailable(f"{key}: {why}", url=site.urls[1], remedy=f"fix {domain}")

    with site.init() as store:
        cooled(store)
        monkeypatch.setattr(site.cold, "_enter", away)
        with pytest.raises(errors.TierUnavailable) as caught:
            store.get("k/0001")
        for domain, why in causes.items():
            assert f"({domain}): {domain}/" in caught.value.message
            assert why in caught.value.message
        assert caught.value.message.count("timed out") == 1
        assert caught.value.remedy == "fix d001"
