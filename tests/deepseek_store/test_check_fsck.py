"""What does not fit between index, log and tiers is found, named right, and nothing is changed."""

import json
import random
from pathlib import Path

import attrs
import pytest
from care_kit import (
    Killed,
    Site,
    break_fragment,
    damage_file,
    fill,
    fragments_of,
    segment_files,
    spread,
)

from deepseek_store import Store
from deepseek_store.check.fsck import FsckReport
from deepseek_store.index.rows import Batch, Version
from deepseek_store.log.records import Extent, pack_extents, unpack_extents


def _said(report: FsckReport, severity: str) -> str:
    return "\n".join(str(each) for each in report.findings if each.severity == severity)


@pytest.mark.parametrize("deep", [False, True])
def test_a_whole_store_fits(site: Site, deep: bool) -> None:
    with site.init() as store:
        objects = spread(store, 120, cold=50)
        store.snapshot("one")
        for key in list(objects)[::3]:
            store.delete(key)
        store.put("k/0001", b"new")
        report = store.maintenance.fsck(deep=deep)
        assert report.ok
        assert not report.lost
        assert report.findings == ()
        assert report.versions >= len(objects)
        assert report.sentences()[-1] == "Index, log and tiers agree."


def test_nothing_is_changed(site: Site) -> None:
    with site.init() as store:
        spread(store, 120, cold=50)
        damage_file(segment_files(store)[0], "damaged", random.Random(0))
        store.flush()
        seq = store.parts.state.index.poll()
        files = {path.name: path.read_bytes() for path in segment_files(store)}
        store.maintenance.fsck(deep=True)
        assert store.parts.state.index.poll() == seq
        assert {path.name: path.read_bytes() for path in segment_files(store)} == files


def test_a_fault_that_can_be_repaired_is_a_warning(site: Site) -> None:
    rng = random.Random(1)
    with site.init() as store:
        spread(store, 120, cold=50)
        for stripe in store.parts.state.stripes.values():
            break_fragment(site, stripe, 0, "missing", fragments_of(site, stripe), rng)
        report = store.maintenance.fsck()
        assert not report.ok
        assert not report.lost
        assert len(report.findings) == len(store.parts.state.stripes)
        assert all("--repair" in each.remedy for each in report.findings)


def test_payloads_are_looked_at_only_if_deep(site: Site) -> None:
    with site.init() as store:
        spread(store, 120, cold=50)
        stripe = next(iter(store.parts.state.stripes.values()))
        whole = fragments_of(site, stripe)
        break_fragment(site, stripe, 1, "corrupt-payload", whole, random.Random(2))
        assert store.maintenance.fsck().ok
        assert "corrupt-payload" in _said(store.maintenance.fsck(deep=True), "warning")


def test_lost_data_is_an_error_and_names_its_objects(site: Site) -> None:
    rng = random.Random(3)
    with site.init() as store:
        objects = fill(store, 60, 9000)
        store.maintenance.send(objects, "cold")
        (stripe,) = store.parts.state.stripes.values()
        whole = fragments_of(site, stripe)
        for index in [0, *(i for i in stripe.stored if i >= stripe.code.k)]:
            break_fragment(site, stripe, index, "missing", whole, rng)
        report = store.maintenance.fsck()
        assert report.lost
        said = _said(report, "error")
        assert "more fragments are lost than its code bears" in said
        gone = stripe.fragments[0].segment
        found = map(store.parts.state.catalog.get, objects)
        hit = [v for v in found if v and unpack_extents(v.extents)[0].segment == gone]
        assert hit[0].key in said


def test_a_stripe_that_is_lost_while_the_log_has_it_all_is_no_loss(site: Site) -> None:
    rng = random.Random(3)
    with site.init() as store:
        fill(store, 60, 9000)
        store.maintenance.apply(store.maintenance.plan(flush=True))
        (stripe,) = store.parts.state.stripes.values()
        whole = fragments_of(site, stripe)
        for index in stripe.stored:
            break_fragment(site, stripe, index, "missing", whole, rng)
        assert not store.maintenance.fsck().lost
        damage_file(segment_files(store)[0], "missing", rng)
        assert store.maintenance.fsck().lost


def test_what_can_not_be_reached_is_not_called_lost(site: Site) -> None:
    with site.init() as store:
        fill(store, 60, 9000)
        store.maintenance.send([info.key for info in store.list()], "cold")
        site.cold.away |= set(site.cold.failure_domains)
        report = store.maintenance.fsck(deep=True)
        assert not report.ok
        assert not report.lost
        assert len(report.unreachable) == len(site.cold.failure_domains)
    site.cold.dead = True
    with site.open() as store:
        report = store.maintenance.fsck()
        assert not report.lost
        assert site.urls[1] in report.unreachable


@pytest.mark.parametrize("kind", ["missing", "truncated"])
def test_a_segment_that_is_gone_from_the_log_is_found(site: Site, kind: str) -> None:
    with site.init() as store:
        fill(store, 60, 9000)
        store.parts.journal.seal()
        damage_file(segment_files(store)[1], kind, random.Random(0))
        report = store.maintenance.fsck()
        assert report.lost
        assert kind in _said(report, "error")


def test_the_same_with_a_mirror_is_a_warning(site: Site, tmp_path: Path) -> None:
    with site.init(mirrors=[tmp_path / "mirror"]) as store:
        fill(store, 60, 9000)
        store.parts.journal.seal()
        damage_file(segment_files(store)[1], "missing", random.Random(0))
        report = store.maintenance.fsck()
        assert not report.lost
        assert "missing" in _said(report, "warning")


def test_orphans_and_files_that_nobody_knows_are_told_of(site: Site) -> None:
    with site.init() as store:
        objects = fill(store, 60, 9000)
        site.cold.lives = 3
        with pytest.raises(Killed):
            store.maintenance.send(objects, "cold")
        site.cold.lives = None
        site.cold.inner.put_if_absent("d000/stripes/0000000000000009/000.1", b"not ours")
        report = store.maintenance.fsck()
        assert report.ok
        notes = _said(report, "note")
        assert notes.count("1 fragments") == 3
        store.parts.journal.seal()
        source = segment_files(store)[0]
        (source.parent / "segment-00000000000000ff.seg").write_bytes(source.read_bytes())
        assert "does not know this file" in _said(store.maintenance.fsck(), "warning")


def _changed(store: Store, key: str, **changes: object) -> Version:
    version = store.parts.state.catalog.get(key)
    assert version is not None
    return attrs.evolve(version, move=version.move + 1, **changes)


def test_versions_that_point_nowhere_are_errors(site: Site) -> None:
    with site.init() as store:
        fill(store, 60, 9000)
        store.parts.journal.seal()
        store.flush()
        catalog = store.parts.state.catalog
        first = catalog.get("k/0001")
        assert first is not None
        (piece,) = unpack_extents(first.extents)
        nowhere = Extent(0xABC, piece.offset, piece.nbytes, piece.xxh3)
        beyond = Extent(piece.segment, 1 << 40, piece.nbytes, piece.xxh3)
        wrong = Extent(piece.segment, piece.offset, piece.nbytes, piece.xxh3 ^ 1)
        store.parts.state.commit(
            Batch(
                versions=[
                    _changed(store, "k/0001", extents=pack_extents([nowhere])),
                    _changed(store, "k/0002", extents=pack_extents([beyond])),
                    _changed(store, "k/0003", nbytes=5),
                    _changed(store, "k/0004", extents=b"no list"),
                    _changed(store, "k/0005", segment=0xDEF),
                    _changed(store, "k/0006", extents=pack_extents([wrong]), nbytes=piece.nbytes),
                    _changed(store, "k/0007", offset=3),
                ]
            )
        )
        shallow = _said(store.maintenance.fsck(), "error")
        for key, said in (
            ("k/0001", "abc"), ("k/0002", "beyond"), ("k/0003", "do not make 5"),
            ("k/0004", "no such list"), ("k/0005", "def"),
        ):  # fmt: skip
            assert any(repr(key) in line and said in line for line in shallow.splitlines())
        deep = _said(store.maintenance.fsck(deep=True), "error")
        for key, said in (("k/0006", "no such piece"), ("k/0007", "no record of it at 3")):
            assert any(repr(key) in line and said in line for line in deep.splitlines())
            assert repr(key) not in shallow


def test_an_index_that_lacks_what_the_log_has_is_found(site: Site) -> None:
    with site.init() as store:
        fill(store, 60, 9000)
        store.delete("k/0003")
        store.parts.journal.seal()
        store.flush()
        state = store.parts.state
        lost, hidden = state.catalog.current("k/0001"), state.catalog.current("k/0003")
        assert lost is not None
        assert hidden is not None
        state.commit(Batch(forget=[lost.id, hidden.id]))
        assert store.maintenance.fsck().ok
        said = _said(store.maintenance.fsck(deep=True), "error")
        assert "'k/0001'" in said
        # That one was deleted; whoever has forgotten it knows no less.
        assert "'k/0003'" not in said
    site.rebuild()
    with site.open() as store:
        assert store.maintenance.fsck(deep=True).ok
        assert store.exists("k/0001")


def test_segments_and_stripes_that_contradict_each_other_are_errors(site: Site) -> None:
    with site.init() as store:
        fill(store, 60, 9000)
        store.maintenance.send([info.key for info in store.list()], "cold")
        rows = [row for row in store.parts.state.segments.values() if row.stripe is not None]
        assert len(rows) > 3
        store.parts.state.commit(
            Batch(
                segments=[
                    attrs.evolve(rows[0], fragment=rows[1].fragment),
                    attrs.evolve(rows[2], stripe=0x77),
                    attrs.evolve(rows[3], stripe=None, fragment=None),
                ]
            )
        )
        said = _said(store.maintenance.fsck(), "error")
        assert "is another segment's" in said
        assert "its stripe 77 is not in the index" in said
        assert "the index knows no place where it lies" in said


def test_pins_of_nothing_are_a_note(site: Site) -> None:
    with site.init() as store:
        fill(store, 5, 900)
        store.maintenance.pin("k/0001", "cold")
        store.delete("k/0001")
        report = store.maintenance.fsck()
        assert report.ok
        assert "k/0001" in _said(report, "note")
        told = json.loads(json.dumps(report.to_json()))
        assert told["ok"]
        assert told["findings"][0]["severity"] == "note"
