"""Compares index, log and tiers, and says what does not fit; nothing is changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Final, Literal

import attrs

from deepseek_core import errors
from deepseek_store.check.check_units import (
    LogFiles,
    Look,
    check_fragments,
    check_segment,
    place_url,
)
from deepseek_store.check.faults import CheckUnit, Fault
from deepseek_store.check.footer_tables import FooterTables
from deepseek_store.check.found_faults import keep_findings
from deepseek_store.check.presence import Presence, look_for_places
from deepseek_store.commands import command
from deepseek_store.home.findings import KeptFinding
from deepseek_store.index.rows import SegmentRow, Version, VersionId
from deepseek_store.log.records import EXTENT_NBYTES, Extent, unpack_extents
from deepseek_store.log.segment import parse_name
from deepseek_store.parts import Parts
from deepseek_store.planning.amounts import counted
from deepseek_store.stripes.fragment import HEADER_NBYTES, BadFragment, parse_header
from deepseek_store.stripes.layout import Place
from deepseek_store.stripes.stripe import Stripe, folder_of, parse_key

Severity = Literal["error", "warning", "note"]

_MOST_KEYS: Final = 20


@attrs.frozen(kw_only=True)
class FsckFinding:
    """One thing that does not fit.

    error: bytes are lost, or the index is wrong; warning: what can be put right, or may come back;
    note: what is of no harm.
    """

    severity: Severity
    what: str
    where: str
    remedy: str = ""

    def __str__(self) -> str:
        remedy = f" -> {self.remedy}" if self.remedy else ""
        return f"{self.severity}: {self.where}: {self.what}{remedy}"


@attrs.frozen(kw_only=True)
class FsckReport:
    """What was compared and found; `ok` if nothing is lost or damaged."""

    deep: bool
    versions: int = 0
    segments: int = 0
    stripes: int = 0
    findings: tuple[FsckFinding, ...] = ()
    unreachable: tuple[str, ...] = ()
    known: tuple[KeptFinding, ...] = ()
    """What others had found before, and this comparison has not seen healed."""

    @property
    def ok(self) -> bool:
        """Whether all fits: notes do not count."""
        return all(finding.severity == "note" for finding in self.findings)

    @property
    def lost(self) -> bool:
        """Whether something is lost, as far as what can be reached tells."""
        return any(finding.severity == "error" for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {**attrs.asdict(self), "ok": self.ok, "lost": self.lost}

    def sentences(self) -> tuple[str, ...]:
        """The report for people."""
        by = "all bytes of them" if self.deep else "by heads and lengths"
        head = (
            f"Compared {counted(self.versions, 'version')}, "
            f"{counted(self.segments, 'segment')} and {counted(self.stripes, 'stripe')}, {by}."
        )
        tail = "Index, log and tiers agree." if self.ok else "Something does not fit."
        return (head, *map(str, self.findings), tail)


def fsck(parts: Parts, *, deep: bool = False) -> FsckReport:
    """Compare what the index says with what is there; `deep` reads all bytes."""
    parts.state.refresh()
    checker = _Checker(parts, deep=deep)
    presence = look_for_places(parts, by="fsck")
    findings = [
        *checker.stripes(),
        *checker.segments(),
        *checker.versions(),
        *checker.files(),
        *checker.places(presence),
        *checker.orphans(presence),
    ]
    known = parts.findings.all()
    findings += checker.known(known)
    order = {"error": 0, "warning": 1, "note": 2}
    return FsckReport(
        deep=deep,
        versions=sum(1 for _ in parts.state.catalog.all_versions()),
        segments=len(parts.state.segments),
        stripes=len(parts.state.stripes),
        findings=tuple(sorted(findings, key=lambda each: order[each.severity])),
        unreachable=tuple(sorted(checker.unreachable)),
        known=known,
    )


class _Checker:
    """One comparison; each method looks at one sort of things."""

    def __init__(self, parts: Parts, *, deep: bool) -> None:
        self._parts, self._deep = parts, deep
        self._look = Look(deep=deep, files=LogFiles(parts.disk.replicas()))
        # segments by id, as the index has them
        self._rows: dict[int, SegmentRow] = dict(parts.state.segments)
        self._lost: set[int] = set()  # segments whose bytes are not there
        # Segments that their stripe has no more.
        self._broken: set[int] = set()
        self.unreachable: set[str] = set()  # places that do not answer
        # `_mend`: commands for remedies, each with this store's home
        self._mend, self._repair, self._rebuild, self._gc = (
            command("scrub", parts.home, "--repair"),
            *(command(name, parts.home) for name in ("repair", "rebuild", "gc")),
        )

    def segments(self) -> Iterator[FsckFinding]:
        """Segments of the log, each with its file."""
        for row in self._rows.values():
            yield from self._segment(row)

    def _segment(self, row: SegmentRow) -> Iterator[FsckFinding]:
        where = f"segment {row.id:x}"
        if row.state == "gone":
            yield FsckFinding(
                severity="note", what="it was collected", where=where, remedy=self._gc
            )
        elif row.stripe is not None:
            yield from self._membership(row)
        elif not row.local:
            self._lost.add(row.id)
            what = "the index knows no place where it lies"
            yield FsckFinding(severity="error", what=what, where=where, remedy=self._rebuild)
        faults = check_segment(self._parts, row, self._look)
        keep_findings(self._parts, CheckUnit("log", row.id), faults, deep=self._deep, by="fsck")
        striped = row.stripe is not None and row.id not in self._broken
        whole = len(faults) < len(self._parts.disk.replicas()) or striped
        if faults and not whole and any(f.kind == "missing" for f in faults):
            self._lost.add(row.id)
        for fault in faults:
            yield self._of_fault(fault, "warning" if whole else "error")

    def _membership(self, row: SegmentRow) -> Iterator[FsckFinding]:
        """Whether row and stripe say the same."""
        where = f"segment {row.id:x}"
        state = self._parts.state
        assert row.stripe is not None
        assert row.fragment is not None
        stripe = state.stripes.get(row.stripe)
        if stripe is None:
            if row.stripe not in state.given_up:
                self._lost |= set() if row.local else {row.id}
                what = f"its stripe {row.stripe:x} is not in the index"
                yield FsckFinding(severity="error", what=what, where=where, remedy=self._rebuild)
            return
        fragment = stripe.fragments[row.fragment] if row.fragment < stripe.code.k else None
        if fragment is None or (fragment.segment, fragment.nbytes) != (row.id, row.nbytes):
            what = f"fragment {row.fragment} of stripe {row.stripe:x} is another segment's"
            yield FsckFinding(severity="error", what=what, where=where, remedy=self._rebuild)

    def stripes(self) -> Iterator[FsckFinding]:
        """Fragments of all stripes, and whether what is there is enough."""
        for stripe in list(self._parts.state.stripes.values()):
            faults = check_fragments(self._parts, stripe, self._look)
            unit = CheckUnit("stripe", stripe.id)
            keep_findings(self._parts, unit, faults, deep=self._deep, by="fsck")
            away = {f.place for f in faults if f.kind == "unreachable"}
            self.unreachable |= away
            severity = self._verdict(stripe, faults)
            for fault in faults:
                yield self._of_fault(fault, severity)
            if severity == "error":
                what = "more fragments are lost than its code bears"
                where = f"stripe {stripe.id:x}, {stripe.code.name}"
                yield FsckFinding(severity="error", what=what, where=where, remedy=self._mend)

    def _verdict(self, stripe: Stripe, faults: Iterable[Fault]) -> Severity:
        gone = {f.index for f in faults if f.kind != "unreachable" and f.index is not None}
        gone |= set(stripe.lost)
        if self._parts.tiers.stripes.decodable(stripe, gone):
            return "warning"
        inside = [stripe.fragments[index].segment for index in gone if index < stripe.width]
        rows = [self._rows[number] for number in inside if number in self._rows]
        self._broken |= {row.id for row in rows if row.stripe == stripe.id}
        lost = {row.id for row in rows if row.stripe == stripe.id and not row.local}
        self._lost |= lost
        return "error" if lost else "warning"

    def places(self, presence: Presence) -> Iterator[FsckFinding]:
        """Domains and copies of the log that are not there, whatever lies on them."""
        for place, why in presence.away.items():
            where = place_url(self._parts, place)
            self.unreachable.add(where)
            if not presence.tiers.get(place.tier):
                remedy = f"bring it back, or: {self._mend}"
                yield FsckFinding(severity="warning", what=why, where=where, remedy=remedy)
        for url, why in presence.copies.items():
            if why:
                remedy = presence.remedies.get(url) or self._repair
                yield FsckFinding(severity="warning", what=why, where=url, remedy=remedy)

    def known(self, known: Iterable[KeptFinding]) -> Iterator[FsckFinding]:
        """What others have met and this comparison can't tell, for it has not read all bytes."""
        for each in known:
            if each.by != "fsck" and each.what in ("segment", "stripe") and not self._deep:
                yield FsckFinding(
                    severity="warning", what=str(each), where="found before", remedy=self._repair
                )

    def _of_fault(self, fault: Fault, severity: Severity) -> FsckFinding:
        which = f", fragment {fault.index}" if fault.index is not None else ""
        away = fault.kind == "unreachable"
        return FsckFinding(
            severity="warning" if away else severity,
            what=f"{fault.kind}: {fault.detail}",
            where=f"{fault.unit}{which} on {fault.place}",
            remedy=f"bring it back, or: {self._mend}" if away else self._mend,
        )

    def versions(self) -> Iterator[FsckFinding]:
        """Extents and records of all versions that somebody can see, and what pins them."""
        state = self._parts.state
        members = state.index.snapshot_members()
        catalog = state.catalog
        hidden = {version.id for version in catalog.superseded()} - members
        tables = FooterTables(self._parts) if self._deep else None
        lost: Counter[int] = Counter()
        for version in list(catalog.all_versions()):
            if version.id in hidden:
                continue
            for problem in self._version(version, tables):
                yield FsckFinding(
                    severity="error", what=problem, where=repr(version.key), remedy=self._rebuild
                )
            lost.update({each.segment for each in _extents(version)} & self._lost)
        for segment, count in sorted(lost.items()):
            what = f"{count} objects have bytes in it: {self._names(segment)}"
            where = f"segment {segment:x}, which is lost"
            yield FsckFinding(severity="error", what=what, where=where, remedy=self._mend)
        yield from self._dangling(members)
        if tables is not None:
            yield from self._footers(tables)

    def _footers(self, tables: FooterTables) -> Iterator[FsckFinding]:
        for key, generation in tables.newer():
            what = f"a segment has generation {generation} of it, which the index has not"
            yield FsckFinding(severity="error", what=what, where=repr(key), remedy=self._rebuild)
        for segment, why in tables.unread.items():
            yield FsckFinding(severity="warning", what=why, where=f"segment {segment:x}")

    def _names(self, segment: int) -> str:
        catalog = self._parts.state.catalog
        inside = (v.key for v in catalog.all_versions() if segment in _segments(v))
        keys = sorted(set(inside))
        return ", ".join(keys[:_MOST_KEYS]) + (", ..." if len(keys) > _MOST_KEYS else "")

    def _version(self, version: Version, tables: FooterTables | None) -> Iterator[str]:
        if len(version.extents) % EXTENT_NBYTES:
            yield "its list of pieces is no such list"
            return
        extents = _extents(version)
        if not version.deleted and sum(each.nbytes for each in extents) != version.nbytes:
            yield f"its pieces do not make {version.nbytes} bytes"
        for extent in extents:
            row = self._rows.get(extent.segment) or self._parts.state.segments.get(extent.segment)
            if row is None:
                yield f"a piece lies in segment {extent.segment:x}, which nobody knows"
            elif row.state == "sealed" and extent.offset + extent.nbytes > row.nbytes:
                yield f"a piece lies beyond the end of segment {row.id:x}"
            elif tables is not None and not tables.has(extent):
                yield f"segment {row.id:x} has no such piece at {extent.offset}"
        if self._parts.state.segments.get(version.segment) is None:
            yield f"its record lies in segment {version.segment:x}, which nobody knows"
        elif tables is not None and not tables.has_record(version):
            yield f"segment {version.segment:x} has no record of it at {version.offset}"

    def _dangling(self, members: Iterable[VersionId]) -> Iterator[FsckFinding]:
        state = self._parts.state
        for member in members:
            if state.catalog.find(member) is None:
                what = "a snapshot has a version of it that is not there"
                yield FsckFinding(
                    severity="error", what=what, where=repr(member[0]), remedy=self._rebuild
                )
        loose = sorted(key for key in state.pins if state.catalog.get(key) is None)
        if loose:
            what = f"{len(loose)} pins of objects that are not there, {loose[0]!r} among them"
            yield FsckFinding(severity="note", what=what, where="index")

    def files(self) -> Iterator[FsckFinding]:
        """Files of the log that the index does not know."""
        known = {row.id for row in self._parts.state.segments.values() if row.local}
        for name in self._parts.disk.list():
            parsed = parse_name(name)
            if parsed is not None and parsed[1] and parsed[0] not in known:
                what = "the index does not know this file; the next opening takes it in"
                yield FsckFinding(severity="warning", what=what, where=name)

    def orphans(self, presence: Presence) -> Iterator[FsckFinding]:
        """Fragments of this store that no stripe has."""
        state, tiers = self._parts.state, self._parts.tiers
        if not self._parts.config.tiers:
            return
        given_up = [stripe for stripe, _ in state.given_up.values()]
        known = {
            (each.tier, each.key)
            for stripe in (*state.stripes.values(), *given_up)
            for each in stripe.fragments
        }
        for number, why in tiers.failed.items():
            self.unreachable.add(self._parts.config.tiers[number].url)
            where = self._parts.config.tiers[number].url
            yield FsckFinding(severity="warning", what=f"it can't be reached: {why}", where=where)
        for place in tiers.stripes.places():
            if place not in presence.away:
                yield from self._orphans_at(place, known)

    def _orphans_at(self, place: Place, known: set[tuple[int, str]]) -> Iterator[FsckFinding]:
        tier, where = self._parts.tiers.tier(place.tier), place_url(self._parts, place)
        count = nbytes = 0
        try:
            for found in tier.list(folder_of(place.domain)):
                named = parse_key(place.domain, found.key)
                if named is None or (place.tier, found.key) in known:
                    continue
                if self._is_ours(tier.get(found.key, 0, HEADER_NBYTES)):
                    count, nbytes = count + 1, nbytes + found.nbytes
        except errors.ObjectMissing:
            pass  # a move that was under way has tidied up
        except errors.StorageError as error:
            self.unreachable.add(where)
            yield FsckFinding(
                severity="warning", what=f"it can't be reached: {error.message}", where=where
            )
        if count:
            what = f"{count} fragments, {nbytes:,} bytes, that no stripe has"
            yield FsckFinding(severity="note", what=what, where=where, remedy=self._gc)

    def _is_ours(self, data: bytes) -> bool:
        try:
            return parse_header(data).store == self._parts.config.store_id
        except BadFragment:
            return False


def _extents(version: Version) -> tuple[Extent, ...]:
    return () if len(version.extents) % EXTENT_NBYTES else unpack_extents(version.extents)


def _segments(version: Version) -> set[int]:
    return {extent.segment for extent in _extents(version)}
