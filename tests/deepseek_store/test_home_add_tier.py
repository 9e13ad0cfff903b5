"""A store gets more tiers: marked, checked, and taken back where they do not fit."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest
from store_kit import SMALL, data_of

from deepseek_core import errors
from deepseek_store import Store
from deepseek_store.errors import CodeRefused, ForeignStore, StoreLocked
from deepseek_store.home.config import FILE, StoreConfig

OBJECTS = {f"k/{number}": data_of(number) for number in range(40)}


def folder(tmp_path: Path, name: str, domains: int) -> str:
    (tmp_path / name).mkdir(exist_ok=True)
    return f"{(tmp_path / name).as_uri()}?domains={domains}"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    with Store.init(tmp_path / "s", warm=[folder(tmp_path, "warm", 8)], policy=SMALL) as store:
        for key, data in OBJECTS.items():
            store.put(key, data)
        store.maintenance.apply(store.maintenance.plan(flush=True))
        assert store.parts.state.stripes
    return tmp_path / "s"


def check(store: Store) -> None:
    assert {info.key: bytes(store.get(info.key)) for info in store.list()} == OBJECTS
    assert store.maintenance.fsck(deep=True).ok


def test_a_store_gets_a_tier_that_it_was_not_made_with(home: Path, tmp_path: Path) -> None:
    with Store(home) as store, pytest.raises(errors.ConfigError) as caught:
        store.maintenance.send(OBJECTS, "cold")
    assert caught.value.remedy == f"ds-sdk store add-tier {home} --cold URL"
    with Store.add_tiers(home, cold=[folder(tmp_path, "cold", 10)]) as store:
        check(store)
        store.maintenance.send(OBJECTS, "cold")
        check(store)
    with Store(home) as store:
        check(store)
        assert {stripe.tier for stripe in store.parts.state.stripes.values()} >= {"cold"}
    assert Store.rebuild(home).ok
    with Store(home) as store:
        check(store)


def test_a_tier_gets_more_places_and_old_stripes_stay(home: Path, tmp_path: Path) -> None:
    with Store.add_tiers(home, warm=[folder(tmp_path, "more", 4)]) as store:
        check(store)
        for number in range(40):
            store.put(f"new/{number}", data_of(number))
        store.maintenance.apply(store.maintenance.plan(flush=True))
        used = {each.place.tier for s in store.parts.state.stripes.values() for each in s.fragments}
        assert used == {0, 1}


@pytest.mark.parametrize(
    ("name", "domains", "error"),
    [("warm", 8, ForeignStore), ("few", 2, CodeRefused), ("gone", 0, errors.StorageError)],
)
def test_what_does_not_fit_changes_nothing(
    home: Path, tmp_path: Path, name: str, domains: int, error: type[Exception]
) -> None:
    url = folder(tmp_path, name, domains) if domains else "file:/proc/no/such/folder"
    marks = list((tmp_path / "warm").rglob("stores/*"))
    assert marks
    before = (home / FILE).read_bytes()
    with pytest.raises(error):
        Store.add_tiers(home, cold=[url])
    assert (home / FILE).read_bytes() == before
    assert list((tmp_path / "warm").rglob("stores/*")) == marks
    assert not list((tmp_path / name).rglob("stores/*")) or name == "warm"
    with Store.add_tiers(home, cold=[folder(tmp_path, "fits", 10)]) as store:
        store.maintenance.send(OBJECTS, "cold")
        check(store)


def test_one_that_was_killed_before_the_end_may_be_run_again(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    url = folder(tmp_path, "cold", 10)
    with monkeypatch.context() as patch:
        patch.setattr(StoreConfig, "save", die)
        patch.setattr("deepseek_store.home.create.unmark_tiers", lambda *_, **__: None)
        with pytest.raises(Killed):
            Store.add_tiers(home, cold=[url])
    assert list((tmp_path / "cold").rglob("stores/*"))
    with Store.add_tiers(home, cold=[url]) as store:
        check(store)


def test_nobody_may_have_it_open(home: Path, tmp_path: Path) -> None:
    with Store(home, shared=True), pytest.raises(StoreLocked):
        Store.add_tiers(home, cold=[folder(tmp_path, "cold", 10)])


def test_a_url_that_was_only_written_into_the_file_is_not_taken(home: Path, tmp_path: Path) -> None:
    config = StoreConfig.load(home)
    other = attrs.evolve(config.tiers[0], name="cold", url=folder(tmp_path, "cold", 10))
    attrs.evolve(config, tiers=(*config.tiers, other)).save(home)
    with Store(home) as store:
        with pytest.raises(errors.TierUnavailable, match="does not know this store"):
            store.maintenance.send(OBJECTS, "cold")
        assert {info.key: bytes(store.get(info.key)) for info in store.list()} == OBJECTS
    assert not list((tmp_path / "cold").rglob("stripes/*"))
