"""The parts of an open store, put together; and the one path of a read through them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Final

from deepseek_core import TierProfile, errors
from deepseek_store.cache.shard_cache import ShardCache
from deepseek_store.home.counters import Counters, Entry, Ledger
from deepseek_store.home.open import WRITERS, Opened
from deepseek_store.home.tier_set import TierSet
from deepseek_store.index.rows import Batch, Version
from deepseek_store.log.journal import Journal
from deepseek_store.log.records import Extent, unpack_extents
from deepseek_store.move.exclusive import Exclusive
from deepseek_store.move.gc import Collector
from deepseek_store.move.mover import Mover
from deepseek_store.planning import sizing
from deepseek_store.read.access_rates import AccessRates
from deepseek_store.read.learning import META, Learner, ShardSizes
from deepseek_store.read.read_ahead import ReadAhead
from deepseek_store.read.reader import Reader
from deepseek_store.read.segment_tables import SegmentTables
from deepseek_store.read.suspects import Suspects
from deepseek_store.write.committer import Committer
from deepseek_store.write.in_flight import InFlight
from deepseek_store.write.writer import Writer

# A file of the log in memory or on an SSD: what sizes its shards. Measured at opening it would
# cost more than a wrong guess: sizes are powers of two.
HOT_SPEED: Final = TierProfile(medium="ssd", latency_s=1e-4, bytes_per_s=1e10)

# Bytes between two shards that are read along rather than asked around, as a share of what a
# connection carries in a request's latency: all of it would treble the traffic of a shuffled order.
_GAP_SHARE: Final = 0.25


class Parts:
    """What an open store is made of. Made by `Store`; closes what it opened."""

    def __init__(self, opened: Opened, clock: Callable[[], float]) -> None:
        self.config, self.state, self.disk = opened.config, opened.state, opened.disk
        self.home, self.clock, self.opened = opened.home, clock, opened
        policy = opened.config.policy
        self.tiers = TierSet(opened.config)
        self.heat = AccessRates(policy.half_life_s)
        self.heat.load(self.state.index.heat())
        self.cache = ShardCache(policy.cache_nbytes) if policy.cache_nbytes else None
        self.reader = Reader(self.state, self.disk, self.tiers, self.cache)
        self.suspects = Suspects()
        self.reader.on_fault = self.suspects.note
        self.committer = Committer(self.state, writer=opened.writer, at_once=opened.shared)
        self.journal = Journal(
            self.disk,
            store_id=opened.config.store_id,
            writer=opened.writer,
            segment_nbytes=policy.warm_fragment_nbytes,
            next_segment=lambda: self.state.index.allocate("segment"),
            clock=clock,
            on_group=self.committer.take,
            on_seal=self.committer.take_seal,
            on_written=self.committer.show,
            on_lost=self.committer.hide,
            reserve=opened.reserve,
        )
        hot_nbytes = sizing.ruled(policy, "hot", HOT_SPEED).base_nbytes
        folder = opened.home / WRITERS
        self.in_flight = InFlight(folder, opened.writer, shared=opened.shared)
        self.exclusive = Exclusive(self.state, opened.home / "care.lock" if opened.shared else None)
        self.writer = Writer(
            self.state,
            self.journal,
            writer=opened.writer,
            shard_nbytes=lambda: hot_nbytes,
            clock=clock,
            shared=opened.shared,
            in_flight=self.in_flight,
            committer=self.committer,
        )
        self.sizes = ShardSizes(policy)
        self.mover = Mover(
            opened.config,
            state=self.state,
            disk=self.disk,
            tiers=self.tiers,
            reader=self.reader,
            writer=self.writer,
            sizes=self.sizes,
            writer_number=opened.writer,
            clock=clock,
            exclusive=self.exclusive,
            settle=self.settle,
        )
        self.tables = SegmentTables(self.state, self.disk, self.tiers)
        self.collector = Collector(
            opened.config,
            self.state,
            self.disk,
            self.tiers,
            self.tables,
            clock=clock,
            exclusive=self.exclusive,
            settle=self.settle,
            unfinished_from=self.in_flight.first,
        )
        self.learner = Learner(policy, self.state.index.meta().get(META))
        self.cold_waiting_since_s: float | None = None
        self.ledger = Ledger(self.state, writer=opened.writer, mine=self._told)
        self._snapshots: dict[str, dict[str, Version]] = {}
        self._loading = threading.Lock()

    @cached_property
    def read_ahead(self) -> ReadAhead | None:
        """What fetches ahead of readers; None without tiers, a cache, or the wish for it."""
        if self.cache is None or not self.config.tiers or not self.config.policy.prefetch:
            return None
        try:
            profile = self.tiers.profile(self.config.tiers[0].temperature)
        except errors.StorageError:
            return None  # it is down: reads go around it, and nobody guesses
        assert profile is not None
        sizes = sizing.ruled(self.config.policy, "cold", profile)
        return ReadAhead(
            self.state.catalog,
            self.reader,
            self.cache,
            shard_nbytes=sizes.base_nbytes,
            gap_nbytes=int(_GAP_SHARE * profile.latency_s * profile.bytes_per_s),
            learned=self.home / "prefetch.npz",
        )

    def read(self, version: Version, start: int, stop: int) -> memoryview:
        """A range of a version, verified; `stop` may be beyond its end.

        Raises:
            InputError: a range that begins before the object.
            SegmentGone: it moved meanwhile: look it up again.
        """
        if start < 0 or stop < start:
            raise errors.InputError(
                f"bytes {start} to {stop} are no range",
                remedy="count from 0, stop not before start",
            )
        self.heat.note(version.key)
        packed = version.extents
        if len(packed) == 32:
            (extent,) = unpack_extents(packed)
            data = self.reader.local(extent)
            if data is not None:
                return memoryview(data)[start:stop]
        elif not packed:
            return memoryview(b"")
        extents, first, skip = _overlapping(unpack_extents(packed), start, stop)
        if not extents:
            return memoryview(b"")
        pieces = self._read_all(version, extents, first, (start, min(stop, version.nbytes)))
        if len(pieces) == 1:
            return memoryview(pieces[0])[skip : skip + stop - start]
        joined = b"".join(pieces)
        return memoryview(joined)[skip : skip + stop - start]

    def _read_all(
        self, version: Version, extents: Sequence[Extent], first: int, span: tuple[int, int]
    ) -> list[bytes | memoryview]:
        if not self.config.tiers or all(self.reader.is_local(each) for each in extents):
            return [self.reader.read(extent) for extent in extents]
        self.sizes.log.add(version.key, span[0], span[1] - span[0])
        if self.read_ahead is not None:
            near = [
                (first + i, extent, self.reader.is_near(extent)) for i, extent in enumerate(extents)
            ]
            self.read_ahead.note(version.key, near, len(version.extents) // 32)
        return self.reader.read_all(extents)

    def in_snapshot(self, name: str, key: str) -> Version | None:
        """An object as a snapshot has it; None if there was none.

        Raises:
            InputError: there is none of that name.
        """
        with self._loading:
            if name not in self._snapshots:
                versions = self.state.index.snapshot_versions(name)
                if not versions and name not in {row.name for row in self.state.index.snapshots()}:
                    raise errors.InputError(
                        f"there is no snapshot {name!r}", remedy="ds-sdk store snapshots HOME"
                    )
                self._snapshots[name] = {v.key: v for v in versions if not v.deleted}
        version = self._snapshots[name].get(key)
        # It may have moved since the snapshot was read.
        return None if version is None else self.state.catalog.find(version.id) or version

    def settle(self) -> None:
        """Make what was written durable, and the index equal to the log."""
        self.journal.flush()
        self.committer.flush()

    def forget_snapshot(self, name: str) -> None:
        """Do not keep its versions in memory any more."""
        with self._loading:
            self._snapshots.pop(name, None)

    def save_heat(self) -> None:
        """Write what was read how often into the index."""
        self.heat.settle(self.clock())
        rows = self.heat.take_changed()
        learned = self.learner.look(self.heat, self.clock())
        if rows or learned:
            meta = {META: self.learner.remembered()} if learned else {}
            self.state.commit(Batch(heat=rows, meta=meta))

    def _told(self) -> Entry:
        """What this process has counted so far."""
        cache = None if self.cache is None else self.cache.stats()
        ahead = self.__dict__.get("read_ahead")  # to ask for it would connect to the tiers
        stats = None if ahead is None else ahead.stats()
        return Entry(
            counts=Counters(
                cache_hits=0 if cache is None else cache.hits,
                cache_misses=0 if cache is None else cache.misses,
                cache_admitted=0 if cache is None else cache.admitted,
                cache_evicted=0 if cache is None else cache.evictions,
                prefetched=0 if cache is None else cache.prefetched,
                prefetched_used=0 if cache is None else cache.prefetched_used,
                prefetched_unused=0 if cache is None else cache.prefetched_unused,
                fetched=self.reader.fetched,
                degraded=self.reader.degraded,
                faults=self.suspects.total,
                moves=self.mover.moves,
            ),
            at_s=self.clock(),
            acting=() if stats is None else stats.acting,
            why="" if stats is None else stats.why,
        )

    def close(self) -> None:
        """Write what is pending, and let go of everything."""
        try:
            self.journal.close()
            self.committer.close()
            self.save_heat()
            self.ledger.save()
        finally:
            self.reader.close()
            if self.__dict__.get("read_ahead") is not None:
                self.__dict__["read_ahead"].close()
            self.tiers.close()
            self.in_flight.close()
            self.opened.close()


def _overlapping(extents: Sequence[Extent], start: int, stop: int) -> tuple[list[Extent], int, int]:
    """The pieces that hold a range, the first one's position, and where in it the range begins."""
    found: list[Extent] = []
    first = skip = at = 0
    for position, extent in enumerate(extents):
        end = at + extent.nbytes
        if end > start and at < stop:
            if not found:
                first, skip = position, start - at
            found.append(extent)
        at = end
    return found, first, skip
