"""Carries out moves: each copies, reads back, switches the index, and only then lets go.

A move never deletes what it replaces: that is the collector's, after a grace period.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, Literal

import attrs

from deepseek_core import errors
from deepseek_store.codes import Code
from deepseek_store.codes.choose import CodeChoice, choose_code
from deepseek_store.commands import command
from deepseek_store.errors import Corrupt
from deepseek_store.home.config import StoreConfig
from deepseek_store.home.state import State, stripe_row
from deepseek_store.home.tier_set import TierSet
from deepseek_store.home.version_records import sealed_of
from deepseek_store.index.rows import Batch, SegmentRow, Version
from deepseek_store.log.copies import judge, right_copy
from deepseek_store.log.disk import Disk
from deepseek_store.log.records import Buffer, unpack_extents
from deepseek_store.log.segment import sealed_name
from deepseek_store.move.carrier import Carrier
from deepseek_store.move.census import named_code
from deepseek_store.move.exclusive import Exclusive
from deepseek_store.move.packer import PackedSegment, PackSource, SegmentForm, pack
from deepseek_store.planning.policy import TierName
from deepseek_store.planning.steps import Move
from deepseek_store.read.learning import ShardSizes
from deepseek_store.read.shard_reader import Reader
from deepseek_store.read.suspects import Suspects
from deepseek_store.stripes.fragment import HEADER_NBYTES
from deepseek_store.stripes.layout import Place, place
from deepseek_store.stripes.stripe import Stripe
from deepseek_store.write.writer import Writer

_LOG: Final = logging.getLogger(__name__)
Distant = Literal["warm", "cold"]

_CHUNK_EXTENTS: Final = 8
_MOST_NUMBERS: Final = 16


class Mover:
    """Moves objects and segments between tiers; one move at a time."""

    def __init__(
        self,
        config: StoreConfig,
        *,
        state: State,
        disk: Disk,
        tiers: TierSet,
        reader: Reader,
        writer: Writer,
        sizes: ShardSizes,
        writer_number: int,
        clock: Callable[[], float],
        exclusive: Exclusive,
        settle: Callable[[], None],
        suspects: Suspects,
    ) -> None:
        self._suspects = suspects
        self._config, self._state, self._disk, self._tiers = config, state, disk, tiers
        self._reader, self._writer, self._number = reader, writer, writer_number
        self._sizes = sizes
        self._clock = clock
        self._exclusive, self._settle = exclusive, settle
        self.moves = 0
        self._choices: dict[str, CodeChoice] = {}

    def choice(self, tier: Distant) -> CodeChoice:
        """The code of new stripes of a tier, with its reasons.

        Raises:
            CodeRefused: the tiers can't carry what the policy asks for.
            ConfigError: the store has no such tier.
        """
        if tier not in self._choices:
            named = named_code(self._config, tier)
            self._choices[tier] = choose_code(
                tier,
                len(self._tiers.places(tier)),
                self._config.policy.floor_nines[tier],
                promised_nines=self._tiers.promised_nines(tier),
                candidates=None if named is None else [named],
            )
        return self._choices[tier]

    def apply(self, move: Move) -> None:
        """Carry out one step of a plan; what has changed since the plan was made is left out."""
        with self._exclusive:
            if move.kind == "promote":
                self._promote(move.keys, skip=True)
            elif move.kind == "adopt":
                self._adopt(move.segments)
            elif move.kind == "drop":
                self._promote(move.keys, only=frozenset(move.segments), skip=True)
                self._drop(move.segments)
            elif move.kind == "pack":
                self._pack(map(self._state.catalog.get, move.keys), "cold", skip=True)
            else:
                self._compact(frozenset(move.segments))
            self.moves += 1

    def make_room(self, segments: frozenset[int]) -> None:
        """Rewrite what lives in these segments of the log, with all space that is kept back.

        Raises:
            TierFull: it was too little; what is rewritten is, and what is not lies where it did.
        """
        with self._exclusive:
            self._compact(segments, makes_room=True)

    def send(self, keys: Iterable[str], tier: TierName) -> None:
        """Bring these objects to a tier now, in stripes of their own.

        Raises:
            ConfigError: the store has no such tier.
        """
        with self._exclusive:
            if tier == "hot":
                self._promote(keys)
            else:
                self._pack((self._state.catalog.get(key) for key in keys), tier)

    def _promote(
        self, keys: Iterable[str], only: frozenset[int] | None = None, *, skip: bool = False
    ) -> None:
        for key in keys:
            version = self._state.catalog.get(key)
            if version is None:
                continue
            extents = unpack_extents(version.extents)
            near = all(map(self._reader.is_local, extents))
            if only is None and near:
                continue
            if only is not None and not any(extent.segment in only for extent in extents):
                continue
            self._rewrite(version, skip=skip)

    def _adopt(self, numbers: Sequence[int]) -> None:
        """Sealed segments become data fragments of one warm stripe, as they were written.

        One of which no copy is right stays where it is, for repair to save what is left of it.
        """
        rows, contents = [], []
        for row in filter(None, map(self._adoptable, numbers)):
            segment = sealed_of(row, self._config.store_id)
            try:
                right = right_copy(self._disk.replicas(), segment, self._suspects.note_copy)
            except Corrupt as error:
                _LOG.error("it stays in the log: %s", error)
                continue
            rows.append(row)
            contents.append((row.id, right.data))
        if rows:
            self._stripe(contents, rows, "warm", ())

    def _adoptable(self, number: int) -> SegmentRow | None:
        row = self._state.segments.get(number)
        fits = row is not None and row.local and row.state == "sealed" and row.stripe is None
        return row if fits else None

    def _drop(self, numbers: Sequence[int]) -> None:
        """Let go of the log's copy of segments that a stripe holds."""
        rows = [self._state.segments.get(number) for number in numbers]
        held = [row for row in rows if row is not None and row.local and row.stripe is not None]
        gone = [row for row in held if self._is_safe(row)]
        if not gone:
            return
        changed = [attrs.evolve(row, local=False) for row in gone]
        self._state.commit(Batch(segments=changed, durable=True))
        for row in gone:
            self._disk.remove(sealed_name(row.id))

    def _is_safe(self, row: SegmentRow) -> bool:
        """Whether a segment's stripe gives it back, and could still bear to lose a fragment.

        What is wrong is noted; repair then has the log's copy to make it right from.
        """
        stripe = None if row.stripe is None else self._state.stripes.get(row.stripe)
        if stripe is None or row.fragment is None:
            return False
        faults = list(self._tiers.stripes.check(stripe, deep=False))
        if not any(fault.index == row.fragment for fault in faults):
            faults += self._tiers.stripes.check(stripe, only=[row.fragment])
        spare = stripe.code.tolerance - len(faults)
        safe = not any(fault.index == row.fragment for fault in faults)
        if safe and self._holds(stripe, row) and (spare > 0 or not faults):
            return True
        self._suspects.note_fragments(row.id, stripe, faults)
        _LOG.warning("segment %x stays in the log: its stripe %x is not sound", row.id, stripe.id)
        return False

    def _holds(self, stripe: Stripe, row: SegmentRow) -> bool:
        """Whether the fragment is the segment as it was written, not as it had rotted before."""
        assert row.fragment is not None
        try:
            data = self._tiers.stripes.read(stripe, row.fragment, 0, row.nbytes)
        except errors.StorageError:
            return False
        return judge(data, sealed_of(row, self._config.store_id)) is None

    def _pack(
        self, versions: Iterable[Version | None], tier: Distant, *, skip: bool = False
    ) -> None:
        """Write versions into new full segments, and those into stripes of their own.

        `skip`: those that are damaged stay where they are; without it they end the move.
        """
        wanted = [version for version in versions if version is not None]
        code = self.choice(tier).code
        profile = self._tiers.profile(tier)
        assert profile is not None
        _, sizes_of = self._sizes.chooser(tier, profile)
        sources = (
            PackSource(version=one, chunks=self._chunks(one), sizes=sizes_of(one.key))
            for one in wanted
        )
        full: list[PackedSegment] = []
        for packed in pack(sources, self._form(tier), _skipping(skip)):
            full.append(packed)
            if len(full) == code.k:
                self._write_packed(full, tier)
                full = []
        if full:
            self._write_packed(full, tier)

    def _form(self, tier: Distant) -> SegmentForm:
        policy = self._config.policy
        fragment_nbytes = (
            policy.cold_fragment_nbytes if tier == "cold" else policy.warm_fragment_nbytes
        )
        return SegmentForm(
            store_id=self._config.store_id,
            writer=self._number,
            nbytes=fragment_nbytes - HEADER_NBYTES,
            ids=iter(self.next_segment, None),
            created_s=self._clock(),
        )

    def next_segment(self) -> int:
        """A number that no segment or stripe has."""
        return self._state.allocate("segment")

    def _chunks(self, version: Version) -> Iterator[Buffer]:
        extents = unpack_extents(version.extents)
        for start in range(0, len(extents), _CHUNK_EXTENTS):
            yield from self._reader.read_all(extents[start : start + _CHUNK_EXTENTS])

    def _write_packed(self, full: Sequence[PackedSegment], tier: Distant) -> None:
        now_s = self._clock()
        rows = [
            SegmentRow(
                id=packed.id,
                writer=self._number,
                state="sealed",
                nbytes=len(packed.content),
                min_generation=packed.min_generation,
                created_s=now_s,
                local=False,
                applied=len(packed.content),
            )
            for packed in full
        ]
        contents = [(packed.id, packed.content) for packed in full]
        moved = [version for packed in full for version in packed.versions]
        self._stripe(contents, rows, tier, moved)

    def _stripe(
        self,
        contents: Sequence[tuple[int, Buffer]],
        rows: Sequence[SegmentRow],
        tier: Distant,
        moved: Sequence[Version],
    ) -> Stripe:
        """Write a stripe, read it back, then switch the index to it in one durable transaction."""
        code = self.choice(tier).code
        places = self._tiers.places(tier)
        self._tiers.own()
        # First: the index takes the move of a version only once it has that version, and what is
        # written there before it is safe here could not be told from what others wrote.
        self._settle()
        stripe = self._written(contents, code, places, tier)
        number = stripe.id
        segments = [
            attrs.evolve(row, stripe=number, fragment=stripe.index_of(row.id)) for row in rows
        ]
        # Now its marks there tell of this stripe, too, should all that tells of it here be lost.
        self._tiers.own(anew=True)
        self._state.commit(
            Batch(segments=segments, stripes=[stripe_row(stripe)], moved=moved, durable=True)
        )
        return stripe

    def _written(
        self,
        contents: Sequence[tuple[int, Buffer]],
        code: Code,
        places: Sequence[Place],
        tier: Distant,
    ) -> Stripe:
        """A new stripe, of a number that nobody has used on these tiers."""
        for _ in range(_MOST_NUMBERS):
            number = self._state.allocate("stripe")
            stripe = self._tiers.stripes.write(
                number,
                contents,
                code,
                place(code, places, self._loads(), turn=number),
                spares=places,
                tier=tier,
                created_s=self._clock(),
            )
            if stripe.generation == 1:
                return stripe
            # Other fragments had its keys, and it had to take later ones.
            _LOG.error("stripe %x is there already: its number is passed over", number)
            self._tiers.stripes.delete(stripe)
        raise errors.TierUnavailable(
            f"{_MOST_NUMBERS} stripes were there already",
            url=self._config.tiers[places[0].tier].url,
            remedy=command("rebuild", self._tiers.home),
        )

    def _loads(self) -> dict[Place, int]:
        loads: dict[Place, int] = {}
        for stripe in self._state.stripes.values():
            for fragment in stripe.fragments:
                loads[fragment.place] = loads.get(fragment.place, 0) + fragment.nbytes
        return loads

    def _compact(self, segments: frozenset[int], *, makes_room: bool = False) -> None:
        """Rewrite what lives in these segments, so that nothing does."""
        rows = [row for number in segments if (row := self._state.segments.get(number))]
        stripes = {row.stripe for row in rows if row.stripe is not None}
        inside = [v for v in self._state.catalog.all_versions() if _touches(v, segments)]
        # As they lie in the log: should this end early, the first segments are done with.
        inside.sort(key=lambda version: version.record)
        if not inside:
            return  # it was given up since the plan was made
        if stripes and not any(row.local for row in rows):
            self._pack_anew(inside, next(iter(stripes)))
            inside = [version for version in inside if version.deleted]
        carrier = self._carrier(segments, makes_room=makes_room)
        for version in inside:
            carrier.carry(version)
        carrier.flush()

    def _pack_anew(self, inside: Iterable[Version], number: int) -> None:
        """Write what lives in a stripe into stripes of its tier."""
        stripe = self._state.stripes.get(number)
        tier = "cold" if stripe is None else stripe.tier
        if tier == "hot":
            raise errors.InputError("a stripe is warm or cold")
        bodies = [version for version in inside if not version.deleted]
        bodies.sort(key=lambda version: version.key)
        self._pack(bodies, tier, skip=True)

    def _rewrite(self, version: Version, *, skip: bool) -> None:
        """Write an object into the log again; a damaged one stays if `skip`."""
        segments = frozenset(extent.segment for extent in unpack_extents(version.extents))
        carrier = self._carrier(segments, skip=skip)
        carrier.carry(version)
        carrier.flush()

    def _carrier(
        self, segments: frozenset[int], *, skip: bool = True, makes_room: bool = False
    ) -> Carrier:
        return Carrier(
            segments,
            reader=self._reader,
            writer=self._writer,
            disk=self._disk,
            skip=skip,
            makes_room=makes_room,
        )


def _touches(version: Version, segments: frozenset[int]) -> bool:
    if version.segment in segments:
        return True
    return any(extent.segment in segments for extent in unpack_extents(version.extents))


def _skipping(skip: bool) -> Callable[[Version, Corrupt], None]:
    """What becomes of a damaged object: it stays where it is if `skip`, else it ends the move."""

    def damaged(version: Version, error: Corrupt) -> None:
        if not skip:
            raise error
        _LOG.error("%r stays where it is: %s", version.key, error)

    return damaged
