"""Repair looks before it speaks; what anybody has found is told to all, until it is healed."""

import json
import random
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from care_kit import (
    SMALL,
    Killed,
    Site,
    break_fragment,
    contents,
    cooled,
    damage_file,
    fill,
    flipped,
    fragments_of,
    segment_files,
)
from command import ds_sdk_here

from deepseek_core import errors
from deepseek_store import Policy, Store
from deepseek_store.check.background import tick
from deepseek_store.errors import ReadOnlyStore
from deepseek_store.log.file_disk import FileDisk
from deepseek_store.report.metrics import render
from deepseek_store.report.page import write_status_page
from deepseek_store.report.status import look

pytestmark = pytest.mark.usefixtures("tiers_asked_at_once")


def on_disk(tmp_path: Path, domains: int = 8) -> tuple[Path, Path, dict[str, bytes]]:
    """A home, its cold tier on a disk, and what lies there."""
    home, cold = tmp_path / "home", tmp_path / "cold"
    policy = Policy(
        cold_fragment_nbytes=SMALL, prefetch=False, cache_nbytes=0, grace_s=0.0,
        codes={"hot": "auto", "warm": "auto", "cold": "rs(4,2)"},
    )  # fmt: skip
    with Store.init(home, cold=[f"{cold.as_uri()}?domains={domains}"], policy=policy) as store:
        objects = cooled(store, 60)
    return home, cold, objects


def sdk(command: str, home: Path, *words: object) -> subprocess.CompletedProcess[str]:
    return ds_sdk_here(home.parent, "store", command, home, *words)


def test_what_a_reader_met_is_told_by_another_process(tmp_path: Path) -> None:
    """The reader is in a process of its own, and gone."""
    home, cold, _ = on_disk(tmp_path)
    (victim, *_) = sorted(cold.rglob("stripes/*/000*"))
    data = victim.read_bytes()
    victim.write_bytes(flipped(data, len(data) // 2))
    code = (
        "import sys\nfrom deepseek_store import Store\n"
        "with Store(sys.argv[1]) as store:\n"
        "    for info in store.list(): store.get(info.key)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(home)], check=True, timeout=120)
    status = json.loads(sdk("status", home, "--json").stdout)
    (found,) = status["findings"]
    assert (found["what"], found["index"], found["kind"]) == ("stripe", 0, "corrupt-payload")
    assert found["by"] == "read"
    assert not status["healthy"]
    assert "fragment 0 of stripe" in sdk("status", home).stdout
    assert "corrupt-payload" in sdk("fsck", home).stdout
    (key, *_) = [info.key for info in _listed(home)]
    assert any(
        "corrupt-payload" in text
        for copy in json.loads(sdk("explain", home, key, "--json").stdout)["copies"]
        for text in copy["found"]
    )
    repaired = sdk("repair", home)
    assert repaired.returncode == 0
    assert "repaired: 1." in repaired.stdout
    assert json.loads(sdk("status", home, "--json").stdout)["findings"] == []


def _listed(home: Path) -> list:  # type: ignore[type-arg]
    with Store(home) as store:
        return list(store.list())


@pytest.mark.parametrize("how", ["removed", "emptied"])
def test_a_domain_that_went_is_counted_and_its_fragments_made_anew(
    tmp_path: Path, how: str
) -> None:
    home, cold, objects = on_disk(tmp_path)
    with Store(home) as store:
        stripes = list(store.parts.state.stripes.values())
    domain = stripes[0].fragments[0].domain
    shutil.rmtree(cold / domain / ("stripes" if how == "emptied" else ""))
    with Store(home) as store:
        tier = next(each for each in look(store).tiers if each.name == "cold")
        if how == "removed":
            assert (tier.domains, tier.domains_configured) == (7, 8)
            assert tier.stripes_hurt
            assert tier.domain_losses_now == 1
            assert tier.choice is not None
            assert tier.nines_now is not None
            assert tier.nines_now < min(tier.choice.nines.values())
        report = store.maintenance.repair()
        assert report.ok
        assert report.repaired == sum(
            each.domain == domain for s in stripes for each in s.fragments if each.key
        )
        assert contents(store) == objects
        tier = next(each for each in look(store).tiers if each.name == "cold")
        assert tier.stripes_hurt == 0
        assert tier.domain_losses_now == 2


def test_an_older_image_of_a_domain_is_noticed(tmp_path: Path) -> None:
    home, cold, objects = on_disk(tmp_path)
    shutil.copytree(cold, tmp_path / "image")
    with Store(home) as store:
        more = fill(store, 60, 9000, seed=1, prefix="later")
        store.maintenance.send(more, "cold")
        newest = store.parts.state.stripes[max(store.parts.state.stripes)]
        domain = newest.fragments[0].domain
    shutil.rmtree(cold / domain)
    (tmp_path / "image" / domain).rename(cold / domain)
    with Store(home) as store:
        report = store.maintenance.repair()
        assert report.repaired
        assert {fault.kind for fault in report.faults} == {"missing"}
        assert report.ok
        assert contents(store) == objects | more
        assert store.maintenance.scrub(resume=False).ok


def test_where_all_domains_are_away_nothing_is_called_healthy(tmp_path: Path) -> None:
    home, cold, objects = on_disk(tmp_path)
    cold.rename(tmp_path / "elsewhere")
    for words in (("repair", home), ("repair", home, "--dry-run"), ("scrub", home)):
        told = sdk(*words)
        assert told.returncode == 1, told
        assert "nothing is wrong" not in told.stdout.lower()
        assert "Away: " in told.stdout
    told = sdk("repair", home, "--json")
    facts = json.loads(told.stdout)
    assert facts["ok"] is False
    assert facts["looked"]["domains_there"] == 0
    assert facts["not_looked_at"]
    assert "BROKEN" in sdk("status", home).stdout
    shutil.rmtree(cold, ignore_errors=True)
    (tmp_path / "elsewhere").rename(cold)
    told = sdk("repair", home)
    assert told.returncode == 0, told.stdout
    assert json.loads(sdk("status", home, "--json").stdout)["healthy"] is True
    with Store(home) as store:
        assert contents(store) == objects


@pytest.mark.parametrize("where", ["header", "payload", "end"])
def test_a_small_store_is_read_wholly_before_it_is_called_whole(site: Site, where: str) -> None:
    with site.init() as store:
        objects = cooled(store)
        assert store.maintenance.repair().sentences()[-1] == "Nothing is wrong."
        (stripe, *_) = store.parts.state.stripes.values()
        place = stripe.fragments[3]
        data = site.cold.get(place.key)
        at = {"header": 20, "payload": len(data) // 2, "end": len(data) - 1}[where]
        site.cold.delete(place.key)
        site.cold.put_if_absent(place.key, flipped(data, at))
        report = store.maintenance.repair()
        assert report.repaired == 1
        assert report.ok
        assert contents(store) == objects


def test_what_was_not_read_is_not_called_whole(site: Site) -> None:
    with site.init() as store:
        cooled(store)
        report = store.maintenance.repair(sample_nbytes=0)
        assert report.ok
        assert report.sentences()[-1] == "No fault was met in what was looked at."
        assert any("scrub" in text for text in report.to_json()["not_looked_at"])
        shallow = store.maintenance.scrub(deep=False, resume=False)
        assert shallow.sentences()[-1] == "No fault was met in what was looked at."
        fill(store, 20, 9000, seed=1, prefix="later")
        store.parts.journal.seal()
        part = store.maintenance.scrub(limit_nbytes=1, resume=False)
        assert not part.complete
        assert part.sentences()[-1] == "No fault was met in what was looked at."


@pytest.mark.parametrize("kind", ["missing", "truncated"])
def test_by_name_and_length_all_fragments_are_looked_for(site: Site, kind: str) -> None:
    rng = random.Random(3)
    with site.init() as store:
        objects = cooled(store)
        for stripe in list(store.parts.state.stripes.values()):
            whole = fragments_of(site, stripe)
            break_fragment(site, stripe, stripe.stored[-1], kind, whole, rng)
        report = store.maintenance.repair(sample_nbytes=0)
        assert report.repaired == len(store.parts.state.stripes)
        assert store.maintenance.scrub(resume=False).faults == ()
        assert contents(store) == objects


def test_findings_come_from_scrubs_and_checks_and_go_with_a_repair(site: Site) -> None:
    rng = random.Random(4)
    with site.init() as store:
        cooled(store)
        (stripe, *_) = store.parts.state.stripes.values()
        whole = fragments_of(site, stripe)
        break_fragment(site, stripe, 2, "corrupt-payload", whole, rng)
        store.maintenance.scrub(resume=False)
        (found,) = look(store).findings
        assert (found.by, found.index, found.number) == ("scrub", 2, stripe.id)
        # A look at heads does not see it, and does not take it for healed.
        assert any("corrupt-payload" in f.what for f in store.maintenance.fsck().findings)
        assert len(look(store).findings) == 1
        status = look(store)
        assert not status.healthy
        assert b'findings{kind="corrupt-payload",what="stripe"} 1' in render(status)[0]
        page = site.home / "page.html"
        write_status_page(page, status, None)
        assert "corrupt-payload" in page.read_text()
        assert "DEGRADED" in page.read_text()
        # Somebody puts the right bytes back: a verified read of it is what heals.
        site.cold.delete(stripe.fragments[2].key)
        site.cold.put_if_absent(stripe.fragments[2].key, whole[2])
        assert store.maintenance.fsck(deep=True).ok
        assert look(store).findings == ()
        assert look(store).healthy


def test_a_domain_that_flaps_is_found_and_taken_off(site: Site) -> None:
    with site.init() as store:
        objects = cooled(store)
        for _ in range(3):
            site.cold.away.add("d001")
            assert contents(store) == objects
            (found,) = look(store).findings
            assert (found.what, found.place) == ("domain", f"{site.urls[1]} (d001)")
            assert not look(store).healthy
            site.cold.away.clear()
            assert look(store).healthy
            assert look(store).findings == ()


def test_a_tier_that_can_not_be_opened_is_found(site: Site) -> None:
    with site.init() as store:
        cooled(store)
    site.cold.dead = True
    with site.open() as store:
        status = look(store)
        (found,) = status.findings
        assert (found.what, found.place) == ("tier", site.urls[1])
        assert not store.maintenance.repair().ok
        cold = next(each for each in status.tiers if each.name == "cold")
        assert cold.domains == 0
        assert cold.stripes_unreadable
        site.cold.dead = False
        assert look(store).healthy


def test_a_mirror_that_is_left_out_is_found_until_it_is_level(site: Site, tmp_path: Path) -> None:
    mirror = tmp_path / "mirror"
    with site.init(mirrors=[mirror]) as store:
        objects = fill(store, 20, 9000)
        mirror.rename(tmp_path / "away")
        objects |= fill(store, 20, 9000, seed=1, prefix="later")
        status = look(store)
        hot = status.tiers[0]
        assert (hot.domains, hot.domains_configured) == (1, 2)
        assert [each.what for each in status.findings] == ["mirror"]
        assert any("is away" in str(copy) for copy in store.maintenance.explain("k/0001").copies)
        assert not store.maintenance.repair().ok
        (tmp_path / "away").rename(mirror)
        assert store.maintenance.repair().ok
        assert look(store).healthy
        assert contents(store) == objects


def test_a_damaged_copy_that_a_mirror_stood_in_for_is_found(site: Site, tmp_path: Path) -> None:
    with site.init(mirrors=[tmp_path / "mirror"]) as store:
        objects = fill(store, 20, 9000)
        store.parts.journal.seal()
        path = segment_files(store)[0]
        path.write_bytes(bytes(path.stat().st_size))
        store.parts.disk.close()
        assert contents(store) == objects
        places = {each.place for each in look(store).findings}
        assert places == {str(path.parent)}
        assert tick(store.parts, seconds=30).error is None
        assert look(store).findings == ()
        assert store.maintenance.scrub(resume=False).ok


def test_a_repair_that_was_killed_leaves_what_it_found(site: Site) -> None:
    rng = random.Random(9)
    with site.init() as store:
        objects = cooled(store)
        for stripe in store.parts.state.stripes.values():
            whole = fragments_of(site, stripe)
            for index in rng.sample(stripe.stored, 3):
                break_fragment(site, stripe, index, "missing", whole, rng)
        for lives in (0, 1, 2):
            site.cold.lives = lives
            with pytest.raises(Killed):
                store.maintenance.repair()
            site.cold.lives = None
            assert contents(store) == objects
        assert store.maintenance.repair().ok
        assert look(store).findings == ()
        assert store.maintenance.scrub(resume=False).faults == ()
        assert contents(store) == objects


def test_a_repair_of_the_log_on_a_full_disk_loses_nothing(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror = tmp_path / "mirror"
    with site.init(mirrors=[mirror]) as store:
        objects = fill(store, 40, 9000)
        store.parts.journal.seal()
        files = segment_files(store)
        for path in files:
            damage_file(path, "damaged", random.Random(1))
        before = {path: path.read_bytes() for path in files}
        create = FileDisk.create

        def full(disk: FileDisk, name: str, nbytes: int) -> None:
            if name.startswith("copy-"):
                raise errors.TierFull("no space", url=disk.url)
            create(disk, name, nbytes)

        with monkeypatch.context() as patched:
            patched.setattr(FileDisk, "create", full)
            report = store.maintenance.repair()
        assert not report.ok
        assert {fault.outcome for fault in report.faults} == {"waiting"}
        assert report.lost_keys == ()
        assert {path: path.read_bytes() for path in files} == before
        assert contents(store) == objects
        assert store.maintenance.repair().ok
        assert contents(store) == objects


def test_a_repair_goes_on_beside_writers(site: Site) -> None:
    rng = random.Random(10)
    with site.init() as store:
        objects = cooled(store)
        stop = threading.Event()
        written: dict[str, bytes] = {}

        def write() -> None:
            number = 0
            while not stop.is_set():
                key, data = f"w/{number:05d}", random.Random(number).randbytes(3000)
                store.put(key, data)
                written[key] = data
                number += 1

        writer = threading.Thread(target=write)
        writer.start()
        try:
            for _ in range(3):
                for stripe in store.parts.state.stripes.values():
                    whole = fragments_of(site, stripe)
                    for index in rng.sample(stripe.stored, 2):
                        break_fragment(site, stripe, index, "missing", whole, rng)
                assert store.maintenance.repair().ok
        finally:
            stop.set()
            writer.join()
        assert contents(store) == objects | written


def test_what_an_opening_meets_is_found(site: Site, tmp_path: Path) -> None:
    """A segment that nobody sealed, with a record that had rotted by then; and a mirror away."""
    mirror = tmp_path / "mirror"
    with site.init(mirrors=[mirror]) as store:
        objects = fill(store, 20, 2000)
        longest = max(objects, key=lambda key: len(objects[key]))
        victim = store.parts.state.catalog.get(longest)
        assert victim is not None
        image = tmp_path / "image"
        shutil.copytree(site.home, image, ignore=shutil.ignore_patterns("*.lock", "LOCK"))
        copy = tmp_path / "mirror-image"
        shutil.copytree(mirror, copy)
    shutil.rmtree(site.home)
    image.rename(site.home)
    shutil.rmtree(mirror)
    copy.rename(mirror)
    for folder in (site.home / "log", mirror):
        (active,) = folder.glob("active-*")
        active.write_bytes(flipped(active.read_bytes(), victim.offset + 500))
    with site.open() as store:
        found = look(store).findings
        assert {(each.by, each.number) for each in found} == {("open", victim.segment)}
        assert {each.place for each in found} == {str(site.home / "log"), str(mirror)}
        assert not look(store).healthy
        report = store.maintenance.repair()
        assert report.lost_keys == (victim.key,)
        for key in objects.keys() - {victim.key}:
            assert bytes(store.get(key)) == objects[key]
        # Whoever writes the object again, and lets the garbage go, has a whole store again.
        store.put(victim.key, b"new")
        store.maintenance.gc()
        assert store.maintenance.repair().ok
        assert look(store).healthy


def test_a_file_of_the_log_that_is_gone_is_seen_without_a_read(site: Site, tmp_path: Path) -> None:
    mirror = tmp_path / "mirror"
    with site.init(mirrors=[mirror]) as store:
        objects = fill(store, 40, 9000)
        store.parts.journal.seal()
        gone, *_ = segment_files(store)
        number = int(gone.name[8:24], 16)
        gone.unlink()
        status = look(store)
        assert [(each.what, each.number, each.place) for each in status.findings] == [
            ("segment", number, str(gone.parent))
        ]
        assert status.verdict.startswith("DEGRADED")
        kept = (mirror / gone.name).read_bytes()
        (mirror / gone.name).unlink()
        status = look(store)
        assert status.verdict == "BROKEN: 0 stripes and 1 segments can't be read now"
        store.parts.disk.close()
        key = next(
            v.key for v in map(store.parts.state.catalog.get, objects) if v and v.segment == number
        )
        assert not store.maintenance.explain(key).copies[0].readable
        for _ in range(2):  # it stays lost, however often it is said
            report = store.maintenance.repair()
            assert key in report.lost_keys
            assert not report.ok
        (mirror / gone.name).write_bytes(kept)
        assert store.maintenance.repair().ok
        assert contents(store) == objects
        assert look(store).healthy


@pytest.mark.parametrize("where", ["log", "stripe"])
def test_a_loss_is_called_a_loss_until_the_object_is_written_anew(
    site: Site, tmp_path: Path, where: str
) -> None:
    rng = random.Random(11)
    with site.init() as store:
        objects = fill(store, 100, 9000)
        if where == "stripe":
            store.maintenance.send(objects, "cold")
            store.parts.journal.seal()
            store.maintenance.gc()
            (stripe,) = store.parts.state.stripes.values()
            whole = fragments_of(site, stripe)
            parities = [index for index in stripe.stored if index >= stripe.code.k]
            for index in (0, *parities):
                break_fragment(site, stripe, index, "missing", whole, rng)
        else:
            store.parts.journal.seal()
            path = segment_files(store)[0]
            path.write_bytes(flipped(path.read_bytes(), path.stat().st_size // 2))
            store.parts.disk.close()
        lost = []
        for key in objects:
            try:
                store.get(key)
            except errors.StorageError:
                lost.append(key)
        assert lost
        # Readers say so, and repair, however often.
        assert look(store).verdict.startswith("LOST")
        for _ in range(2):
            report = store.maintenance.repair()
            assert report.lost_keys == tuple(sorted(lost))
            assert look(store).verdict.startswith("LOST")
        for key in lost:
            store.put(key, objects[key])
        store.parts.journal.seal()
        store.maintenance.gc()
        store.maintenance.gc()
        assert store.maintenance.repair().ok
        assert look(store).healthy
        assert contents(store) == objects


def test_a_store_that_is_only_read_is_looked_at_and_left_as_it_is(tmp_path: Path) -> None:
    home, cold, objects = on_disk(tmp_path)
    shutil.rmtree(cold / "d1")
    before = {path: path.read_bytes() for path in cold.rglob("*") if path.is_file()}
    with Store(home, read_only=True) as store:
        assert contents(store) == objects
        assert not store.maintenance.scrub().ok
        assert not store.maintenance.repair(dry_run=True).ok
        assert not store.maintenance.fsck().ok
        assert look(store).verdict.startswith("DEGRADED")
        for repair in (store.maintenance.repair, lambda: store.maintenance.scrub(repair=True)):
            with pytest.raises(ReadOnlyStore, match="a repair writes"):
                repair()
    assert not (home / "findings.json").exists()
    assert {path: path.read_bytes() for path in cold.rglob("*") if path.is_file()} == before
