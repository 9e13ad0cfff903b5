"""Damage is made good from whatever is left; what can't be is named, and the rest is saved."""

import random
import threading
from pathlib import Path

import pytest
from care_kit import (
    Killed,
    Site,
    adopted,
    break_fragment,
    contents,
    damage_file,
    fill,
    flipped,
    fragments_of,
    segment_files,
)

from deepseek_store import Store
from deepseek_store.check.background import tick
from deepseek_store.check.mend import salvage
from deepseek_store.errors import Corrupt
from deepseek_store.log.mirrored import MirroredDisk


@pytest.mark.parametrize("kind", ["missing", "truncated", "damaged"])
def test_a_file_of_the_log_comes_back_from_a_mirror(site: Site, tmp_path: Path, kind: str) -> None:
    rng = random.Random(2)
    with site.init(mirrors=[tmp_path / "mirror"]) as store:
        objects = fill(store, 60, 9000)
        store.parts.journal.seal()
        files = segment_files(store)
        before = [path.read_bytes() for path in files]
        for number, path in enumerate(files):
            # Now the first copy, now the second one.
            damage_file(tmp_path / "mirror" / path.name if number % 2 else path, kind, rng)
        report = store.maintenance.scrub(repair=True)
        assert report.repaired == len(files)
        assert store.maintenance.scrub().faults == ()
        assert [path.read_bytes() for path in files] == before
        assert contents(store) == objects


@pytest.mark.parametrize("kind", ["missing", "truncated", "damaged"])
def test_a_file_of_the_log_comes_back_from_its_stripe(site: Site, kind: str) -> None:
    rng = random.Random(3)
    with site.init() as store:
        objects = adopted(store)
        files = segment_files(store)
        before = [path.read_bytes() for path in files]
        for path in files:
            damage_file(path, kind, rng)
        assert contents(store) == objects
        report = store.maintenance.scrub(repair=True)
        assert report.repaired == len(files)
        assert report.lost_keys == ()
        assert [path.read_bytes() for path in files] == before
        assert store.maintenance.scrub().faults == ()


def test_what_is_left_of_a_segment_without_a_copy_is_written_anew(site: Site) -> None:
    with site.init() as store:
        objects = fill(store, 60, 9000)
        store.delete("k/0003")
        store.parts.journal.seal()
        path = segment_files(store)[0]
        row = store.parts.state.segments[1]
        inside = [
            v for v in map(store.parts.state.catalog.get, objects) if v and v.segment == row.id
        ]
        victim = inside[3]
        data = path.read_bytes()
        at = victim.offset + 88 + len(victim.key) + 5
        path.write_bytes(flipped(data, at))

        report = store.maintenance.scrub(repair=True)
        assert report.lost_keys == (victim.key,)
        assert {fault.outcome for fault in report.faults} == {"lost"}
        assert not report.ok
        assert victim.key in report.sentences()[-1]
        with pytest.raises(Corrupt):
            store.get(victim.key)
        del objects[victim.key], objects["k/0003"]
        # Even if all of it goes now, only that one object is lost.
        path.unlink()
        for key, content in objects.items():
            assert bytes(store.get(key)) == content
    with site.open() as store:
        with pytest.raises(Corrupt, match="is missing"):
            store.get(victim.key)
        store.put(victim.key, b"again")
        store.maintenance.gc()
        assert store.maintenance.scrub(resume=False).ok
        assert "k/0003" not in contents(store)


def test_nothing_is_lost_where_only_a_footer_is(site: Site) -> None:
    with site.init() as store:
        objects = fill(store, 60, 9000)
        store.parts.journal.seal()
        for path in segment_files(store):
            data = path.read_bytes()
            path.write_bytes(flipped(data, len(data) - 20))
        report = store.maintenance.scrub(repair=True)
        assert report.lost_keys == ()
        assert report.ok
        store.maintenance.gc()
        assert store.maintenance.scrub(resume=False).faults == ()
        assert contents(store) == objects


def test_more_losses_than_a_code_bears_cost_only_what_lay_there(site: Site) -> None:
    rng = random.Random(4)
    with site.init() as store:
        objects = fill(store, 150, 9000)
        store.maintenance.send(objects, "cold")
        (stripe,) = store.parts.state.stripes.values()
        whole = fragments_of(site, stripe)
        data = [index for index in stripe.stored if index < stripe.width]
        parities = [index for index in stripe.stored if index >= stripe.code.k]
        for index in [data[0], data[1], *parities]:
            break_fragment(site, stripe, index, "missing", whole, rng)
        report = store.maintenance.scrub(repair=True)
        gone = {stripe.fragments[index].segment for index in data[:2]}
        inside = {
            version.key
            for version in map(store.parts.state.catalog.get, objects)
            if version and gone & {e.segment for e in _extents(version)}
        }
        assert set(report.lost_keys) == inside
        assert 0 < len(inside) < len(objects)
        # What could be read is safe elsewhere now.
        for index in data[2:]:
            break_fragment(site, stripe, index, "missing", whole, rng)
        for key in objects.keys() - inside:
            assert bytes(store.get(key)) == objects[key]
        for key in inside:
            with pytest.raises(Corrupt):
                store.get(key)


def test_what_only_can_not_be_reached_is_waited_for(site: Site) -> None:
    with site.init() as store:
        objects = fill(store, 150, 9000)
        store.maintenance.send(objects, "cold")
        site.cold.away |= set(site.cold.failure_domains)
        report = store.maintenance.scrub(repair=True)
        assert {fault.kind for fault in report.faults} == {"unreachable"}
        assert {fault.outcome for fault in report.faults} == {"waiting"}
        assert report.lost_keys == ()
        site.cold.away.clear()
        assert store.maintenance.repair(report).ok
        assert contents(store) == objects


def test_repair_without_moving_leaves_unreachable_fragments_where_they_are(site: Site) -> None:
    with site.init() as store:
        fill(store, 150, 9000)
        store.maintenance.send([info.key for info in store.list()], "cold")
        (before,) = store.parts.state.stripes.values()
        site.cold.away.add("d001")
        found = store.maintenance.scrub()
        left = store.maintenance.repair(found, unreachable=False)
        assert {fault.outcome for fault in left.faults} == {"waiting"}
        assert list(store.parts.state.stripes.values()) == [before]
        moved = store.maintenance.repair(found)
        assert moved.ok
        (after,) = store.parts.state.stripes.values()
        assert all(each.domain != "d001" for each in after.fragments)


def test_repair_makes_good_what_a_report_tells_of_and_nothing_else(site: Site) -> None:
    rng = random.Random(6)
    with site.init() as store:
        objects = fill(store, 100, 9000)
        store.maintenance.send(list(objects)[:50], "cold")
        store.maintenance.send(list(objects)[50:], "cold")
        one, other = store.parts.state.stripes.values()
        break_fragment(site, one, 0, "missing", fragments_of(site, one), rng)
        report = store.maintenance.scrub()
        break_fragment(site, other, 0, "missing", fragments_of(site, other), rng)
        repaired = store.maintenance.repair(report)
        assert repaired.stripes == 1
        assert repaired.ok
        assert [fault.unit.number for fault in store.maintenance.scrub(resume=False).faults] == [
            other.id
        ]


def test_what_readers_met_is_repaired_by_the_next_round_of_care(site: Site) -> None:
    rng = random.Random(7)
    with site.init() as store:
        objects = fill(store, 100, 9000)
        store.maintenance.send(objects, "cold")
        (stripe,) = store.parts.state.stripes.values()
        whole = fragments_of(site, stripe)
        break_fragment(site, stripe, 0, "corrupt-payload", whole, rng)
        break_fragment(site, stripe, 1, "missing", whole, rng)
        assert contents(store) == objects
        assert len(store.parts.suspects)
        assert tick(store.parts, seconds=30).error is None
        assert not len(store.parts.suspects)
        assert store.maintenance.scrub().faults == ()


def test_a_damaged_file_of_the_log_that_a_reader_met_is_repaired(site: Site) -> None:
    with site.init() as store:
        objects = adopted(store)
        path = segment_files(store)[0]
        path.write_bytes(bytes(path.stat().st_size))
        assert contents(store) == objects
        report = store.maintenance.repair()
        assert report.segments
        assert report.ok
        assert store.maintenance.scrub().faults == ()


def test_a_mirror_that_missed_something_is_brought_up_to_date(site: Site, tmp_path: Path) -> None:
    mirror = tmp_path / "mirror"
    with site.init(mirrors=[mirror]) as store:
        objects = fill(store, 20, 9000)
    aside = tmp_path / "elsewhere"
    mirror.rename(aside)
    mirror.mkdir()
    with site.open() as store:
        # An empty folder in place of the mirror may be a disk that is not mounted.
        store.maintenance.repair()
        assert not list(mirror.iterdir())
    site.adopt()
    with site.open() as store:
        # Its owner says that it is a new disk: its files are missing, and come back.
        assert store.maintenance.scrub(repair=True).ok
        assert isinstance(store.parts.disk, MirroredDisk)
        assert {p.name for p in segment_files(store)} <= {p.name for p in mirror.iterdir()}
        assert contents(store) == objects


def test_two_repairers_at_once_leave_one_right_stripe(site: Site) -> None:
    rng = random.Random(8)
    with site.init() as store:
        objects = fill(store, 150, 9000)
        store.maintenance.send(objects, "cold")
        (stripe,) = store.parts.state.stripes.values()
        whole = fragments_of(site, stripe)
        for index in rng.sample(stripe.stored, stripe.code.tolerance):
            break_fragment(site, stripe, index, "missing", whole, rng)
        found = store.maintenance.scrub()
        reports = []
        threads = [
            threading.Thread(target=lambda: reports.append(store.maintenance.repair(found)))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(reports) == 4
        assert sum(report.repaired for report in reports) == len(found.faults)
        assert store.maintenance.scrub().faults == ()
        assert store.maintenance.gc().orphans == 0
        assert contents(store) == objects


def test_a_repair_that_was_killed_is_done_by_the_next(site: Site) -> None:
    rng = random.Random(9)
    with site.init() as store:
        objects = fill(store, 150, 9000)
        store.maintenance.send(objects, "cold")
        (stripe,) = store.parts.state.stripes.values()
        whole = fragments_of(site, stripe)
        for index in rng.sample(stripe.stored, stripe.code.tolerance):
            break_fragment(site, stripe, index, "missing", whole, rng)
        site.cold.lives = 1
        with pytest.raises(Killed):
            store.maintenance.scrub(repair=True)
        site.cold.lives = None
        report = store.maintenance.scrub(repair=True, resume=False)
        assert report.ok
        assert store.maintenance.scrub().faults == ()
        assert contents(store) == objects


def test_salvaging_what_is_whole_loses_nothing(site: Site) -> None:
    with site.init() as store:
        objects = fill(store, 60, 9000)
        store.snapshot("before")
        old = dict(objects)
        for key in list(objects)[::3]:
            store.put(key, b"new " + key.encode())
            objects[key] = b"new " + key.encode()
        for key in list(objects)[1::7]:
            store.delete(key)
            del objects[key]
        store.parts.journal.seal()
        store.flush()
        everything = frozenset(store.parts.state.segments)
        assert salvage(store.parts, everything).lost == ()
        store.flush()
        store.parts.journal.seal()
        store.maintenance.gc()
        assert not everything & set(store.parts.state.segments)
        assert contents(store) == objects
        assert contents(store, "before") == old
        assert store.maintenance.fsck(deep=True).ok


def test_suspects_are_taken_once(site: Site) -> None:
    with site.init() as store:
        suspects = store.parts.suspects
        suspects.note(7, "bad")
        suspects.note(7, "worse")
        assert len(suspects) == 1
        assert suspects.take() == {7: "worse"}
        assert suspects.take() == {}


def _extents(version):  # type: ignore[no-untyped-def]
    from deepseek_store.log.records import unpack_extents

    return unpack_extents(version.extents)


def test_a_segment_without_its_footer_is_gone_when_repair_says_repaired(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with Store.init(home) as store:
        objects = fill(store, 20, 9000)
    (path,) = (home / "log").glob("segment-*")
    data = bytearray(path.read_bytes())
    data[-200:] = bytes(200)
    path.write_bytes(data)
    with Store(home) as store:
        assert store.maintenance.repair().repaired == 1
        assert store.maintenance.repair().faults == ()
        assert store.maintenance.scrub().faults == ()
        assert store.maintenance.fsck(deep=True).ok
        assert contents(store) == objects
