"""Finds all segments and stripes of a store, and what versions their footers tell of."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final

import attrs

from deepseek_core import errors
from deepseek_store.at_once import AtOnce
from deepseek_store.check.footer_versions import Told, told_by, told_by_footer
from deepseek_store.home.catch_up import segment_row
from deepseek_store.home.config import StoreConfig
from deepseek_store.home.tier_set import TierSet
from deepseek_store.home.version_records import sealed_of
from deepseek_store.index.rows import SegmentRow, Version, VersionId
from deepseek_store.log.copies import judge
from deepseek_store.log.disk import Disk
from deepseek_store.log.records import EXTENT_NBYTES, Placed, segments_in, unpack_extents
from deepseek_store.log.records import HEADER_NBYTES as RECORD_NBYTES
from deepseek_store.log.recovery import Recovered, recover
from deepseek_store.log.segment import (
    TRAILER_NBYTES,
    SegmentInfo,
    read_footer,
    sealed_name,
)
from deepseek_store.read.segment_tables import footer_in_stripe
from deepseek_store.stripes.layout import Place
from deepseek_store.stripes.stripe import Stripe, parse_key

Progress = Callable[[int, int, str], None]

_THREADS: Final = 16
# How safe a segment lies: lost; in a stripe that is not decodable any more, or was never finished;
# in a stripe that lacks fragments; whole.
_LOST, _ALONE, _WEAK, _WHOLE = range(4)


@attrs.define(kw_only=True)
class Found:
    """All that was found of a store; `clock` is the highest generation of any record.

    `left_out` are stripes that hold segments of numbers which other segments have, too.
    """

    rows: list[SegmentRow] = attrs.field(factory=list)
    stripes: list[Stripe] = attrs.field(factory=list)
    safety: dict[int, int] = attrs.field(factory=dict)
    clock: int = 0
    highest_segment: int = 0
    highest_stripe: int = 0
    truncated_nbytes: int = 0
    faults: list[str] = attrs.field(factory=list)
    unreachable: list[str] = attrs.field(factory=list)
    left_out: list[int] = attrs.field(factory=list)
    _versions: dict[VersionId, Version] = attrs.field(factory=dict)
    _copies: dict[VersionId, list[Version]] = attrs.field(factory=dict)

    def take(self, told: Told) -> None:
        """What the records of a segment say."""
        self.clock = max(self.clock, told.clock)
        self.highest_segment = max(self.highest_segment, told.segment)
        add = self._versions.setdefault
        for version in told.versions:
            name = version.key, version.generation, version.writer
            known = add(name, version)
            if known is not version:
                self._copies.setdefault(name, [known]).append(version)

    def chains(self) -> dict[str, list[Version]]:
        """The versions of each key, the current one first; of each the copy that lies safest."""
        chains: dict[str, list[Version]] = defaultdict(list)
        copies = self._copies
        for name, version in self._versions.items():
            same = copies.get(name) if copies else None
            chains[name[0]].append(version if same is None else self._safest(same))
        for chain in chains.values():
            if len(chain) > 1:
                chain.sort(key=lambda version: version.order, reverse=True)
        return chains

    def prune(self, versions: Iterable[Version]) -> None:
        """Leave out what lies on tiers and none of these versions needs: moves that were killed."""
        if not all(row.local for row in self.rows):
            used: set[int] = set()
            for version in versions:
                used.add(version.segment)
                used.update(segments_in(version.extents))
            self.rows = [row for row in self.rows if row.local or row.id in used]
        needed = {row.stripe for row in self.rows}
        self.stripes = [stripe for stripe in self.stripes if stripe.id in needed]

    def lacking(self, versions: Iterable[Version]) -> Iterator[Version]:
        """Versions of which some bytes are missing everywhere."""
        there = {segment for segment, safety in self.safety.items() if safety > _LOST}
        for version in versions:
            # Nearly all lie in the segment of their record, which was found.
            if version.extents[:8] == version.segment.to_bytes(8, "little") and (
                len(version.extents) == EXTENT_NBYTES and version.segment in there
            ):
                continue
            if self._safety_of(version) <= _LOST:
                yield version

    def _safest(self, copies: Sequence[Version]) -> Version:
        def rank(version: Version) -> tuple[int, int, int]:
            # Of what has no bytes, a tombstone or an empty object, its record is all there is.
            record = self.safety.get(version.segment, _LOST)
            return self._safety_of(version), record, version.move

        best = max(copies, key=rank)
        # So that the next move is above all that are left of former ones.
        return attrs.evolve(best, move=max(version.move for version in copies))

    def _safety_of(self, version: Version) -> int:
        if len(version.extents) == EXTENT_NBYTES and version.nbytes:
            (segment,) = segments_in(version.extents)
            return self.safety.get(segment, _LOST)
        extents = unpack_extents(version.extents)
        found = (self.safety.get(extent.segment, _LOST) for extent in extents if extent.nbytes)
        return min(found, default=_WHOLE)


@attrs.frozen(kw_only=True)
class _InStripe:
    """A segment as one stripe has it; no `placed`: it is lost."""

    stripe: Stripe
    index: int
    safety: int
    placed: Sequence[Placed] | None


class Seeker:
    """Looks through the log's disks and the tiers of a store that nobody has open."""

    def __init__(self, config: StoreConfig, disk: Disk, tiers: TierSet, progress: Progress) -> None:
        self._config, self._disk, self._tiers = config, disk, tiers
        self._progress = progress
        self._found = Found()
        self._rows: dict[int, SegmentRow] = {}

    def list_tiers(self) -> Sequence[str]:
        """Find the stripes; what can't be reached of the tiers."""
        if not self._config.tiers:
            return ()
        self._progress(0, 0, "listing the tiers")
        discovery = self._tiers.stripes.discover()
        found = self._found
        found.stripes = list(discovery.stripes)
        away = [self._url(place) for place in discovery.unreachable]
        away += [self._url(each.place) for each in discovery.strays if each.kind == "unreadable"]
        found.unreachable = list(dict.fromkeys(away))
        named = [parse_key(stray.place.domain, stray.key) for stray in discovery.strays]
        strays = [name[0] for name in named if name is not None]
        ids = [*(stripe.id for stripe in discovery.stripes), *strays]
        found.highest_stripe = max(ids, default=0)
        return found.unreachable

    def seek(self, *, verify: bool) -> Found:
        """All that is there; `verify` reads the payloads, too."""
        found = self._found
        recovered = recover(
            self._disk, store_id=self._config.store_id, writer_alive=lambda _number: False
        )
        found.truncated_nbytes = sum(recovered.truncated.values())
        hurt = self._take_log(recovered, verify=verify)
        self._take_stripes(hurt, verify=verify)
        found.rows = [row for _, row in sorted(self._rows.items())]
        found.highest_segment = max([found.highest_segment, *self._rows])
        return found

    def _take_log(self, recovered: Recovered, *, verify: bool) -> set[int]:
        """Segments of the log; those whose footer, or more, is damaged come back."""
        hurt: set[int] = set()
        infos = recovered.segments
        for done, info in enumerate(infos):
            self._progress(done, len(infos), f"segment {info.id:x}")
            self._rows[info.id] = segment_row(info)
            told = self._footer(info)
            faults = [each.reason for each in recovered.faults.get(info.id, ())]
            if told is None:
                hurt.add(info.id)
                told = told_by(self._scanned(recovered, info, faults))
            elif verify:
                faults = self._verify(self._rows[info.id])
            self._found.faults += [f"segment {info.id:x}: {fault}" for fault in faults]
            self._found.safety[info.id] = _ALONE if faults or info.id in hurt else _WHOLE
            self._found.take(told)
        return hurt

    def _footer(self, info: SegmentInfo) -> Told | None:
        """The records of a segment from the footer of any of its files; None if none is right."""
        name = sealed_name(info.id)
        for disk in self._disk.replicas():
            try:
                tail = disk.read_at(name, max(0, info.nbytes - TRAILER_NBYTES), TRAILER_NBYTES)
                footer = read_footer(tail, info.nbytes)
                if footer is not None:
                    return told_by_footer(disk.read_at(name, footer.offset, footer.nbytes))
            except errors.StorageError:
                continue
        return None

    def _scanned(
        self, recovered: Recovered, info: SegmentInfo, faults: list[str]
    ) -> Sequence[Placed]:
        try:
            found = recovered.placed(info.id)
        except errors.StorageError as error:
            faults.append(error.message)
            return ()
        faults.append(f"no footer; {len(found)} records can still be read")
        return found

    def _verify(self, row: SegmentRow) -> list[str]:
        name, store_id = sealed_name(row.id), self._config.store_id
        wrong = []
        for disk in self._disk.replicas():
            try:
                judged = judge(disk.read_at(name, 0, row.nbytes + 1), sealed_of(row, store_id))
            except errors.StorageError as error:
                judged = "unreachable", error.message
            if judged is not None:
                wrong.append(f"{disk.url}: {judged[1]}")
        return wrong

    def _take_stripes(self, hurt: set[int], *, verify: bool) -> None:
        stripes = self._found.stripes
        by_segment: dict[int, list[_InStripe]] = defaultdict(list)
        with AtOnce(_THREADS) as threads:
            looked = threads.in_order(lambda stripe: self._look(stripe, hurt), stripes)
            for done, (stripe, inside) in enumerate(zip(stripes, looked, strict=True)):
                self._progress(done, len(stripes), f"stripe {stripe.id:x}")
                for each in inside:
                    by_segment[each.stripe.fragments[each.index].segment].append(each)
        self._found.faults += _lost_for_good(stripes, by_segment, self._rows)
        for segment, copies in by_segment.items():
            self._take_striped(segment, copies, whole=segment not in hurt)
        if verify:
            self._verify_stripes()

    def _look(self, stripe: Stripe, hurt: set[int]) -> list[_InStripe]:
        """All segments of a stripe; footers are read only of those that the log has not."""
        fits = self._tiers.stripes.decodable(stripe, stripe.lost)
        safety = _WHOLE if not stripe.lost else _WEAK if fits else _ALONE
        inside = []
        others: list[int] = []
        for index, fragment in enumerate(stripe.fragments[: stripe.width]):
            if not fragment.segment:
                continue
            placed: Sequence[Placed] | None = ()
            row = self._rows.get(fragment.segment)
            if row is None or fragment.segment in hurt:
                placed = self._table(stripe, index)
            elif self._is_another(stripe, index, row):
                others.append(row.id)
                continue
            gone = placed is None or (not fragment.key and not fits)
            inside.append(
                _InStripe(
                    stripe=stripe, index=index, safety=_LOST if gone else safety, placed=placed
                )
            )
        if others:
            # Two copies of a home gave the same number: the log's counts, the other stays there.
            self._found.left_out.append(stripe.id)
            self._found.faults += [
                f"segment {number:x} of the log and that of stripe {stripe.id:x} are two: what "
                "lies in the stripe is left out, and stays there"
                for number in others
            ]
        return inside

    def _is_another(self, stripe: Stripe, index: int, row: SegmentRow) -> bool:
        """Whether a fragment holds another segment than the log has under that number.

        The head of a footer has a hash over all that is in the segment: it is all that is read.
        """
        fragment = stripe.fragments[index]
        if fragment.nbytes != row.nbytes:
            return True
        name = sealed_name(row.id)
        for disk in self._disk.replicas():
            try:
                tail = disk.read_at(name, max(0, row.nbytes - TRAILER_NBYTES), TRAILER_NBYTES)
                footer = read_footer(tail, row.nbytes)
                if footer is None:
                    continue
                ours = disk.read_at(name, footer.offset, RECORD_NBYTES)
                return self._read(stripe, index, footer.offset) not in (ours, b"")
            except errors.StorageError:
                continue
        return False

    def _read(self, stripe: Stripe, index: int, start: int) -> bytes:
        """The head of a record in a fragment; none where it can't be had."""
        if not stripe.fragments[index].key:
            return b""
        try:
            return self._tiers.stripes.read(stripe, index, start, RECORD_NBYTES)
        except errors.StorageError:
            return b""

    def _table(self, stripe: Stripe, index: int) -> Sequence[Placed] | None:
        try:
            return footer_in_stripe(self._tiers, stripe, index)
        except errors.StorageError:
            return None

    def _take_striped(self, segment: int, copies: Sequence[_InStripe], *, whole: bool) -> None:
        best = max(copies, key=lambda each: (each.safety, each.stripe.id))
        fragment, row = best.stripe.fragments[best.index], self._rows.get(segment)
        if row is not None and whole and best.safety < _WEAK:
            return  # a stripe that was never finished; the log has it all
        placed = best.placed or ()
        self._rows[segment] = SegmentRow(
            id=segment,
            writer=row.writer if row is not None else next((p.record.writer for p in placed), 0),
            state="sealed",
            nbytes=fragment.nbytes,
            min_generation=min((p.record.generation for p in placed), default=0)
            if row is None
            else row.min_generation,
            created_s=best.stripe.created_s if row is None else row.created_s,
            local=row is not None,
            stripe=best.stripe.id,
            fragment=best.index,
            applied=fragment.nbytes,
        )
        safety = self._found.safety
        safety[segment] = max(safety.get(segment, _LOST), best.safety)
        self._found.take(told_by(placed))

    def _verify_stripes(self) -> None:
        for stripe in self._found.stripes:
            for fault in self._tiers.stripes.check(stripe, deep=True):
                self._found.faults.append(
                    f"fragment {fault.index} of stripe {stripe.id:x} is {fault.kind}: "
                    f"{fault.detail}"
                )

    def _url(self, place: Place) -> str:
        url = self._config.tiers[place.tier].url
        return f"{url} ({place.domain})" if place.domain else url


def _lost_for_good(
    stripes: Iterable[Stripe],
    by_segment: Mapping[int, Sequence[_InStripe]],
    local: Collection[int],
) -> list[str]:
    """A line for each stripe with segments that are nowhere any more."""

    def is_lost(segment: int) -> bool:
        # Without a name: every table that named it is lost, too.
        copies = by_segment.get(segment, ())
        return segment not in local and all(each.placed is None for each in copies)

    counts = [
        (stripe, sum(is_lost(each.segment) for each in stripe.fragments[: stripe.width]))
        for stripe in stripes
    ]
    return [
        f"stripe {stripe.id:x} has {len(stripe.stored)} of its fragments: it was never finished, "
        f"or what lay in {count} of its segments is lost, and older versions may have come in its "
        "place"
        for stripe, count in counts
        if count
    ]
