"""Reads shards: from the log's files, the cache, or the tiers; every one verified, always."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Final

from deepseek_core import errors
from deepseek_store import handles
from deepseek_store.cache.shard_cache import ShardCache
from deepseek_store.commands import command
from deepseek_store.errors import Corrupt, SegmentGone
from deepseek_store.home.state import State
from deepseek_store.home.tier_set import TierSet
from deepseek_store.index.rows import Version
from deepseek_store.log.disk import Disk
from deepseek_store.log.records import Extent, hash_of, unpack_extents
from deepseek_store.planning.policy import TierName
from deepseek_store.read.fetcher import Fetcher
from deepseek_store.read.suspects import Suspects
from deepseek_store.stripes.identity import FragmentFault
from deepseek_store.stripes.outage import Failed
from deepseek_store.stripes.stripe import Stripe

_LOG: Final = logging.getLogger(__name__)
# A fragment that failed is not asked again for so long: a dead disk would slow every read.
_SHUN_S: Final = 30.0
_FETCH_TIMES: Final = 4096


class Reader:
    """Reads shards by their extents, wherever their segments are.

    Safe to use from several threads. `suspects` are told of bytes that were wrong, or not there.
    `fetch_times` holds what was fetched of late, how long each took and when it ended, until
    somebody takes it.
    """

    def __init__(
        self,
        state: State,
        disk: Disk,
        tiers: TierSet,
        cache: ShardCache | None,
        *,
        suspects: Suspects,
        threads: int = 32,
    ) -> None:
        self._state, self._disk, self._tiers, self._cache = state, disk, tiers, cache
        self._fetcher: Fetcher[Extent] = Fetcher(
            self._fetch_group, self._keep, threads=handles.threads(threads)
        )
        # stripe -> fragment -> until when it is not tried again, and why
        self._shunned: dict[int, dict[int, tuple[float, FragmentFault]]] = {}
        self._lock = threading.Lock()
        self._suspects = suspects
        self.fetch_times: deque[tuple[Extent, float, float]] = deque(maxlen=_FETCH_TIMES)
        # reads that were rebuilt from other fragments, and shards fetched from tiers
        self.degraded = 0
        self.fetched = 0
        self.near = 0  # shards read from the log's files

    @property
    def fetcher(self) -> Fetcher[Extent]:
        """What fetches ahead of the readers."""
        return self._fetcher

    def local(self, extent: Extent) -> bytes | None:
        """The shard from the log's files; None if its segment is not among them."""
        row = self._state.segments.get(extent.segment)
        if row is not None and not row.local:
            return None
        try:
            active = row is None or row.state == "active"
            data = self._disk.read_extent(extent, active=active)
            self.near += 1
            return data
        except errors.ObjectMissing:
            return None
        except errors.StorageError as error:
            only = row is None or row.stripe is None
            self._note_copies(extent, lost=only and isinstance(error, Corrupt))
            return None

    def read(self, extent: Extent) -> bytes | memoryview:
        """One shard.

        Raises:
            SegmentGone: no copy of its segment is known any more.
            TierUnavailable: no copy can be had now; it may come back.
            Corrupt: all copies are damaged.
        """
        data = self.local(extent)
        if data is not None:
            return data
        return self._distant(extent)

    def read_all(self, extents: Sequence[Extent]) -> list[bytes | memoryview]:
        """Several shards; those that come from afar in parallel."""
        found: list[bytes | memoryview | None] = [self.local(extent) for extent in extents]
        wanted = []
        for position, extent in enumerate(extents):
            if found[position] is None:
                cached = None if self._cache is None else self._cache.get(extent)
                if cached is None:
                    wanted.append(position)
                found[position] = cached
        if wanted:
            got = self._fetcher.demand_all([extents[position] for position in wanted])
            for position, data in zip(wanted, got, strict=True):
                found[position] = data
        return [data for data in found if data is not None]

    def is_local(self, extent: Extent) -> bool:
        """Whether the log should have it."""
        row = self._state.segments.get(extent.segment)
        return row is None or row.local

    def is_near(self, extent: Extent) -> bool:
        """Whether no fetch is needed for it."""
        row = self._state.segments.get(extent.segment)
        if row is None or row.local:
            return True
        return self._cache is not None and extent in self._cache

    def tier_of(self, version: Version) -> TierName:
        """The tier that a read of its first shard goes to."""
        extents = unpack_extents(version.extents)
        row = self._state.segments.get(extents[0].segment) if extents else None
        if row is None or row.local or row.stripe is None:
            return "hot"
        stripe = self._state.stripes.get(row.stripe)
        return "hot" if stripe is None else stripe.tier

    def forgive(self) -> None:
        """Ask fragments again that failed a moment ago: somebody saw that they are back."""
        with self._lock:
            self._shunned.clear()

    def close(self) -> None:
        """End the threads that fetch."""
        self._fetcher.close()

    def _distant(self, shard: Extent) -> bytes | memoryview:
        if self._cache is not None:
            cached = self._cache.get(shard)
            if cached is not None:
                return cached
        return self._fetcher.demand(shard)

    def _fetch_group(self, shards: Sequence[Extent]) -> list[bytes]:
        """Shards of one segment by one ranged get; those that it has not right, one by one."""
        if len(shards) == 1:
            return [self._fetch(shards[0])]
        start = min(shard.offset for shard in shards)
        stop = max(shard.offset + shard.nbytes for shard in shards)
        data = memoryview(self._span(shards[0].segment, start, stop - start))
        found = []
        for shard in shards:
            piece = data[shard.offset - start :][: shard.nbytes]
            right = len(piece) == shard.nbytes and hash_of(piece) == shard.xxh3
            found.append(bytes(piece) if right else self._fetch(shard))
        self.fetched += len(shards)
        return found

    def _span(self, segment: int, start: int, nbytes: int) -> bytes:
        """Unverified bytes of a segment on a tier; none where they can't be had in one go."""
        row = self._state.segments.get(segment)
        stripe = None if row is None or row.stripe is None else self._state.stripes.get(row.stripe)
        if row is None or row.fragment is None or stripe is None:
            return b""
        try:
            return self._tiers.stripes.read(stripe, row.fragment, start, nbytes)
        except errors.StorageError:
            return b""

    def _fetch(self, shard: Extent) -> bytes:
        row = self._state.segments.get(shard.segment)
        stripe = None if row is None or row.stripe is None else self._state.stripes.get(row.stripe)
        if row is None or row.fragment is None or stripe is None:
            raise self._lost(shard)
        if row.local:
            self._note_copies(shard)
        return self._read_striped(shard, stripe, row.fragment)

    def _read_striped(self, shard: Extent, stripe: Stripe, index: int) -> bytes:
        known = self._shunned_of(stripe.id)
        failed = dict(known)
        start_s = time.monotonic()
        try:
            data = self._tiers.stripes.read_verified(
                stripe, index, shard.offset, shard.nbytes, xxh3=shard.xxh3, failed=failed
            )
        except errors.StorageError as error:
            if known:  # what was out of order a moment ago may not be so any more
                self._forgive(stripe.id)
                return self._read_striped(shard, stripe, index)
            raise self._unreadable(shard, stripe, failed, error) from None
        self.fetched += 1
        ended_s = time.monotonic()
        self.fetch_times.append((shard, ended_s - start_s, ended_s))
        if failed:
            self.degraded += 1
            new = {index: fault for index, fault in failed.items() if index not in known}
            if new:
                self._shun(stripe.id, new)
                self._suspects.note_fragments(shard.segment, stripe, new.values())
        return data

    def _unreadable(
        self, shard: Extent, stripe: Stripe, failed: Failed, error: errors.StorageError
    ) -> Exception:
        """What to raise of a shard that its stripe does not give."""
        self._state.refresh()
        if self._state.stripes.get(stripe.id) is not stripe:
            return SegmentGone(f"segment {shard.segment:x} went elsewhere")
        self._suspects.note(shard.segment, error.message)
        lost = isinstance(error, Corrupt)
        self._suspects.note_fragments(shard.segment, stripe, failed.values(), lost=lost)
        row = self._state.segments.get(shard.segment)
        if row is not None and row.local and isinstance(error, Corrupt):
            try:
                self._disk.read_extent(shard)
            except errors.TierUnavailable as away:
                return away  # the log's copy may come back
            except errors.StorageError:
                pass
        return error

    def _note_copies(self, shard: Extent, *, lost: bool = False) -> None:
        """Tell which copies of the log could not give a shard, and why."""
        row = self._state.segments.get(shard.segment)
        for disk in self._disk.replicas():
            try:
                disk.read_extent(shard, active=row is None or row.state == "active")
            except errors.StorageError as error:
                self._suspects.note_copy(shard.segment, error, lost=lost)

    def _keep(self, shard: Extent, data: bytes, prefetched: bool) -> None:
        if self._cache is not None:
            self._cache.put(shard, data, prefetched=prefetched)

    def _lost(self, extent: Extent) -> Exception:
        """What to raise of a shard that is on no tier: it is damaged here, or was collected."""
        try:
            self._disk.read_extent(extent)
        except errors.ObjectMissing as error:
            return self._missing(extent.segment, error)
        except errors.StorageError as error:
            return error
        return SegmentGone(f"segment {extent.segment:x} came back")

    def _missing(self, segment: int, error: errors.ObjectMissing) -> Exception:
        """Error for a file removed by the collector, which says so in the index, or by accident."""
        self._state.refresh()
        row = self._state.segments.get(segment)
        if row is None or not row.local or row.state != "sealed":
            return SegmentGone(f"segment {segment:x}")
        self._suspects.note(segment, error.message)
        for disk in self._disk.replicas():
            gone = errors.ObjectMissing(error.message, url=disk.url)
            self._suspects.note_copy(segment, gone, lost=True)
        return Corrupt(
            f"segment {segment:016x} is missing: {error.message}",
            url=self._disk.url,
            remedy=command("scrub", self._tiers.home, "--repair"),
        )

    def _shunned_of(self, stripe: int) -> Failed:
        """Fragments of a stripe that failed a moment ago."""
        if stripe not in self._shunned:
            return {}
        now_s = time.monotonic()
        with self._lock:
            shunned = self._shunned.get(stripe, {})
            return {index: fault for index, (until_s, fault) in shunned.items() if until_s > now_s}

    def _forgive(self, stripe: int) -> None:
        with self._lock:
            self._shunned.pop(stripe, None)

    def _shun(self, stripe: int, failed: Failed) -> None:
        until_s = time.monotonic() + _SHUN_S
        with self._lock:
            shunned = self._shunned.setdefault(stripe, {})
            new = failed.keys() - shunned.keys()
            shunned.update({index: (until_s, fault) for index, fault in failed.items()})
        for index in new:
            _LOG.warning("stripe %x: fragment %d failed, read from the others", stripe, index)
