"""Of several copies of a home one has the store, and none destroys what another wrote."""

import os
import shutil
import signal
import threading
from pathlib import Path

import pytest
from care_kit import FaultyTier
from home_kit import POLICY, Operator, refused
from store_kit import data_of

from deepseek_core import Tier, errors
from deepseek_store import Store
from deepseek_store.errors import NotOwner, ReadOnlyStore
from deepseek_store.home import owner_epochs as owners
from deepseek_store.home import owner_watch
from deepseek_store.home.numbers import Marks, Numbers
from deepseek_store.home.owner_epochs import Owner
from deepseek_store.memory_tier import open_memory


def _fragments(operator: Operator) -> dict[str, bytes]:
    return {
        str(path.relative_to(operator.cold)): path.read_bytes()
        for path in operator.cold.rglob("stripes/**/*")
        if path.is_file()
    }


def test_an_older_home_is_read_only_until_it_is_adopted(operator: Operator) -> None:
    with operator.init() as store:
        operator.put(store, "a", 10, tier="cold")
    saved = operator.save(operator.home, "backup")
    with operator.open() as store:
        operator.put(store, "b", 10, tier="cold")
        store.delete("a/0")
        store.maintenance.gc()
    operator.kept.remove("a/0")
    operator.restore(saved, operator.home)
    before = _fragments(operator)
    with operator.open() as store:
        assert "store adopt" in str(refused(lambda: store.put("x", b"x")))
        assert isinstance(refused(store.maintenance.gc), ReadOnlyStore)
        assert bytes(store.get("a/1")) == data_of("a/1")
    assert _fragments(operator) == before
    assert Store.adopt(operator.home).ok
    with operator.open() as store:
        assert operator.lost(store) == {}
        operator.put(store, "c", 30, tier="cold")
        store.maintenance.gc()
        assert operator.lost(store) == {}
    assert Store.rebuild(operator.home).ok
    with operator.open() as store:
        assert operator.lost(store) == {}


def test_the_home_that_writes_first_has_the_store_and_its_copy_learns_it(
    operator: Operator,
) -> None:
    with operator.init() as store:
        operator.put(store, "a", 10, tier="cold")
    copy = operator.save(operator.home, "copy")
    with operator.open() as first, operator.open(copy) as second:
        # What goes to its own log alone is enough.
        operator.put(first, "first", 30)
        before = _fragments(operator)
        for call in (
            lambda: second.put("x", b"x"),
            lambda: second.maintenance.send(["a/0"], "cold"), second.maintenance.gc,
        ):  # fmt: skip
            assert isinstance(refused(call), ReadOnlyStore)
        assert _fragments(operator) == before
        assert operator.lost(second, operator.kept[:10]) == operator.lost(first) == {}
    with operator.open(copy) as second:
        assert second.read_only
        assert operator.lost(second, operator.kept[:10]) == {}
    with operator.open() as first:
        first.maintenance.send(operator.kept[20:], "cold")
    assert Store.adopt(copy).ok
    with operator.open(copy) as second:
        assert operator.lost(second, operator.kept[20:]) == {}
        second.maintenance.gc()
        assert operator.lost(second, operator.kept[20:]) == {}
    with operator.open() as first:
        assert isinstance(refused(lambda: first.put("x", b"x")), NotOwner | ReadOnlyStore)
        # What the owner has replaced and collected is gone here; nothing is ever other than it was.
        assert "other bytes" not in operator.lost(first).values()


def test_a_home_that_was_replaced_is_fenced_on_the_tier(operator: Operator) -> None:
    with operator.init() as store:
        operator.put(store, "a", 10, tier="cold")
    copy = operator.save(operator.home, "copy")
    with operator.open() as first:
        operator.put(first, "first", 30)
        ours = operator.kept[:]
        Store.adopt(copy)
        with operator.open(copy) as second:
            theirs = [*ours[:10], *operator.put(second, "second", 30, tier="cold")]
            before = _fragments(operator)
            assert isinstance(refused(lambda: first.maintenance.send(ours, "cold")), NotOwner)
            assert isinstance(refused(first.maintenance.gc), NotOwner)
            assert _fragments(operator) == before
            second.maintenance.gc()
            assert operator.lost(first, ours) == operator.lost(second, theirs) == {}
    assert Store.adopt(operator.home).ok
    with operator.open() as first:
        assert operator.lost(first, [*ours, *theirs]) == {}
        first.maintenance.send(ours, "cold")
        first.maintenance.gc()
        assert operator.lost(first, [*ours, *theirs]) == {}


def test_a_folder_where_no_disk_is_mounted_is_never_taken(operator: Operator) -> None:
    with operator.init() as store:
        operator.put(store, "a", 10, tier="cold")
    away = operator.cold.rename(operator.cold.with_name("away"))
    operator.cold.mkdir()
    with operator.open() as store:
        operator.put(store, "b", 3)
    assert not list(operator.cold.rglob("*.owners*"))
    shutil.rmtree(operator.cold)
    away.rename(operator.cold)
    with operator.open() as store:
        assert operator.lost(store) == {}
        operator.put(store, "c", 3, tier="cold")
        assert operator.lost(store) == {}


def test_the_older_owner_learns_it_before_it_acknowledges_a_put(operator: Operator) -> None:
    with operator.init() as store:
        operator.put(store, "a", 10, tier="cold")
    copy = operator.save(operator.home, "copy")
    Store.adopt(copy)
    with operator.open() as store:
        assert isinstance(refused(lambda: store.put("x", b"x")), NotOwner)
    with operator.open() as store:
        assert store.read_only
        assert operator.lost(store) == {}


def test_copies_that_never_meet_on_a_tier_give_other_numbers(operator: Operator) -> None:
    with operator.init(cold=[]) as store:
        operator.put(store, "a", 10)
    copy = operator.save(operator.home, "copy")
    segments = []
    for home in (operator.home, copy):
        with operator.open(home) as store:
            before = set(store.parts.state.segments)
            operator.put(store, home.name, 30)
            store.parts.journal.seal()
            segments.append(set(store.parts.state.segments) - before)
    assert not segments[0] & segments[1]
    # Both logs in one folder are one store.
    for path in (copy / "log").glob("*.seg"):
        shutil.copy2(path, operator.home / "log")
    with operator.open() as store:
        assert operator.lost(store) == {}


def test_to_look_into_a_copy_takes_nothing_from_the_home(operator: Operator) -> None:
    with operator.init() as store:
        operator.put(store, "a", 10, tier="cold")
    copy = operator.save(operator.home, "copy")
    for _ in range(2):
        with operator.open(copy) as store:
            assert operator.lost(store) == {}
            assert "store adopt" in str(refused(lambda: store.put("x", b"")))
            store.maintenance.fsck()
    with operator.open() as store:
        operator.put(store, "b", 10, tier="cold")
        assert operator.lost(store) == {}
    with operator.open(copy) as store:
        assert store.read_only


def test_a_home_without_its_record_does_not_pass_for_the_owner(operator: Operator) -> None:
    with operator.init() as store:
        operator.put(store, "a", 10, tier="cold")
    (operator.home / "owner.json").unlink()
    with operator.open() as store:
        assert isinstance(refused(lambda: store.put("b", b"")), NotOwner)
    Store.adopt(operator.home)
    with operator.open() as store:
        operator.put(store, "b", 3, tier="cold")
        assert operator.lost(store) == {}


@pytest.mark.parametrize("how", ["renamed", "restored in its place"])
def test_a_home_that_was_moved_goes_on(operator: Operator, how: str) -> None:
    with operator.init() as store:
        operator.put(store, "a", 10, tier="cold")
    home = operator.folder / "there"
    if how == "renamed":
        operator.home.rename(home)
    else:
        shutil.copytree(operator.home, home)
        shutil.rmtree(operator.home)
        home.rename(operator.home)
        home = operator.home
    for prefix in ("b", "c"):
        with operator.open(home) as store:
            assert not store.read_only
            operator.put(store, prefix, 10, tier="cold")
            assert store.maintenance.gc().unknown == []
            assert operator.lost(store) == {}


def test_a_home_that_was_copied_to_another_disk_asks_once(operator: Operator) -> None:
    with operator.init() as store:
        operator.put(store, "a", 10, tier="cold")
    there = operator.folder / "there"
    shutil.copytree(operator.home, there)
    shutil.rmtree(operator.home)
    with operator.open(there) as store:
        assert store.read_only
        assert operator.lost(store) == {}
    Store.adopt(there)
    for prefix in ("b", "c"):
        with operator.open(there) as store:
            operator.put(store, prefix, 10, tier="cold")
            assert operator.lost(store) == {}


def test_adopting_an_older_home_without_a_tier_is_refused_and_changes_nothing(
    operator: Operator,
) -> None:
    with operator.init() as store:
        operator.put(store, "a", 10, tier="cold")
    away = operator.cold.rename(operator.folder / "away")
    operator.cold.mkdir()
    assert isinstance(refused(lambda: Store.adopt(operator.home)), errors.TierUnavailable)
    shutil.rmtree(operator.cold)
    away.rename(operator.cold)
    Store.adopt(operator.home)
    with operator.open() as store:
        assert operator.lost(store) == {}


@pytest.mark.parametrize("stop", [*range(0, 30, 2)])
def test_an_adoption_that_is_killed_can_be_done_again(operator: Operator, stop: int) -> None:
    with operator.init() as store:
        operator.put(store, "a", 6, tier="cold")
    saved = operator.save(operator.home, "backup")
    with operator.open() as store:
        operator.put(store, "b", 6, tier="cold")
    operator.restore(saved, operator.home)
    process = os.fork()
    if not process:
        _adopt_and_die(operator.home, stop)
    _, status = os.waitpid(process, 0)
    killed = os.WIFSIGNALED(status)
    assert killed or stop > 10  # it makes more than ten things durable
    if killed:
        try:
            with operator.open() as store:
                # Nothing is given out twice, whatever it knows by now.
                assert operator.lost(store, operator.kept[:6]) == {}
        except errors.StorageError as error:
            assert error.remedy
        Store.adopt(operator.home)
    with operator.open() as store:
        assert not store.read_only
        assert operator.lost(store) == {}
        operator.put(store, "c", 10, tier="cold")
        store.maintenance.gc()
        assert operator.lost(store) == {}


def _adopt_and_die(home: Path, stop: int) -> None:
    """Adopt, but be killed at the n-th time that something is made durable."""
    count = 0
    real = os.fsync

    def fsync(file: int) -> None:
        nonlocal count
        if count == stop:
            os.kill(os.getpid(), signal.SIGKILL)
        count += 1
        real(file)

    os.fsync = os.fdatasync = fsync
    Store.adopt(home)
    os._exit(0)


class TestChain:
    """The chain of epochs on one place."""

    @pytest.fixture
    def tier(self, tmp_path: Path) -> FaultyTier:
        inner = open_memory(f"memory://chain-{tmp_path.name}")
        inner.clear()
        return FaultyTier(inner)

    def owner(self, home: Path) -> Owner:
        home.mkdir(exist_ok=True)
        numbers = Numbers(home)
        numbers.raise_to(Marks(stripe=1))
        return Owner(home, b"0123456789abcdef", numbers)

    def test_one_of_two_that_remember_the_same_goes_on(
        self, tmp_path: Path, tier: FaultyTier
    ) -> None:
        self.owner(tmp_path / "a").claim("tier 0", tier)
        shutil.copytree(tmp_path / "a", tmp_path / "b")
        one, two = self.owner(tmp_path / "a"), self.owner(tmp_path / "b")
        assert (one.copied, two.copied) == (False, True)
        two.claim("tier 0", tier)
        for _ in range(2):
            with pytest.raises(NotOwner, match="adopt"):
                one.claim("tier 0", tier)
        two.claim("tier 0", tier)
        one.claim("tier 0", tier, by_force=True)
        with pytest.raises(NotOwner):
            two.check("tier 0", tier)
        assert self.owner(tmp_path / "b").moved  # it asks first, from now on

    def test_a_claim_whose_answer_was_lost_is_ours(
        self, tmp_path: Path, tier: FaultyTier, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        owner = self.owner(tmp_path / "a")
        put = tier.put_if_absent

        def lose(key: str, data: bytes) -> bool:
            put(key, data)
            raise errors.TierUnavailable("the answer is lost", url=tier.url)

        monkeypatch.setattr(tier, "put_if_absent", lose)
        with pytest.raises(errors.TierUnavailable):
            owner.claim("tier 0", tier)
        monkeypatch.undo()
        again = self.owner(tmp_path / "a")
        again.claim("tier 0", tier)
        again.check("tier 0", tier)

    def test_a_full_tier_keeps_its_owner_who_can_free_room(
        self, tmp_path: Path, tier: FaultyTier, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.owner(tmp_path / "a").claim("tier 0", tier)

        def full(_key: str, _data: bytes) -> bool:
            raise errors.TierFull("full", url=tier.url)

        monkeypatch.setattr(tier, "put_if_absent", full)
        self.owner(tmp_path / "a").claim("tier 0", tier)
        monkeypatch.undo()
        self.owner(tmp_path / "a").claim("tier 0", tier)

    def test_old_epochs_do_not_pile_up(self, tmp_path: Path, tier: FaultyTier) -> None:
        for _ in range(30):
            self.owner(tmp_path / "a").claim("tier 0", tier)
        assert len(list(tier.list("stores/"))) <= owners._KEPT

    def test_an_older_image_of_a_tier_is_taken_at_a_later_epoch(
        self, tmp_path: Path, tier: FaultyTier, caplog: pytest.LogCaptureFixture
    ) -> None:
        self.owner(tmp_path / "a").claim("tier 0", tier)
        image = {stat.key: tier.get(stat.key) for stat in tier.list("")}
        for _ in range(3):
            self.owner(tmp_path / "a").claim("tier 0", tier)
        tier.inner.clear()
        for key, data in image.items():
            tier.inner.put_if_absent(key, data)
        owner = self.owner(tmp_path / "a")
        assert owner.lag("tier 0", tier)
        owner.claim("tier 0", tier)
        assert "older copy" in caplog.text
        assert not owner.lag("tier 0", tier)

    def test_a_record_that_can_not_be_read_is_nobodys(
        self, tmp_path: Path, tier: FaultyTier
    ) -> None:
        self.owner(tmp_path / "a").claim("tier 0", tier)
        (tmp_path / "a" / "owner.json").write_text("{")
        with pytest.raises(NotOwner):
            self.owner(tmp_path / "a").claim("tier 0", tier)


def test_a_store_with_a_tier_that_does_not_answer_takes_puts_at_once(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    with operator.init() as store:
        operator.put(store, "a", 3, tier="cold")
    gone = threading.Event()

    def hang(_url: str) -> Tier:
        gone.wait(30)
        raise errors.TierUnavailable("gone", url="")

    monkeypatch.setattr(owner_watch, "_FIRST_WAIT_S", 0.05)
    with operator.open(tiers=hang) as store:
        fresh = operator.put(store, "b", 10)
        assert operator.lost(store, fresh) == {}
    gone.set()


def test_init_in_the_place_of_a_store_that_was_deleted_is_another_store(
    operator: Operator,
) -> None:
    with operator.init() as store:
        operator.put(store, "a", 6, tier="cold")
    before = _fragments(operator)
    shutil.rmtree(operator.home)
    with Store.init(
        operator.home, cold=[f"{operator.cold.as_uri()}?domains=8"], policy=POLICY
    ) as store:
        operator.kept.clear()
        operator.put(store, "b", 6, tier="cold")
        store.maintenance.gc()
        assert operator.lost(store) == {}
    assert before.items() <= _fragments(operator).items()
