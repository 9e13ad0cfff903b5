"""The persistent index of a store, the same over every database; the log can rebuild it."""

from __future__ import annotations

import threading
import time
import uuid
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, Final, Self

import attrs

from deepseek_core import errors
from deepseek_store.errors import ForeignStore, again
from deepseek_store.index import reads, schema, writes
from deepseek_store.index.catalog import Catalog
from deepseek_store.index.port import Database, Transaction
from deepseek_store.index.rows import (
    Batch,
    Changes,
    SegmentRow,
    SnapshotRow,
    StripeRow,
    Version,
    VersionId,
)
from deepseek_store.index.slot_locks import LONGEST_S, held_too_long
from deepseek_store.index.source import DatabaseSource, rebuild_it, sound

_SLOTS: Final = 1024


class Index:
    """What a store knows of its versions, segments and stripes, kept in a database.

    Safe to use from several threads. `store_id` is the 16 bytes that name the store; an index of
    another store is refused. `create`: make it where there is none.

    Raises:
        ForeignStore: it is missing, damaged, something else, or of another store or format.
        IndexUnavailable: the database does not answer.
        TierUnavailable: the folder can't be written to.
    """

    def __init__(self, database: Database, store_id: bytes, *, create: bool = False) -> None:
        self._database = database
        self._store = store_id.hex()
        self._source = DatabaseSource(database)
        self._client = uuid.uuid4().hex  # names this opening in the database
        # number of the last transaction: it tells whether one whose answer was lost landed
        self._token = 0
        self._writing = threading.Lock()
        # Re-entrant: two keys of one slot, or a block inside of another, must not wait for itself.
        # Made when first asked for: most openings need few, or none.
        self._slots: dict[int, threading.RLock] = {}
        # numbers of the slots that this process has locked in the database
        self._held: set[int] = set()
        # sequence number that the database had, and when that was (monotonic)
        self._polled = (0, -float("inf"))
        self.make_room: Callable[[], bool] = lambda: False
        """Frees some of what is kept back for when the index's disk is full; False: no more."""
        database.open(create=create)
        try:
            if create:
                self._make()
            self.check(unfinished=create)
        except BaseException:
            database.close()
            raise

    @property
    def url(self) -> str:
        """Names it in errors; without anything secret."""
        return self._database.url

    @property
    def read_only(self) -> bool:
        """Whether every change is refused."""
        return self._database.read_only is not None

    @property
    def frozen(self) -> bool:
        """Whether it does not see what others write from now on."""
        return self._database.frozen

    def check(self, *, unfinished: bool = False) -> None:
        """Make sure that this is the index of this store, in a format that we read.

        `unfinished`: also one that is being filled again.

        Raises:
            ForeignStore: it is not.
        """
        rows = self._database.read(lambda transaction: transaction.run(schema.HEAD))
        if len(rows) != 1:
            raise ForeignStore(
                f"{self.url} holds no index", url=self.url, remedy=rebuild_it(self.url)
            )
        store, found = str(rows[0][0]), int(rows[0][1])
        if found == schema.UNFINISHED and unfinished:
            found = schema.FORMAT
        if found == schema.UNFINISHED:
            raise ForeignStore(
                f"{self.url} is not whole: a rebuild of it is under way, or was killed",
                url=self.url,
                remedy=rebuild_it(self.url),
            )
        if found != schema.FORMAT:
            raise ForeignStore(
                f"{self.url} has format {found}, this is format {schema.FORMAT}",
                url=self.url,
                remedy=f"use the release that wrote it, or {rebuild_it(self.url)}",
            )
        if store != self._store:
            raise ForeignStore(
                f"{self.url} is the index of store {store}, not of {self._store}",
                url=self.url,
                remedy=f"give the index of this store, or {rebuild_it(self.url)}",
            )

    def load(self, catalog: Catalog) -> int:
        """Put all versions into a catalog, instead of what it holds; the sequence number so far."""
        seq, clock, packed = self._source.all_at()
        catalog.replace(packed, clock)
        return seq

    def attach(self, catalog: Catalog, *, alone: bool) -> int:
        """Let a catalog load when that pays, with few versions at once; the sequence number so far.

        `alone`: nobody else changes the index as long as the catalog is used.
        """
        seq, clock, few = self._source.head()
        if few or self._database.remote:
            return self.load(catalog)
        catalog.defer(self._source, clock, alone=alone)
        return seq

    def commit(self, batch: Batch, catalog: Catalog | None = None, *, noted: bool = True) -> int:
        """Change everything in the batch, or nothing; the sequence number of this commit.

        A `catalog` then gets what was really done: a version that a snapshot has is not forgotten.
        A batch that was committed before does no harm. Without `noted`, whoever asks for changes
        since before a removal is told to reload: for an index that nobody else follows.

        Raises:
            GenerationMismatch: not what the batch expects.
            IndexUnavailable: the database does not answer; it may have been changed or not, and
                the same batch may be committed again.
            TierFull: no space; nothing is changed.
        """
        kept: set[VersionId] = set()

        def change(transaction: Transaction, seq: int) -> None:
            writes.check_expected(transaction, batch, self.url)
            kept.clear()
            kept.update(writes.kept_by_snapshots(transaction, batch.forget))
            forget = [version for version in batch.forget if version not in kept]
            writes.write_batch(transaction, batch, seq, forget, noted=noted)

        clock = max((version.generation for version in batch.versions), default=0)
        seq = self._transact(change, clock=clock, durable=batch.durable, lend=not batch.divisible)
        if catalog is not None:
            catalog.follow(batch, set(batch.forget) - kept)
        return seq

    def changes_since(self, seq: int) -> Changes:
        """What was committed after a sequence number, by anyone."""

        def work(transaction: Transaction) -> Changes:
            _, _, now, clock, trimmed = transaction.run(schema.HEAD)[0]
            if now == seq:
                return Changes(seq=now, clock=clock)
            # A number from the future: the index was rebuilt, or restored from a copy.
            if seq < trimmed or seq > now:
                return Changes(seq=now, clock=clock, reload=True)
            return reads.read_changes(transaction, seq, now, clock)

        with sound(self.url):
            return self._database.read(work)

    def poll(self, max_age_s: float = 0.0) -> int:
        """The last sequence number, as it was no longer than `max_age_s` ago."""
        seq, at_s = self._polled
        now_s = time.monotonic()
        if now_s - at_s < max_age_s:
            return seq
        seq = int(self._database.read(lambda transaction: transaction.run(schema.HEAD))[0][2])
        self._polled = (seq, now_s)
        return seq

    @contextmanager
    def exclusive(self, *keys: str) -> Iterator[None]:
        """Keep everybody else, in all processes, from the compare-and-set of these keys.

        Give all keys at once: two that take them one by one may wait for each other forever.
        It spares wasted work. What makes it safe is `Batch.expect`: if the database restarts
        meanwhile, this lock is lost.

        Raises:
            IndexUnavailable: the database does not answer, or somebody holds one for too long.
        """
        slots = sorted({zlib.crc32(key.encode()) % _SLOTS for key in keys})
        with ExitStack() as stack:
            for slot in slots:
                lock = self._slots.setdefault(slot, threading.RLock())  # one for all threads
                if not lock.acquire(timeout=LONGEST_S):
                    raise held_too_long(self.url, LONGEST_S)
                stack.callback(lock.release)
            fresh = [slot for slot in slots if slot not in self._held]
            stack.enter_context(self._database.exclusive(fresh))
            self._held.update(fresh)
            try:
                yield
            finally:
                self._held.difference_update(fresh)

    def allocate(self, name: str, count: int = 1) -> int:
        """The first of `count` numbers that nobody got or will get from the counter `name`.

        Numbers begin with 1. A number is used up even if the caller crashes.
        """
        taken = 0

        def change(transaction: Transaction, _seq: int) -> None:
            nonlocal taken
            taken = int(transaction.run(schema.ALLOCATE, {"name": name, "count": count})[0][0])

        self._transact(change, durable=True)
        return taken - count + 1

    def counters(self) -> Mapping[str, int]:
        """The last number that each counter gave; none where it has given none."""
        return {str(name): int(value) for name, value in self._all(schema.COUNTERS)}

    def clock(self) -> int:
        """The highest generation that was ever committed."""
        return int(self._all(schema.HEAD)[0][3])

    def raise_counter(self, name: str, used: int) -> None:
        """Let `allocate` give only numbers above `used`: a rebuilt index has to be told."""
        row = {"name": name, "value": used}
        self._transact(lambda transaction, _: transaction.run_many(schema.RAISE_COUNTER, [row]))

    def raise_clock(self, clock: int) -> None:
        """Let `load` tell a clock of this or more: a rebuilt index has to be told."""
        self._transact(lambda _transaction, _seq: None, clock=clock)

    def clear(self) -> None:
        """Forget all but what the store is and what was counted; nobody opens it until `finish`.

        An index that lacks something is worse than none: what it lacks is garbage to a collector.
        """

        def change(transaction: Transaction, seq: int) -> None:
            for table in schema.EMPTIED:
                transaction.run(f"DELETE FROM {table}")  # noqa: S608 - names of ours
            transaction.run_many(schema.TRIM_HEAD, [{"seq": seq}])
            transaction.run_many(schema.SET_FORMAT, [{"format": schema.UNFINISHED}])

        self._transact(change, durable=True)

    def finish(self) -> None:
        """All that was cleared is there again."""

        def change(transaction: Transaction, _seq: int) -> None:
            transaction.run_many(schema.SET_FORMAT, [{"format": schema.FORMAT}])

        self._transact(change, durable=True)

    def segments(self) -> list[SegmentRow]:
        """All segments, by their id."""
        with sound(self.url):
            return reads.read_segments(self._all(schema.SEGMENTS))

    def stripes(self) -> list[StripeRow]:
        """All stripes, by their id, those that were given up too."""
        with sound(self.url):
            return reads.read_stripes(self._all(schema.STRIPES))

    def pins(self) -> Mapping[str, str]:
        """Key to the tier where it is pinned."""
        return dict(tuple(row) for row in self._all(schema.PINS))

    def heat(self) -> dict[str, tuple[float, float]]:
        """Accesses per second and when they were so many, as they were written last, by key."""
        with sound(self.url):
            return reads.read_heat(self._all(schema.HEAT))

    def heat_of(self, keys: Iterable[str]) -> dict[str, tuple[float, float]]:
        """The same of some objects; nothing of those without."""

        def work(transaction: Transaction) -> list[Sequence[Any]]:
            return [row for key in keys for row in transaction.run(schema.HEAT_OF, {"key": key})]

        with sound(self.url):
            return reads.read_heat(self._database.read(work))

    def meta(self) -> Mapping[str, str]:
        """What was written as `Batch.meta`."""
        return dict(tuple(row) for row in self._all(schema.META))

    def snapshot(self, name: str, created_s: float) -> SnapshotRow:
        """Keep all versions that are current now under a name.

        Raises:
            InputError: the name is taken.
        """
        taken = False
        clock = 0

        def change(transaction: Transaction, seq: int) -> None:
            nonlocal taken, clock
            clock = int(transaction.run(schema.HEAD)[0][3])
            row = {"name": name, "created_s": created_s, "seq": seq}
            taken = not transaction.run(schema.PUT_SNAPSHOT, row)
            if not taken:
                transaction.run_many(schema.PUT_MEMBERS, [{"name": name}])

        self._transact(change, durable=True)
        if taken:
            raise errors.InputError(
                f"there is a snapshot {name!r} already", remedy="drop it, or choose another name"
            )
        found = next(row for row in self.snapshots() if row.name == name)
        return attrs.evolve(found, clock=clock)

    def restore_snapshot(self, name: str, created_s: float, members: Sequence[VersionId]) -> None:
        """Take in a snapshot of these versions: a rebuilt index has to be told."""
        rows = [
            {"name": name, "key": key, "generation": generation, "writer": writer}
            for key, generation, writer in members
        ]

        def change(transaction: Transaction, seq: int) -> None:
            transaction.run(schema.PUT_SNAPSHOT, {"name": name, "created_s": created_s, "seq": seq})
            transaction.run_many(schema.PUT_MEMBER, rows)

        self._transact(change, durable=True)

    def snapshots(self) -> list[SnapshotRow]:
        """All snapshots, the oldest first."""
        return [
            SnapshotRow(name=name, created_s=created_s, seq=seq, count=count)
            for name, created_s, seq, count in self._all(schema.SNAPSHOTS)
        ]

    def snapshot_versions(self, name: str) -> list[Version]:
        """The versions in a snapshot, by key; none where there is no such snapshot."""
        rows = self._database.read(lambda s: s.run(schema.SNAPSHOT_VERSIONS, {"name": name}))
        return list(reads.read_versions(rows))

    def snapshot_members(self) -> set[VersionId]:
        """All versions that some snapshot has."""
        return {(key, generation, writer) for key, generation, writer in self._all(schema.MEMBERS)}

    def drop_snapshot(self, name: str) -> bool:
        """Let go of a snapshot; False if there is none. Its versions are garbage for gc to find."""
        found = False

        def change(transaction: Transaction, _seq: int) -> None:
            nonlocal found
            found = bool(transaction.run(schema.DROP_SNAPSHOT, {"name": name}))
            transaction.run_many(schema.DROP_MEMBERS, [{"name": name}])

        self._transact(change)
        return found

    def trim(self, before: int, *, most: int | None = None) -> None:
        """Drop the notes of what was removed up to a sequence number, and what no object needs.

        `most`: keep no more notes than so many, whatever their number. Whoever asks for changes
        since an earlier number is told to reload. Heat and pins of keys without any version go.
        """

        def change(transaction: Transaction, seq: int) -> None:
            last = before
            if most is not None:
                rows = transaction.run(schema.NOT_AMONG_LAST, {"most": most})
                last = max([last, *(int(row[0]) for row in rows)])
            transaction.run_many(schema.TRIM_REMOVED, [{"seq": last}])
            transaction.run_many(schema.TRIM_HEAD, [{"seq": last}])
            transaction.run_many(schema.TRIM_HEAT, [{}])
            transaction.run_many(schema.NOTE_LOOSE_PINS, [{"seq": seq}])
            transaction.run_many(schema.TRIM_PINS, [{}])
            if self._database.remote:
                transaction.run_many(schema.TRIM_OUTCOMES, [{}])

        self._transact(change)

    def shrink(self, *, wholly: bool = False) -> None:
        """Give space that is not needed back to the file system, as far as others let us.

        `wholly`: however little it is.
        """
        self._database.shrink(wholly=wholly)

    def close(self) -> None:
        """Let go of the database; idempotent."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    def _make(self) -> None:
        def work(transaction: Transaction, _again: bool) -> None:
            for table in schema.TABLES:
                transaction.run(table.format_map(self._database.words))
            transaction.run(schema.CREATE_HEAD, {"store": self._store})

        self._database.write(work, durable=True)

    def _transact(
        self,
        change: Callable[[Transaction, int], None],
        *,
        clock: int = 0,
        durable: bool = False,
        lend: bool = True,
    ) -> int:
        """Run a change in one transaction that happens once; its sequence number.

        `lend`: on a full disk it may have what is kept back.
        """
        if self._database.read_only is not None:
            raise again(self._database.read_only)
        with self._writing:
            self._token += 1
            mine = {"client": self._client, "token": self._token}

            def work(transaction: Transaction, again: bool) -> int:
                seq = int(transaction.run(schema.NEXT_SEQ, {"clock": clock})[0][0])
                if self._database.remote:
                    # Now that the head is locked, no older transaction of ours is under way.
                    landed = again and transaction.run(schema.OUTCOME, mine)
                    if landed and landed[0][0] == self._token:
                        return int(landed[0][1])
                    transaction.run(schema.NOTE_OUTCOME, {**mine, "seq": seq})
                change(transaction, seq)
                return seq

            shrunk = False
            while True:
                try:
                    return self._database.write(work, durable=durable)
                except errors.TierFull:
                    room = not shrunk or (lend and self.make_room())
                    if self._database.remote or not room:
                        raise
                    with suppress(errors.TierFull):
                        self._database.shrink()  # the WAL may be most of what there is
                    shrunk = True

    def _all(self, sql: str) -> Sequence[Sequence[Any]]:
        return self._database.read(lambda transaction: transaction.run(sql))
