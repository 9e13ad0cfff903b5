"""A scrub finds what is wrong, repairs what can be, and never takes too much of the disk."""

import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from care_kit import (
    Killed,
    Site,
    break_fragment,
    contents,
    damage_file,
    fill,
    fragments_of,
    segment_files,
    spread,
)

from deepseek_core import errors
from deepseek_store.check.rate_limit import RateLimit
from deepseek_store.check.scrub_cursor import CURSOR

KINDS = ("missing", "truncated", "corrupt-header", "corrupt-payload", "swapped", "unreachable")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path, warm=18, cold=60, cold_code="lrc(48,4,3)")
    yield made
    made.forget()


def test_a_whole_store_has_no_faults(site: Site) -> None:
    with site.init() as store:
        spread(store, 120)
        report = store.maintenance.scrub()
        assert report.ok
        assert report.complete
        assert not report.resumed
        assert report.segments
        assert report.stripes == len(store.parts.state.stripes) > 1
        assert report.read_nbytes >= sum(
            s.object_nbytes for s in store.parts.state.stripes.values()
        )
        assert report.sentences()[-1] == "Nothing is wrong."


def test_1000_of_1000_faults_of_six_kinds_are_found_and_repaired(
    site: Site,
) -> None:
    rng = random.Random(1)
    found: Counter[str] = Counter()
    with site.init() as store:
        objects = spread(store, 700, nbytes=12000)
        injected: Counter[str] = Counter()
        while injected.total() < 1000:
            expected = set()
            for stripe in list(store.parts.state.stripes.values()):
                whole = fragments_of(site, stripe)
                # As many as its code bears, wherever they are.
                for index in rng.sample(stripe.stored, stripe.code.tolerance):
                    if injected.total() == 1000:
                        break
                    kind = KINDS[injected.total() % len(KINDS)]
                    break_fragment(site, stripe, index, kind, whole, rng)
                    expected.add((stripe.id, index, kind))
                    injected[kind] += 1
            looked = store.maintenance.scrub(resume=False)
            seen = {(each.unit.number, each.index, each.kind) for each in looked.faults}
            assert seen == expected
            assert all(fault.outcome == "found" for fault in looked.faults)
            repaired = store.maintenance.scrub(repair=True, resume=False)
            assert repaired.ok
            assert repaired.repaired == len(expected)
            assert store.maintenance.scrub(resume=False).faults == ()
            found += repaired.by_kind
            for tier in (site.warm, site.cold):
                tier.away.clear()
        assert found == injected
        assert found.total() == 1000
        assert set(found) == set(KINDS)
        assert contents(store) == objects
        assert store.maintenance.fsck(deep=True).ok
        # What the repairs have replaced is gone, but for what could not be reached.
        assert store.maintenance.gc().orphans == injected["unreachable"]
        assert store.maintenance.scrub(resume=False).ok


@pytest.mark.parametrize("kind", ["missing", "truncated", "damaged"])
def test_every_fault_of_a_file_of_the_log_is_found(site: Site, kind: str) -> None:
    rng = random.Random(5)
    with site.init() as store:
        fill(store, 60, 9000)
        store.parts.journal.seal()
        files = segment_files(store)
        assert len(files) > 4
        for path in files:
            damage_file(path, kind, rng)
        report = store.maintenance.scrub()
        assert len(report.faults) == len(files)
        assert set(report.by_kind) <= {kind, "damaged"}


def test_a_pass_that_was_killed_goes_on_where_it_was(site: Site) -> None:
    with site.init() as store:
        spread(store, 120)
        units = store.maintenance.scrub().segments + store.maintenance.scrub().stripes
        assert CURSOR not in store.parts.state.index.meta()

        def die(done: int, _total: int, _what: str) -> None:
            if done == 5:
                raise Killed

        with pytest.raises(Killed):
            store.maintenance.scrub(progress=die)
    with site.open() as store:
        rest = store.maintenance.scrub()
        assert rest.resumed
        assert rest.segments + rest.stripes == units - 5
        again = store.maintenance.scrub()
        assert not again.resumed
        assert again.segments + again.stripes == units


def test_faults_found_before_a_kill_are_looked_at_again(site: Site) -> None:
    with site.init() as store:
        fill(store, 80, 9000)
        store.parts.journal.seal()
        damage_file(segment_files(store)[0], "damaged", random.Random(0))
        first = store.maintenance.scrub(limit_nbytes=1)
        assert not first.complete
        assert len(first.faults) == first.segments == 1
        rest = store.maintenance.scrub()
        assert rest.complete
        assert [fault.unit for fault in rest.faults] == [first.faults[0].unit]
        assert [fault.unit for fault in store.maintenance.repair(dry_run=True).faults] == [
            first.faults[0].unit
        ]


def test_a_limit_ends_a_pass_and_many_small_ones_make_a_whole_one(site: Site) -> None:
    with site.init() as store:
        spread(store, 120)
        whole = store.maintenance.scrub()
        parts = []
        while not parts or not parts[-1].complete:
            parts.append(store.maintenance.scrub(limit_nbytes=200_000))
        assert len(parts) > 2
        assert sum(part.read_nbytes for part in parts) == whole.read_nbytes
        assert sum(part.segments + part.stripes for part in parts) == (
            whole.segments + whole.stripes
        )


def test_the_rate_is_kept_on_average() -> None:
    now_s, slept = 100.0, []

    def sleep(seconds: float) -> None:
        nonlocal now_s
        slept.append(seconds)
        now_s += seconds

    limit = RateLimit(1000.0, clock=lambda: now_s, sleep=sleep)
    for nbytes in (500, 500, 2000, 100):
        limit(nbytes)
    assert slept == pytest.approx([0.5, 0.5, 2.0])
    now_s += 60
    limit(100)
    assert len(slept) == 3
    assert limit.nbytes == 3200


def test_a_rate_of_nothing_is_refused(site: Site) -> None:
    with site.init() as store, pytest.raises(errors.InputError, match="0 bytes per second"):
        store.maintenance.scrub(bytes_per_s=0)


def test_a_slow_scrub_takes_its_time(site: Site) -> None:
    with site.init() as store:
        fill(store, 40, 9000)
        store.parts.journal.seal()
        nbytes = store.maintenance.scrub().read_nbytes
        start_s = time.monotonic()
        store.maintenance.scrub(bytes_per_s=nbytes * 4)
        # The last read need not be waited for.
        assert time.monotonic() - start_s >= (nbytes - 2 * 65536) / (nbytes * 4)


def test_a_shallow_scrub_sees_what_is_missing_and_reads_little(site: Site) -> None:
    with site.init() as store:
        spread(store, 120)
        whole = store.maintenance.scrub()
        stripe = next(iter(store.parts.state.stripes.values()))
        whole_fragments = fragments_of(site, stripe)
        break_fragment(site, stripe, 0, "missing", whole_fragments, random.Random(0))
        report = store.maintenance.scrub(deep=False)
        assert report.by_kind == {"missing": 1}
        assert report.read_nbytes < whole.read_nbytes / 20


def test_the_report_is_plain_json(site: Site) -> None:
    import json

    with site.init() as store:
        fill(store, 30, 9000)
        store.parts.journal.seal()
        damage_file(segment_files(store)[0], "missing", random.Random(0))
        told = json.loads(json.dumps(store.maintenance.scrub().to_json()))
        assert told["by_kind"] == {"missing": 1}
        assert told["faults"][0]["outcome"] == "found"
        assert not told["ok"]
