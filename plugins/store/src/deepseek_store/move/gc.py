"""Frees space: versions that nobody can see, segments and stripes without life, orphans on tiers.

Order is all: first the index says, durably, that something is gone; then it is removed; then the
index forgets that it was there. So a crash in between leaves what the next run removes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

import attrs

from deepseek_core import errors
from deepseek_store.commands import command
from deepseek_store.home.ages import INCOMPLETE
from deepseek_store.home.config import StoreConfig
from deepseek_store.home.state import State, stripe_row
from deepseek_store.home.tier_set import TierSet
from deepseek_store.index.rows import FEW_VERSIONS, Batch, SegmentRow, Version, VersionId
from deepseek_store.log.disk import Disk
from deepseek_store.log.segment import sealed_name
from deepseek_store.move.census import take_census
from deepseek_store.move.exclusive import Exclusive
from deepseek_store.move.half_dead import (
    HalfDead,
    choose_half_dead,
    find_half_dead,
    gain_nbytes,
    worth_a_copy,
)
from deepseek_store.move.orphans import Orphans
from deepseek_store.read.access_rates import AccessRates
from deepseek_store.read.segment_tables import SegmentTables
from deepseek_store.stripes.layout import Place
from deepseek_store.stripes.stripe import Stripe

_LOG: Final = logging.getLogger(__name__)


@attrs.define(kw_only=True)
class GcReport:
    """What was freed, or would be in a dry run; `freed_nbytes` counts files and fragments.

    `rewritten` of the segments had something in them that lives, which was rewritten.
    `left_nbytes` are dead among what lives, and stay; `needed_nbytes` is the space that it would
    take to free the first of them, where there is too little. `unknown` are stripes that hold what
    the index does not know: they are left alone.
    """

    dry_run: bool
    versions: int = 0
    tombstones: int = 0
    segments: int = 0
    stripes: int = 0
    stripes_waiting: int = 0
    orphans: int = 0
    freed_nbytes: int = 0
    rewritten: int = 0
    left_nbytes: int = 0
    needed_nbytes: int = 0
    unreachable: list[str] = attrs.field(factory=list)
    unknown: list[str] = attrs.field(factory=list)

    def add(self, later: GcReport) -> None:
        """What another run right after it has freed, too; what waits is as that one saw it."""
        for name in ("versions", "tombstones", "segments", "stripes", "orphans", "freed_nbytes"):
            setattr(self, name, getattr(self, name) + getattr(later, name))
        self.stripes_waiting, self.unreachable = later.stripes_waiting, later.unreachable


class Collector:
    """Collects garbage of one store; one run at a time."""

    def __init__(
        self,
        config: StoreConfig,
        state: State,
        disk: Disk,
        tiers: TierSet,
        tables: SegmentTables,
        *,
        clock: Callable[[], float],
        exclusive: Exclusive,
        settle: Callable[[], None],
        rewrite: Callable[[frozenset[int]], None],
        unfinished_from: Callable[[], int | None],
    ) -> None:
        self._exclusive, self._settle, self._unfinished_from = exclusive, settle, unfinished_from
        self._rewrite = rewrite
        self._config, self._state, self._disk, self._tiers = config, state, disk, tiers
        self._tables, self._clock = tables, clock
        self._orphans = Orphans(config, state, tiers, clock)

    def collect(self, heat: AccessRates, *, dry_run: bool = False) -> GcReport:
        """Free what can be freed now; what a move has replaced waits for its grace period.

        Where much is dead in the log beside what is free on its disk, what lives among that is
        rewritten.
        """
        with self._exclusive:
            report = self._collect(heat, dry_run=dry_run)
            if dry_run:
                self._foretell(report)
                return report
            is_short = self._make_room(report)
            if is_short or (report.segments and any(self._state.catalog.tombstones())):
                # What the tombstones hid may have gone with these segments.
                report.add(self._collect(heat, dry_run=False, is_short=is_short))
            return report

    def _foretell(self, report: GcReport) -> None:
        """What `_make_room` would do, if it has all the space that it needs."""
        found = self._half_dead(set(self._invisible()))
        chosen = self._worth_a_copy(found, report, more_nbytes=report.freed_nbytes)
        report.rewritten = len(chosen)
        report.segments += len(chosen)
        report.freed_nbytes += sum(one.nbytes for one in chosen)
        report.left_nbytes = gain_nbytes(found) - gain_nbytes(chosen)

    def _half_dead(self, without: set[VersionId]) -> list[HalfDead]:
        """Segments that can go: an upload in progress may need what it has found in the others."""
        busy = self._unfinished_from()
        found = find_half_dead(self._state, without=without)
        return [one for one in found if busy is None or one.id < busy]

    def _worth_a_copy(
        self, found: Sequence[HalfDead], report: GcReport, *, more_nbytes: int = 0
    ) -> list[HalfDead]:
        reserve = self._state.reserve
        if reserve is None or report.unreachable:
            return []
        return worth_a_copy(found, free_nbytes=reserve.free_nbytes + more_nbytes)

    def _make_room(self, report: GcReport) -> bool:
        """Where the disk is short of space, write together what lives in half-dead segments.

        As many at a time as there is space for their copies; then they go. Whether any went.
        """
        reserve, found = self._state.reserve, self._half_dead(set())
        while reserve is not None and (wanted := self._worth_a_copy(found, report)):
            chosen = choose_half_dead(wanted, room_nbytes=reserve.rewrite_nbytes)
            if not chosen or not self._replace(chosen, report):
                report.needed_nbytes = 2 * min(one.needed_nbytes for one in wanted)
                break
            found = self._half_dead(set())
        report.left_nbytes = gain_nbytes(found)
        return report.rewritten > 0

    def _replace(self, chosen: frozenset[int], report: GcReport) -> bool:
        """Rewrite what lives in these segments; whether any of them went then."""
        try:
            self._rewrite(chosen)
            self._settle()
        except errors.TierFull as error:
            _LOG.warning("not all of the log could be rewritten: %s", error.message)
        dead = [row for row in self._dead_segments(set()) if row.stripe is None]
        self._drop_local(dead, report)
        went = sum(row.id in chosen for row in dead)
        report.rewritten += went
        return went > 0

    def _collect(self, heat: AccessRates, *, dry_run: bool, is_short: bool = False) -> GcReport:
        report = GcReport(dry_run=dry_run)
        if (why := self._state.index.meta().get(INCOMPLETE)) is not None:
            report.unreachable.append(why)
            return report
        if self._config.tiers and not dry_run:
            self._tiers.own()
        clean = not self._config.tiers or self._delete_orphans(report)
        # A disk that comes back brings segments back that were removed on the others.
        clean = clean and self._disk.lacks_nothing()
        forget = list(self._invisible())
        report.versions = len(forget)
        purge = list(self._superfluous_tombstones(report)) if clean else []
        report.tombstones = len(purge)
        if not dry_run:
            self._settle()  # what hides the forgotten ones may not be on disk yet
            for version in purge:
                heat.forget(version.key)
            self._forget([*forget, *(v.id for v in purge)])
        dead = self._dead_segments(set(forget) | {v.id for v in purge})
        self._drop_local([row for row in dead if row.stripe is None], report)
        self._give_up([row.id for row in dead if row.stripe is not None], report)
        if self._config.tiers:
            self._delete_given_up(report)
        if not dry_run:
            self._state.trim()
            self._state.index.shrink(wholly=is_short)
            if self._state.reserve is not None:
                self._state.reserve.fit(self._state.local_nbytes())
        return report

    def _forget(self, ids: list[VersionId]) -> None:
        """Commit that these versions are gone; in halves, where a full disk does not take all."""
        divisible = len(ids) > FEW_VERSIONS
        try:
            self._state.commit(Batch(forget=ids, durable=True, divisible=divisible))
        except errors.TierFull:
            if not divisible:
                raise
            middle = len(ids) // 2
            self._forget(ids[:middle])
            self._forget(ids[middle:])

    def _invisible(self) -> Iterator[VersionId]:
        """Versions that a later one hides, but for those of snapshots."""
        kept = self._state.index.snapshot_members()
        return (v.id for v in self._state.catalog.superseded() if v.id not in kept)

    def _superfluous_tombstones(self, report: GcReport) -> Iterable[Version]:
        """Tombstones of keys of which no segment has an older record any more.

        A rebuild from the segments would else bring the key back. What lies in a tombstone's own
        segment comes and goes with it, but for what a snapshot keeps in the index. None is
        superfluous while there is a segment, or an orphan on a tier, of which it is not known what
        it holds.
        """
        kept = {key for key, _, _ in self._state.index.snapshot_members()}
        tombstones = {version.key: version for version in self._state.catalog.tombstones()}
        for row in list(self._state.segments.values()) if tombstones else ():
            if row.state == "active":
                self._keep_all(tombstones, row)
            try:
                records = list(self._tables.records(row))
            except errors.ObjectMissing:
                continue  # what is not there any more brings nothing back
            except errors.StorageError as error:
                report.unreachable.append(f"segment {row.id:x}: {error.message}")
                return ()
            for record in records:
                found = tombstones.get(record.key)
                if found is None or (found.segment == row.id and record.key not in kept):
                    continue
                if (record.generation, record.writer) < found.order:
                    del tombstones[record.key]
        return tombstones.values()

    def _keep_all(self, tombstones: dict[str, Version], row: SegmentRow) -> None:
        """An active segment may hold records older than any tombstone that is in it, or later."""
        for key in [k for k, v in tombstones.items() if v.segment == row.id]:
            del tombstones[key]

    def _dead_segments(self, gone: set[VersionId]) -> list[SegmentRow]:
        # Before the census: what is sealed while it is taken may be full of what it has not seen.
        dead = {row.id for row in list(self._state.segments.values()) if row.state == "sealed"}
        # Twice: what is dead at first can only be brought back by a link that was under way then,
        # and which is still under way, or in the second census.
        for _ in range(2):
            busy = self._unfinished_from()
            self._state.refresh(sure=True)
            census = take_census(self._state, None, without=gone)
            lives = {*census.live_nbytes, *census.records}
            dead = {n for n in dead - lives if busy is None or n < busy}
        return [
            row
            for row in sorted(self._state.segments.values(), key=lambda row: row.id)
            if row.state == "gone" or row.id in dead
        ]

    def _drop_local(self, dead: Iterable[SegmentRow], report: GcReport) -> None:
        rows = list(dead)
        report.segments += len(rows)
        report.freed_nbytes += sum(row.nbytes for row in rows if row.local)
        if report.dry_run or not rows:
            return
        self._state.commit(
            Batch(segments=[attrs.evolve(row, state="gone") for row in rows], durable=True)
        )
        for row in rows:
            self._disk.remove(sealed_name(row.id))
        self._disk.sync_dir()
        self._state.commit(Batch(drop_segments=[row.id for row in rows]))

    def _give_up(self, dead: Iterable[int], report: GcReport) -> None:
        """Stripes none of whose segments lives: their grace period begins now."""
        gone = set(dead)
        for stripe in list(self._state.stripes.values()):
            inside = {row.id for row in self._rows_of(stripe)}
            if not inside <= gone:
                continue
            if not report.dry_run:
                row = stripe_row(stripe, deleted_s=self._clock())
                self._state.commit(Batch(stripes=[row], durable=True))
            report.stripes += 1

    def _delete_given_up(self, report: GcReport) -> None:
        for stripe, deleted_s in list(self._state.given_up.values()):
            passed_s = self._clock() - deleted_s
            if passed_s < self._config.policy.grace_s:
                report.stripes_waiting += 1
                if passed_s < 0 and not report.dry_run:
                    # The clock was set back: that must neither keep it for years, nor hurry it.
                    self._state.commit(Batch(stripes=[stripe_row(stripe, deleted_s=self._clock())]))
                continue
            report.freed_nbytes += stripe.object_nbytes
            if not report.dry_run:
                self._tiers.own()
                self._delete_stripe(stripe, report)

    def _delete_stripe(self, stripe: Stripe, report: GcReport) -> None:
        left = self._tiers.stripes.delete(stripe)
        report.unreachable += [f"{self._url(each.place)} {each.key}" for each in left]
        if left:
            return
        rows = self._rows_of(stripe)
        local = [row for row in rows if row.local]
        for row in local:
            self._disk.remove(sealed_name(row.id))
        if local:
            # A file that a crash brings back would be taken in as new.
            self._disk.sync_dir()
        self._state.commit(
            Batch(drop_stripes=[stripe.id], drop_segments=[row.id for row in rows], durable=True)
        )

    def _rows_of(self, stripe: Stripe) -> list[SegmentRow]:
        """The segments that are read from this stripe; another may hold the same one, too."""
        numbers = [each.segment for each in stripe.fragments[: stripe.width]]
        rows = [self._state.segments.get(number) for number in numbers]
        return [row for row in rows if row is not None and row.stripe == stripe.id]

    def _delete_orphans(self, report: GcReport) -> bool:
        """Delete what moves that were killed have left on the tiers, past the grace period.

        Whether nothing is left there that the index does not know.
        """
        found = self._orphans.sort()
        away = [Place(tier=n) for n, tier in enumerate(self._tiers.tiers) if tier is None]
        report.unreachable += [self._url(place) for place in (*found.unreachable, *away)]
        report.unknown += [
            f"stripe {number:x} holds what the index does not know: "
            + command("rebuild", self._tiers.home)
            for number in found.unknown
        ]
        if found.dead and not report.dry_run:
            self._tiers.own()  # to find them took its time
        for orphan in found.dead:
            report.orphans += 1
            report.freed_nbytes += orphan.stat.nbytes
            if not report.dry_run:
                self._tiers.tier(orphan.place.tier).delete(orphan.stat.key)
        return not (found.waiting or found.unknown or found.unreachable or away)

    def _url(self, place: Place) -> str:
        return self._tiers.url_of(place)
