"""Moves read through the checksum, and nothing is let go of before what replaces it is right."""

import random
from collections.abc import Sequence
from pathlib import Path

import attrs
import pytest
from care_kit import (
    Site,
    break_fragment,
    contents,
    fill,
    flipped,
    fragments_of,
    segment_files,
)
from store_kit import SMALL, data_of

from deepseek_core import errors
from deepseek_store import Store
from deepseek_store.errors import Corrupt
from deepseek_store.log.file_disk import FileDisk
from deepseek_store.log.records import Buffer
from deepseek_store.log.segment import sealed_name
from deepseek_store.planning.steps import Kind, Move
from deepseek_store.report.status import look


def step(kind: Kind, store: Store, *, keys: tuple[str, ...] = ()) -> Move:
    """A move of all sealed segments of the log."""
    rows = store.parts.state.segments.values()
    local = tuple(row.id for row in rows if row.local and row.state == "sealed")
    return Move(
        kind=kind, source="hot", target="warm", keys=keys, segments=local,
        nbytes=0, written_nbytes=0, reason="the test says so",
    )  # fmt: skip


def carry_out(store: Store, move: Move) -> None:
    """A plan of this one move."""
    plan = store.maintenance.plan()
    store.maintenance.apply(attrs.evolve(plan, moves=(move,)))


def spoil(path: Path, *offsets: int) -> None:
    data = path.read_bytes()
    for at in offsets:
        data = flipped(data, at)
    path.write_bytes(data)


@pytest.mark.parametrize("rotten", ["first", "mirror"])
def test_what_is_demoted_is_the_copy_that_verifies(site: Site, tmp_path: Path, rotten: str) -> None:
    with site.init(mirrors=[tmp_path / "mirror"]) as store:
        objects = fill(store, 60, 9000)
        store.parts.journal.seal()
        for path in segment_files(store):
            spoil(path if rotten == "first" else tmp_path / "mirror" / path.name, 5000, 30_000)
        carry_out(store, step("adopt", store))
        carry_out(store, step("drop", store))
        assert segment_files(store) == []
        assert contents(store) == objects
        assert store.maintenance.scrub(resume=False).ok
        assert store.maintenance.fsck(deep=True).ok


def test_copies_that_rotted_in_different_places_are_put_together(
    site: Site, tmp_path: Path
) -> None:
    with site.init(mirrors=[tmp_path / "mirror"]) as store:
        objects = fill(store, 60, 9000)
        store.parts.journal.seal()
        for path in segment_files(store):
            middle = path.stat().st_size // 2
            spoil(path, 500, middle - 9000)
            spoil(tmp_path / "mirror" / path.name, middle + 9000, path.stat().st_size - 20)
        carry_out(store, step("adopt", store))
        carry_out(store, step("drop", store))
        assert segment_files(store) == []
        assert contents(store) == objects


def test_a_segment_of_which_no_copy_is_right_stays_and_is_named(site: Site, tmp_path: Path) -> None:
    with site.init(mirrors=[tmp_path / "mirror"]) as store:
        objects = fill(store, 60, 9000)
        store.parts.journal.seal()
        bad, *others = segment_files(store)
        for path in (bad, tmp_path / "mirror" / bad.name):
            spoil(path, 5000)
        carry_out(store, step("adopt", store))
        carry_out(store, step("drop", store))
        # The others have gone their way.
        assert segment_files(store) == [bad]
        assert not any(path.exists() for path in others)
        number = int(bad.name[8:24], 16)
        assert store.parts.state.segments[number].stripe is None
        places = {each.place for each in look(store).findings if each.number == number}
        assert places == {str(bad.parent), str(tmp_path / "mirror")}
        lost = []
        for key, content in objects.items():
            try:
                assert bytes(store.get(key)) == content
            except Corrupt:
                lost.append(key)
        assert len(lost) == 1
        report = store.maintenance.repair()
        assert report.lost_keys == tuple(lost)
        assert not report.ok
        assert any(lost[0] in line for line in report.sentences())


def test_the_logs_copy_stays_while_its_stripe_is_not_sound(site: Site) -> None:
    rng = random.Random(5)
    with site.init() as store:
        objects = fill(store, 60, 9000)
        store.parts.journal.seal()
        carry_out(store, step("adopt", store))
        (stripe,) = store.parts.state.stripes.values()
        whole = fragments_of(site, stripe)
        files = segment_files(store)
        break_fragment(site, stripe, 0, "corrupt-payload", whole, rng)
        carry_out(store, step("drop", store))
        name = f"{stripe.fragments[0].segment:016x}.seg"
        kept = next(path for path in files if path.name.endswith(name))
        assert segment_files(store) == [kept]
        assert [each.index for each in look(store).findings] == [0]
        assert store.maintenance.repair().ok
        assert look(store).findings == ()
        carry_out(store, step("drop", store))
        assert segment_files(store) == []
        assert contents(store) == objects


@pytest.mark.parametrize("kind", ["missing", "unreachable", "corrupt-header"])
def test_the_logs_copy_stays_while_its_stripe_bears_no_loss(site: Site, kind: str) -> None:
    rng = random.Random(6)
    with site.init() as store:
        objects = fill(store, 60, 9000)
        store.parts.journal.seal()
        carry_out(store, step("adopt", store))
        (stripe,) = store.parts.state.stripes.values()
        whole = fragments_of(site, stripe)
        parities = [index for index in stripe.stored if index >= stripe.code.k]
        for index in parities[: stripe.code.tolerance]:
            break_fragment(site, stripe, index, kind, whole, rng)
        files = segment_files(store)
        carry_out(store, step("drop", store))
        assert segment_files(store) == files
        assert store.maintenance.repair().ok
        carry_out(store, step("drop", store))
        assert segment_files(store) == []
        assert contents(store) == objects


def test_a_stripe_that_holds_what_had_rotted_before_is_not_trusted(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As stores of earlier versions may have it: a sound fragment of a damaged segment."""
    with site.init() as store:
        objects = fill(store, 60, 9000)
        store.parts.journal.seal()
        rotten, *_ = segment_files(store)
        right = rotten.read_bytes()
        spoil(rotten, 5000)
        with monkeypatch.context() as patched:
            patched.setattr("deepseek_store.log.copies.judge", lambda _data, _segment: None)
            carry_out(store, step("adopt", store))
        rotten.write_bytes(right)
        store.parts.disk.close()
        carry_out(store, step("drop", store))
        assert segment_files(store) == [rotten]
        report = store.maintenance.scrub(resume=False)
        assert [fault.kind for fault in report.faults] == ["corrupt-segment"]
        # The log's copy is right: all that lives there is rewritten from it.
        mended = store.maintenance.repair(report)
        assert mended.lost_keys == ()
        assert contents(store) == objects


def test_an_object_that_is_damaged_does_not_hold_up_the_others(site: Site) -> None:
    with site.init() as store:
        objects = fill(store, 40, 9000)
        store.parts.journal.seal()
        victim = store.parts.state.catalog.get("k/0003")
        assert victim is not None
        path = next(p for p in segment_files(store) if p.name.endswith(f"{victim.segment:x}.seg"))
        spoil(path, victim.offset + 200)
        move = step("pack", store, keys=tuple(objects))
        carry_out(store, move)
        store.maintenance.gc()
        assert segment_files(store) == [path]
        for key, content in objects.items():
            if key == victim.key:
                with pytest.raises(Corrupt):
                    store.get(key)
                with pytest.raises(Corrupt):
                    store.maintenance.send([key], "cold")
            else:
                assert store.maintenance.explain(key).tier == "cold"
                assert bytes(store.get(key)) == content


def test_an_outage_ends_a_move_and_leaves_all_as_it_was(site: Site) -> None:
    with site.init() as store:
        objects = fill(store, 40, 9000)
        store.maintenance.send(objects, "cold")
        before = dict(store.parts.state.segments)
        site.cold.away |= set(site.cold.failure_domains)
        move = Move(
            kind="promote", source="cold", target="hot", keys=tuple(objects),
            nbytes=0, written_nbytes=0, reason="the test says so",
        )  # fmt: skip
        with pytest.raises(errors.TierUnavailable):
            carry_out(store, move)
        assert {n: r for n, r in store.parts.state.segments.items() if n in before} == before
        site.cold.away.clear()
        assert contents(store) == objects


class LyingDisk(FileDisk):
    """Writes other bytes than it was given, once where it `lies`."""

    lies = False

    def write_at(self, name: str, offset: int, parts: Sequence[Buffer]) -> None:
        data = b"".join(parts)
        if self.lies and len(data) > 900:
            self.lies, data = False, flipped(data, 500)
        super().write_at(name, offset, [data])


def test_what_is_not_read_back_as_it_was_written_lies_where_it_did(tmp_path: Path) -> None:
    home = tmp_path / "s"
    Store.init(home, policy=SMALL).close()
    disk = LyingDisk(home / "log")
    objects = {f"k/{number}": data_of(number, 900) for number in range(50)}
    with Store(home, disk=disk) as store:
        for key, data in objects.items():
            store.put(key, data)
        store.parts.journal.seal()
        disk.lies = True
        with pytest.raises(Corrupt):
            carry_out(store, step("compact", store))
        assert not disk.lies
        store.maintenance.gc()
        assert contents(store) == objects


def test_what_a_repair_does_not_read_back_lies_where_it_did(tmp_path: Path) -> None:
    home = tmp_path / "s"
    Store.init(home, policy=SMALL).close()
    disk = LyingDisk(home / "log")
    objects = {f"k/{number}": data_of(number, 900) for number in range(50)}
    with Store(home, disk=disk) as store:
        for key, data in objects.items():
            store.put(key, data)
        store.parts.journal.seal()
        victim = store.parts.state.catalog.get("k/7")
        assert victim is not None
        path = next(p for p in segment_files(store) if p.name == sealed_name(victim.segment))
        path.write_bytes(flipped(path.read_bytes(), victim.offset + 88 + len(victim.key) + 5))
        disk.lies = True
        report = store.maintenance.scrub(repair=True)
        assert not disk.lies
        assert {fault.outcome for fault in report.faults} == {"waiting"}
        store.maintenance.gc()
        del objects["k/7"]
        for key, data in objects.items():
            assert bytes(store.get(key)) == data
        assert store.maintenance.scrub(repair=True, resume=False).lost_keys == ("k/7",)
