"""An index rebuilt from segments and fragments alone is as good as the one that was lost."""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from care_kit import (
    Killed,
    Site,
    break_fragment,
    contents,
    fill,
    flipped,
    fragments_of,
)
from care_machine import StoreMachine
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule
from postgres_server import PostgresServer
from store_kit import damage_index

from deepseek_core import errors
from deepseek_store import Store
from deepseek_store.errors import Corrupt, ForeignStore, StoreLocked
from deepseek_store.home.config import StoreConfig
from deepseek_store.home.pins_and_snapshots import (
    PinsAndSnapshots,
    SnapshotNote,
    note_dropped,
    note_pins,
    note_snapshot,
)
from deepseek_store.home.tier_set import mark_tiers
from deepseek_store.index.rows import Version
from deepseek_store.log.records import unpack_extents


class RebuildMachine(StoreMachine):
    """The same, with moves and collections that are killed, and an index that is lost at times."""

    def teardown(self) -> None:
        if hasattr(self, "store"):
            # What a killed move has left may be taken for a stripe that lost fragments.
            assert self.store.maintenance.scrub(repair=True, resume=False).ok
        super().teardown()

    @rule(lives=st.integers(0, 15), tier=st.integers(0, 1), what=st.sampled_from("sag"))
    def killed(self, lives: int, tier: int, what: str) -> None:
        self.site.tier(tier).lives = lives
        try:
            if what == "s":
                self.store.maintenance.send(sorted(self.twin), ("warm", "cold")[tier])
            elif what == "a":
                self.store.maintenance.apply(self.store.maintenance.plan(flush=True))
            else:
                self.store.maintenance.gc()
        except Killed:
            pass
        self.site.tier(tier).lives = None

    @rule()
    def rebuild(self) -> None:
        names = [row.name for row in self.store.snapshots()]
        self.store.close()
        (self.site.home / "index.sqlite").unlink()
        report = self.site.rebuild()
        assert report.damaged_keys == ()
        assert report.objects == len(self.twin)
        self.store = self.site.open()
        assert [row.name for row in self.store.snapshots()] == names
        assert self.store.parts.state.pins == self.pins
        assert contents(self.store) == self.twin
        for name, members in self.snapshots.items():
            assert contents(self.store, name) == members

    @rule()
    def scrubbed(self) -> None:
        report = self.store.maintenance.scrub(repair=True, resume=False)
        assert report.ok, report.sentences()
        assert report.lost_keys == ()
        assert self.store.maintenance.scrub(resume=False).faults == ()


TestNothingIsLostWithTheIndex = RebuildMachine.TestCase
TestNothingIsLostWithTheIndex.settings = settings(
    max_examples=25,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


def _lived(store: Store) -> dict[str, bytes]:
    """Some of everything: overwritten, deleted, renamed, copied, adopted, packed, collected."""
    objects = fill(store, 150, 9000)
    store.maintenance.apply(store.maintenance.plan(flush=True))
    keys = sorted(objects)
    store.maintenance.send(keys[:60], "cold")
    for key in keys[::5]:
        objects[key] = b"new " + key.encode()
        store.put(key, objects[key], meta={"about": key})
    for key in keys[1::7]:
        store.delete(key)
        objects.pop(key, None)
    store.maintenance.gc()
    for key in keys[2::11]:
        if key in objects:
            store.rename(key, f"moved/{key}")
            objects[f"moved/{key}"] = objects.pop(key)
    for key in keys[3::13]:
        if key in objects:
            store.copy(key, f"copy/{key}")
            objects[f"copy/{key}"] = objects[key]
    objects["big"] = random.Random(1).randbytes(700_000)
    store.put("big", objects["big"])
    return objects


@pytest.mark.parametrize("how", ["missing", "empty", "truncated", "foreign", "noise", "whole"])
def test_everything_is_there_again_whatever_became_of_the_index(site: Site, how: str) -> None:
    with site.init() as store:
        objects = _lived(store)
        infos = list(store.list())
        rows = dict(store.parts.state.segments)
        stripes = dict(store.parts.state.stripes)
        clock = store.parts.state.catalog.clock
        store.parts.journal.seal()
    if how != "whole":
        damage_index(site.home / "index.sqlite", how)
    report = site.rebuild()
    assert report.ok
    assert report.objects == len(objects)
    assert (report.aside is None) == (how == "missing")
    if report.aside is not None:
        assert (site.home / report.aside).exists()
    with site.open() as store:
        assert contents(store) == objects
        assert list(store.list()) == infos
        assert store.parts.state.stripes == stripes
        assert store.parts.state.catalog.clock >= clock
        for number, row in rows.items():
            if row.state == "sealed":
                found = store.parts.state.segments[number]
                assert (found.local, found.stripe, found.fragment, found.nbytes) == (
                    row.local, row.stripe, row.fragment, row.nbytes,
                )  # fmt: skip
        assert store.maintenance.fsck(deep=True).ok
        assert store.maintenance.scrub().ok


def test_an_old_index_is_never_overwritten(site: Site) -> None:
    with site.init() as store:
        store.put("key", b"data")
    names = [site.rebuild().aside for _ in range(3)]
    assert names == [f"index.sqlite.broken-{number}" for number in (1, 2, 3)]
    assert all((site.home / str(name)).exists() for name in names)
    # Some are kept, not all of them for ever.
    assert site.rebuild().aside == "index.sqlite.broken-4"
    kept = sorted(path.name for path in site.home.glob("*.broken-?"))
    assert kept == [f"index.sqlite.broken-{number}" for number in (2, 3, 4)]


def test_a_store_that_goes_on_after_a_rebuild_gives_no_number_twice(site: Site) -> None:
    with site.init() as store:
        objects = _lived(store)
        highest = max(store.parts.state.segments)
        stripe = max(store.parts.state.stripes)
        generation = store.put("last", b"1").generation
        objects["last"] = b"1"
    (site.home / "index.sqlite").unlink()
    site.rebuild()
    with site.open() as store:
        assert store.put("last", b"2", if_generation=generation).generation > generation
        objects["last"] = b"2"
        more = fill(store, 60, 9000, seed=3, prefix="more")
        store.maintenance.apply(store.maintenance.plan(flush=True))
        store.maintenance.send(more, "cold")
        new = [row.id for row in store.parts.state.segments.values() if row.id > highest]
        assert len(new) > 3
        assert max(store.parts.state.stripes) > stripe
        assert contents(store) == objects | more


def test_snapshots_and_pins_come_back(site: Site) -> None:
    with site.init() as store:
        objects = fill(store, 60, 9000)
        store.snapshot("first")
        old = dict(objects)
        store.maintenance.pin("k/000", "cold")
        store.maintenance.pin("k/001", "hot")
        store.maintenance.unpin("k/0005")
        store.snapshot("dropped")
        store.drop_snapshot("dropped")
        for key in list(objects)[::2]:
            store.delete(key)
            del objects[key]
        for key in list(objects)[::3]:
            store.put(key, b"later")
            objects[key] = b"later"
        store.maintenance.gc()
        pins = dict(store.parts.state.pins)
        assert len(pins) == 19
    (site.home / "index.sqlite").unlink()
    report = site.rebuild()
    assert (report.snapshots, report.pins) == (1, len(pins))
    with site.open() as store:
        assert store.parts.state.pins == pins
        assert [row.name for row in store.snapshots()] == ["first"]
        store.maintenance.gc()
        assert contents(store, "first") == old
        assert contents(store) == objects


def test_a_torn_note_is_passed_over(tmp_path: Path) -> None:
    note_pins(tmp_path, ["a", "b"], "cold")
    with (tmp_path / "notes.jsonl").open("ab") as file:
        file.write(b'{"pin":"hot","ke')
    note_pins(tmp_path, ["b"], None)
    note_snapshot(tmp_path, SnapshotNote(name="one", created_s=1.0, clock=7))
    note_snapshot(tmp_path, SnapshotNote(name="two", created_s=2.0, clock=8))
    note_dropped(tmp_path, "one")
    notes = PinsAndSnapshots.load(tmp_path)
    assert notes.pins == {"a": "cold"}
    assert list(notes.snapshots) == ["two"]
    assert PinsAndSnapshots.load(tmp_path / "nowhere") == PinsAndSnapshots()


def test_a_store_that_crashed_is_rebuilt_up_to_its_last_acknowledged_put(
    site: Site, tmp_path: Path
) -> None:
    with site.init() as store:
        objects = _lived(store)
        # As a crash would leave it: the active segment has no footer, and a torn tail.
        shutil.copytree(site.home, tmp_path / "crashed")
    home = tmp_path / "crashed"
    (active,) = (home / "log").glob("active-*.seg")
    data = active.read_bytes().rstrip(b"\0")
    active.write_bytes(data + b"\0" * 8 + b"torn" * 50)
    for path in home.glob("index.sqlite*"):
        path.unlink()
    report = Store.rebuild(home)
    assert report.truncated_nbytes
    with Store(home) as store:
        assert contents(store) == objects


def test_a_tier_that_can_not_be_reached_is_not_taken_for_lost(site: Site) -> None:
    with site.init() as store:
        objects = _lived(store)
    site.cold.dead = True
    with pytest.raises(errors.TierUnavailable, match="objects would seem to be lost"):
        site.rebuild()
    site.cold.dead = False
    site.cold.away.add("d003")
    with pytest.raises(errors.TierUnavailable, match="d003"):
        site.rebuild()
    assert not list(site.home.glob("*.broken-*"))
    report = site.rebuild(force=True)
    assert len(report.unreachable) == 1
    site.cold.away.clear()
    assert site.rebuild().ok
    with site.open() as store:
        assert contents(store) == objects


def test_lost_fragments_are_known_and_repaired_after_a_rebuild(site: Site) -> None:
    rng = random.Random(2)
    with site.init() as store:
        objects = _lived(store)
        for stripe in store.parts.state.stripes.values():
            whole = fragments_of(site, stripe)
            for index in rng.sample(stripe.stored, stripe.code.tolerance):
                break_fragment(site, stripe, index, "missing", whole, rng)
    report = site.rebuild()
    assert report.objects == len(objects)
    assert report.damaged_keys == ()
    with site.open() as store:
        assert contents(store) == objects
        assert store.maintenance.scrub(repair=True, resume=False).ok
        assert store.maintenance.scrub().faults == ()
        assert contents(store) == objects


@pytest.mark.parametrize("tables", [0, 1])
def test_a_stripe_that_is_lost_for_good_is_told_of(site: Site, tables: int) -> None:
    rng = random.Random(3)
    with site.init() as store:
        objects = fill(store, 60, 9000)
        store.maintenance.send(objects, "cold")
        store.maintenance.gc()
        (stripe,) = store.parts.state.stripes.values()
        whole = fragments_of(site, stripe)
        data = [index for index in stripe.stored if index < stripe.width]
        parities = [index for index in stripe.stored if index >= stripe.code.k]
        for index in [*data[:2], *parities[tables:]]:
            break_fragment(site, stripe, index, "missing", whole, rng)
        gone = {stripe.fragments[index].segment for index in data[:2]}
        found = {key: store.parts.state.catalog.get(key) for key in objects}
        parted = {key for key, version in found.items() if version and _is_in(version, gone)}
    report = site.rebuild()
    assert not report.ok
    assert f"stripe {stripe.id:x}" in " ".join(report.faults)
    with site.open() as store:
        left = {info.key for info in store.list()} - set(report.damaged_keys)
        assert left == objects.keys() - parted
        for key in left:
            assert bytes(store.get(key)) == objects[key]
        for key in report.damaged_keys:
            with pytest.raises(Corrupt):
                store.get(key)


def _is_in(version: Version, segments: set[int]) -> bool:
    return any(extent.segment in segments for extent in unpack_extents(version.extents))


def test_the_copy_that_lies_safest_is_taken(site: Site) -> None:
    with site.init() as store:
        objects = fill(store, 60, 9000)
        site.cold.lives = 7
        with pytest.raises(Killed):
            store.maintenance.send(objects, "cold")
        site.cold.lives = None
    (site.home / "index.sqlite").unlink()
    report = site.rebuild()
    assert report.damaged_keys == ()
    with site.open() as store:
        assert store.parts.state.stripes == {}
        assert {store.maintenance.explain(key).tier for key in objects} == {"hot"}
        for each in list(site.cold.inner.list()):
            site.cold.delete(each.key)
        assert contents(store) == objects


def test_verify_reads_what_else_would_be_met_by_a_reader(site: Site) -> None:
    with site.init() as store:
        objects = _lived(store)
    path = sorted((site.home / "log").glob("segment-*.seg"))[-1]
    path.write_bytes(flipped(path.read_bytes(), 300))
    assert site.rebuild().ok
    report = site.rebuild(verify=True)
    assert len(report.faults) == 1
    assert not report.ok
    assert report.objects == len(objects)
    assert "another hash" in report.faults[0] or "no record" in report.faults[0], report.faults
    json.dumps(report.to_json())


def test_a_footer_that_is_damaged_is_made_up_for_by_the_mirror(site: Site, tmp_path: Path) -> None:
    with site.init(mirrors=[tmp_path / "mirror"]) as store:
        objects = fill(store, 60, 9000)
    for path in sorted((site.home / "log").glob("segment-*.seg")):
        data = path.read_bytes()
        path.write_bytes(flipped(data, len(data) - 100))
    report = site.rebuild()
    assert report.objects == len(objects)
    with site.open() as store:
        assert contents(store) == objects


def test_an_open_store_is_not_rebuilt(site: Site) -> None:
    with site.init(), pytest.raises(StoreLocked):
        site.rebuild()


def test_a_folder_without_a_store_is_not_rebuilt(tmp_path: Path) -> None:
    with pytest.raises(errors.ConfigError, match="there is no store"):
        Store.rebuild(tmp_path)


def test_a_killed_rebuild_is_done_by_the_next(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    with site.init() as store:
        objects = _lived(store)
    path = Path(site.home)
    for name in ("index.sqlite.new", "index.sqlite.new-wal", "index.sqlite-wal"):
        (path / name).write_bytes(b"left behind")
    (path / "index.sqlite").unlink()
    assert site.rebuild().ok
    with site.open() as store:
        assert contents(store) == objects


def test_deleted_keys_stay_deleted_wherever_a_collection_was_killed(tmp_path: Path) -> None:
    """The index is lost right after each single step of a collector."""
    site = Site(tmp_path)
    with site.init() as store:
        objects = fill(store, 40, 9000)
        keys = sorted(objects)
        store.maintenance.apply(store.maintenance.plan(flush=True))
        store.maintenance.send(keys[:20], "cold")
        store.parts.journal.seal()
        for key in [*keys[:10], *keys[20:]]:
            store.delete(key)
            del objects[key]
        store.parts.journal.seal()
    home, tiers = tmp_path / "kept", [_all_of(tier) for tier in (site.warm, site.cold)]
    shutil.copytree(site.home, home)
    steps = killed = 0
    while True:
        shutil.rmtree(site.home)
        shutil.copytree(home, site.home)
        for tier, content in zip((site.warm, site.cold), tiers, strict=True):
            tier.inner.clear()
            for key, data in content.items():
                tier.inner.put_if_absent(key, data)
        try:
            with site.open() as store:
                _die_after(store, site, steps)
                for _ in range(3):
                    store.maintenance.gc()
        except Killed:
            killed += 1
        (site.home / "index.sqlite").unlink()
        report = site.rebuild()
        assert report.damaged_keys == ()
        with site.open() as store:
            assert contents(store) == objects
            assert len(store) == len(objects)
        if steps > killed:
            break
        steps += 1
    assert killed > 10
    site.forget()


def _all_of(tier: object) -> dict[str, bytes]:
    inner = tier.inner  # type: ignore[attr-defined]
    return {found.key: inner.get(found.key) for found in inner.list()}


def _die_after(store: Store, site: Site, steps: int) -> None:
    """Let the process be killed once so many changes were made; those after it do nothing."""
    left = steps

    def counted(change: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **more: object) -> object:
            nonlocal left
            if left <= 0:
                raise Killed
            left -= 1
            return change(*arguments, **more)

        return call

    disk = store.parts.disk
    disk.remove = counted(disk.remove)  # type: ignore[method-assign]
    io = store.parts.tiers.stripes._io
    io.remove = counted(io.remove)  # type: ignore[method-assign]
    index = store.parts.state.index
    index.commit = counted(index.commit)  # type: ignore[assignment]


def test_a_schema_of_postgresql_is_filled_anew(site: Site, postgres: PostgresServer) -> None:
    url = postgres.url("rebuild_care")
    with site.init(index=url) as store:
        objects = _lived(store)
        store.snapshot("one")
        kept = dict(objects)
        store.put("k/0004", b"later")
        objects["k/0004"] = b"later"
    assert site.rebuild().ok
    with site.open() as store:
        assert contents(store) == objects
        assert contents(store, "one") == kept
        assert store.maintenance.fsck(deep=True).ok


def test_the_schema_of_another_store_is_left_alone(
    site: Site, tmp_path: Path, postgres: PostgresServer
) -> None:
    url = postgres.url("rebuild_other")
    with site.init(index=url) as store:
        store.put("key", b"data")
    other = tmp_path / "other"
    shutil.copytree(site.home, other)
    config = json.loads((other / "store.json").read_text())
    config["store_id"] = "00" * 16
    (other / "store.json").write_text(json.dumps(config))
    shutil.rmtree(other / "log")
    (other / "log").mkdir()
    mark_tiers(StoreConfig.load(other))
    with pytest.raises(ForeignStore):
        Store.rebuild(other)
    with site.open() as store:
        assert bytes(store.get("key")) == b"data"


def test_an_object_whose_bytes_the_index_does_not_know_asks_for_a_rebuild(site: Site) -> None:
    with site.init() as store:
        store.put("a", b"1" * 50_000)
        store.maintenance.send(["a"], "cold")
        store.copy("a", "b")  # a record in the log, of bytes on the tier
    site.cold.dead = True
    assert site.rebuild(force=True).unreachable
    site.cold.dead = False
    with site.open() as store:
        with pytest.raises(errors.TierUnavailable, match="rebuilt without") as caught:
            store.get("b")
        assert caught.value.remedy == f"ds-sdk store rebuild {site.home}"
        store.append("b", b"2")  # needs none of them
    site.rebuild()
    with site.open() as store:
        assert bytes(store.get("b")) == b"1" * 50_000 + b"2"


def test_nothing_is_collected_by_an_index_that_is_known_to_lack_something(site: Site) -> None:
    with site.init() as store:
        objects = _lived(store)
    site.cold.dead = True
    assert site.rebuild(force=True).unreachable
    site.cold.dead = False
    with site.open() as store:
        report = store.maintenance.gc()
        assert "rebuild it again" in report.unreachable[0]
        assert (report.orphans, report.segments, report.stripes) == (0, 0, 0)
    assert site.rebuild().ok
    with site.open() as store:
        assert contents(store) == objects
        assert store.maintenance.gc().unreachable == []
        assert contents(store) == objects


def test_a_schema_that_is_only_half_filled_is_not_opened(
    site: Site, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with site.init(index=postgres.url("rebuild_killed")) as store:
        objects = _lived(store)

    def die(*_arguments: object) -> None:
        raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr("deepseek_store.index.base.Index.restore_snapshot", die)
        patched.setattr("deepseek_store.index.base.Index.finish", die)
        site.rebuild()
    with pytest.raises(ForeignStore, match="rebuild of it is under way, or was killed"):
        site.open()
    assert site.rebuild().ok
    with site.open() as store:
        assert contents(store) == objects


def test_an_empty_object_is_not_sought_in_a_stripe_that_was_never_finished(site: Site) -> None:
    objects = {"empty": b"", "full": b"x" * 5000}
    with site.init() as store:
        for key, content in objects.items():
            store.put(key, content)
        site.warm.lives = 1
        with pytest.raises(Killed):
            store.maintenance.send(objects, "warm")
        site.warm.lives = None
    (site.home / "index.sqlite").unlink()
    assert site.rebuild().stripes == 0
    with site.open() as store:
        assert contents(store) == objects
        assert store.maintenance.fsck(deep=True).ok


def test_a_delete_while_a_tier_is_away_holds_when_it_is_back(tmp_path: Path) -> None:
    home, cold = tmp_path / "home", tmp_path / "cold"
    with Store.init(home, cold=[f"{cold.as_uri()}?domains=8"]) as store:
        store.put("gone", bytes(50_000))
        store.put("kept", bytes(50_000))
        store.maintenance.send(["gone", "kept"], "cold")
        store.maintenance.gc()
    cold.rename(tmp_path / "away")
    Store.rebuild(home, force=True)
    with Store(home) as store:
        assert not store.delete("gone")
    shutil.rmtree(cold)  # the empty one, made meanwhile
    (tmp_path / "away").rename(cold)
    Store.rebuild(home)
    with Store(home) as store:
        assert list(store) == ["kept"]
