"""Puts the parts of an open store together; each gets its collaborators when it is made."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Final

from deepseek_core import TierProfile, errors, events
from deepseek_store.cache.shard_cache import ShardCache
from deepseek_store.home.counters import Counters, Ledger, LedgerEntry
from deepseek_store.home.events import StoreEvents
from deepseek_store.home.findings import Findings
from deepseek_store.home.opened import WRITERS, OpenedHome
from deepseek_store.index.rows import Batch
from deepseek_store.log.journal import Journal
from deepseek_store.log.reserve import fitting_segment_nbytes, free_nbytes
from deepseek_store.move.exclusive import Exclusive
from deepseek_store.move.gc import Collector
from deepseek_store.move.mover import Mover
from deepseek_store.planning import sizing
from deepseek_store.read.access_rates import AccessRates
from deepseek_store.read.learning import META, Learner, ShardSizes
from deepseek_store.read.object_ranges import ObjectRanges
from deepseek_store.read.read_ahead import ReadAhead
from deepseek_store.read.segment_tables import SegmentTables
from deepseek_store.read.shard_reader import Reader
from deepseek_store.read.suspects import Suspects
from deepseek_store.read.version_lookup import VersionLookup
from deepseek_store.write.in_flight import InFlight
from deepseek_store.write.index_committer import Committer
from deepseek_store.write.writer import Writer

# A file of the log in memory or on an SSD: what sizes its shards. Measured at opening it would
# cost more than a wrong guess: sizes are powers of two.
HOT_SPEED: Final = TierProfile(medium="ssd", latency_s=1e-4, bytes_per_s=1e10)

# Bytes between two shards that are read along rather than asked around, as a share of what a
# connection carries in a request's latency: all of it would treble the traffic of a shuffled order.
_GAP_SHARE: Final = 0.25


class Parts:
    """What an open store is made of. Made by `Store`; closes what it opened.

    Of a write: `writer`, `journal`, `committer`, `in_flight`. Of a read: `versions`, `ranges`,
    `reader`, `cache` (None: the policy has none), and `heat`, which counts accesses. Of upkeep:
    `mover`, `collector`, `tables` (what segments hold), `findings` and `suspects` (damage),
    `learner`, `sizes` (of shards), one at a time by `exclusive`. `ledger` keeps the counters.
    """

    def __init__(self, opened: OpenedHome, clock: Callable[[], float]) -> None:
        self.config, self.state, self.disk = opened.config, opened.state, opened.disk
        self.home, self.clock, self.opened = opened.home, clock, opened
        policy = opened.config.policy
        self.tiers = opened.tiers
        self.heat = AccessRates(policy.half_life_s, self.state.index)
        self.cache = ShardCache(policy.cache_nbytes) if policy.cache_nbytes else None
        self.events = StoreEvents(opened.home, self._state)
        self.findings = Findings(
            opened.home,
            clock,
            read_only=self.state.index.read_only,
            met=self.events.met,
            healed=lambda one, gone, left: self.events.healed(one.where, repaired=gone, left=left),
        )
        self.suspects = Suspects(self.state, self.findings, self.tiers, self.disk)
        self.suspects.note_opened(opened.faults)
        self.reader = Reader(self.state, self.disk, self.tiers, self.cache, suspects=self.suspects)
        self.committer = Committer(self.state, writer=opened.writer, at_once=opened.shared)
        self.journal = Journal(
            self.disk,
            store_id=opened.config.store_id,
            writer=opened.writer,
            segment_nbytes=fitting_segment_nbytes(opened.home, policy.warm_fragment_nbytes),
            next_segment=lambda: self.state.allocate("segment"),
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
        self.ranges = ObjectRanges(
            self.reader, rates=self.heat, log=self.sizes.log, read_ahead=lambda: self.read_ahead
        )
        self.versions = VersionLookup(self.state, home=opened.home)
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
            suspects=self.suspects,
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
            rewrite=self.mover.make_room,
            unfinished_from=self.in_flight.first,
        )
        self.learner = Learner(policy, self.state.index.meta().get(META))
        self.cold_waiting_since_s: float | None = None  # cold bytes wait for a full stripe
        self.ledger = Ledger(self.state, writer=opened.writer, mine=self._told)

    @cached_property
    def read_ahead(self) -> ReadAhead | None:
        """What fetches ahead of readers; None without tiers, a cache, or the wish for it."""
        if self.cache is None or not self.config.tiers or not self.config.policy.prefetch:
            return None
        try:
            profile = self.tiers.profile(self.config.tiers[0].name)
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

    def settle(self) -> None:
        """Make what was written durable, and the index equal to the log."""
        self.journal.flush()
        self.committer.flush()

    def flush(self) -> None:
        """Make everything that was put durable; keep what was read how often."""
        self.settle()
        self.save_heat()

    def save_heat(self, *, last: bool = False) -> None:
        """Write what was read how often into the index; `last`: nothing is read after it."""
        self.heat.settle(self.clock())
        rows = self.heat.take_changed()
        learned = self.learner.look(self.heat, self.clock(), last=last)
        if rows or learned:
            meta = {META: self.learner.remembered()} if learned else {}
            self.state.commit(Batch(heat=rows, meta=meta))

    def _state(self, url: str) -> events.StoreState:
        """How full and how busy it is; no tier is asked that is not connected."""
        used, reader = self.state.stored_nbytes(), self.reader
        capacity = {"hot": free_nbytes(self.home) + used["hot"], **self.tiers.capacities()}
        cache = None if self.cache is None else self.cache.stats()
        return events.StoreState(
            store=url,
            objects=len(self.state.catalog),
            tiers=[
                events.TierLoad(tier=name, used_bytes=used[name], capacity_bytes=capacity[name])
                for name in capacity
            ],
            hot_reads=reader.near,
            cache_hits=0 if cache is None else cache.hits,
            cache_misses=0 if cache is None else cache.misses,
            fetched=reader.fetched,
            degraded=reader.degraded,
        )

    def _told(self) -> LedgerEntry:
        """What this process has counted so far."""
        cache = None if self.cache is None else self.cache.stats()
        ahead = self.__dict__.get("read_ahead")  # to ask for it would connect to the tiers
        stats = None if ahead is None else ahead.stats()
        return LedgerEntry(
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
            self.save_heat(last=True)
            self.ledger.save()
        finally:
            self.findings.flush()
            self.events.flush()
            self.reader.close()
            if self.__dict__.get("read_ahead") is not None:
                self.__dict__["read_ahead"].close()
            self.tiers.close()
            self.in_flight.close()
            self.opened.close()
