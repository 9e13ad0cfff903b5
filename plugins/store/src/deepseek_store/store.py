"""The store: objects in hot, warm and cold tiers, moved by themselves, never lost."""

from __future__ import annotations

import json
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import attrs

from deepseek_core import Tier, errors
from deepseek_store.commands import command
from deepseek_store.errors import GenerationMismatch, SegmentGone, StoreClosed, StoreLocked
from deepseek_store.home import open_stores as open_homes
from deepseek_store.home.ages import INCOMPLETE
from deepseek_store.home.config import StoreConfig, TierConfig
from deepseek_store.home.create import (
    add_tiers,
    change_policy,
    make_home,
    take_back_tiers,
    unmake_home,
)
from deepseek_store.home.open import open_parts
from deepseek_store.home.pins_and_snapshots import (
    SnapshotNote,
    note_dropped,
    note_snapshot,
)
from deepseek_store.home.seams import Seams
from deepseek_store.index.rows import SnapshotRow, Version
from deepseek_store.log.records import EXTENT_NBYTES
from deepseek_store.maintenance import Maintenance, check_tier
from deepseek_store.move.shown import store_html, store_line
from deepseek_store.object_mapping import ObjectMapping
from deepseek_store.parts import Parts
from deepseek_store.planning.policy import Policy
from deepseek_store.write.keys import check_key
from deepseek_store.write.receipt import Receipt
from deepseek_store.write.upload import Upload

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

    from deepseek_store.check.rebuild_index import RebuildReport
    from deepseek_store.index.base import Index
    from deepseek_store.log.disk import Disk
    from deepseek_store.write.restore import Restored

_MOVED: Final = frozenset(
    ("apply", "codes", "explain", "fsck", "gc", "pin", "plan", "repair", "scrub", "send", "unpin")
)
# Who finds a segment collected looks the object up again, a little later each time: 2.7 s in all.
_PAUSES_S: Final = (0.0, 0.0, 0.002, 0.008, 0.032, 0.128, 0.5, 2.0)


@attrs.frozen(kw_only=True, slots=True)
class ObjectInfo:
    """What a store knows of an object without reading it; `created_s` is since the epoch."""

    key: str
    nbytes: int
    generation: int
    created_s: float
    shards: int
    meta: Mapping[str, str]


class Store:
    """An open store; safe to use from any number of threads.

    `home` is its folder on a fast local disk. By default this process has it alone; with `shared`
    several processes may have it open, if all do so. With `read_only` nothing of it is changed;
    that comes by itself where the home may not be written, its log is away, or a copy of the home
    has taken its tiers. With `background` it moves data between its tiers by itself, every
    `tick_s` seconds.

    It can be used like a dictionary of bytes (`key in store`, `store[key]`, `for key in store`), as
    `shelve` and `diskcache` can; where a real `MutableMapping` is asked for, `objects` is one.

    For tests and tools: `clock` gives seconds since the epoch, `tiers` opens the tier of a URL,
    `disk` stands in for the log's folder, `index` for the index that the home names.

    Raises:
        ConfigError: there is no store in `home`; see `Store.init`.
        StoreLocked: another process has it open.
        ForeignStore: its files are damaged or another store's.
        IndexOutdated: the index is older than the store; see `Store.rebuild`.
        CacheTooSmall: the policy's cache holds not even one shard.
    """

    def __init__(
        self,
        home: str | Path,
        *,
        shared: bool = False,
        read_only: bool = False,
        background: bool = False,
        tick_s: float = 30.0,
        clock: Callable[[], float] = time.time,
        tiers: Callable[[str], Tier] | None = None,
        disk: Disk | None = None,
        index: Index | None = None,
    ) -> None:
        self.home = Path(home)
        seams = Seams(tiers=tiers, disk=disk, index=index)
        opened = open_parts(self.home, shared=shared, read_only=read_only, seams=seams)
        try:
            self._parts = Parts(opened, clock)
        except BaseException:
            opened.close()
            raise
        self._closed = False
        self._closing = threading.Lock()
        self._keeper: Any = None
        open_homes.note(self.home, self)
        if background and not opened.read_only:
            from deepseek_store.check.background import Background

            self._parts.events.opened()
            self._keeper = Background(self._parts, tick_s)

    @classmethod
    def init(
        cls,
        home: str | Path,
        *,
        warm: Sequence[str] = (),
        cold: Sequence[str] = (),
        policy: Policy | None = None,
        index: str = "sqlite",
        mirrors: Sequence[str | Path] = (),
        **options: Any,
    ) -> Self:
        """Make a store and open it. `warm` and `cold` are URLs of tiers, as plugins open them.

        `mirrors` are folders on other disks: the log is written to all before a put is
        acknowledged. `options` are those of `Store`.

        Raises:
            ConfigError: there is a store in that folder already, or a URL that no plugin opens.
            CodeRefused: the tiers can't carry what the policy asks for.
            CacheTooSmall: the policy's cache holds not even one shard.
        """
        folder = Path(home)
        urls = [("warm", url) for url in warm] + [("cold", url) for url in cold]
        config = StoreConfig(
            tiers=tuple(TierConfig(name=name, url=url) for name, url in urls),
            policy=policy or Policy(),
            index=index,
            mirrors=tuple(str(Path(mirror).resolve()) for mirror in mirrors),
        )
        tiers = options.get("tiers")
        make_home(folder, config, tiers)
        store: Self | None = None
        try:
            store = cls(folder, **options)
            store.maintenance.codes()
        except StoreLocked:
            raise  # by who found it as soon as it was there: it is theirs, too
        except BaseException:
            if store is not None:
                store.close()
            unmake_home(folder, config, tiers)
            raise
        return store

    @classmethod
    def configure(cls, home: str | Path, **changes: Any) -> Policy:
        """Change fields of the policy of a store that nobody has open; the policy as it is now.

        What was written stays as it is and readable: each stripe tells its own code. New data
        follows the new policy, and old data when it moves.

        Raises:
            ConfigError: a field that there is not, or a value that does not fit.
            CodeRefused: the tiers can't carry what it asks for; nothing is changed.
            StoreLocked: a process has the store open.
        """
        folder = Path(home)
        before, after = change_policy(folder, changes)
        try:
            with cls(folder) as store:
                store.maintenance.codes()
        except BaseException:
            change_policy(folder, before.to_json())
            raise
        return after

    @classmethod
    def add_tiers(
        cls,
        home: str | Path,
        *,
        warm: Sequence[str] = (),
        cold: Sequence[str] = (),
        **options: Any,
    ) -> Self:
        """Give a store that nobody has open more tiers, and open it; URLs as for `init`.

        What is stored stays where it is; new stripes and moves use them. `options` are those of
        `Store`.

        Raises:
            ConfigError: a URL that no plugin opens, or an index that several machines share.
            CodeRefused: the tiers can't carry what the policy asks for; nothing is changed.
            ForeignStore: one is a tier of the store already.
            StoreLocked: a process has the store open.
        """
        folder, tiers = Path(home), options.get("tiers")
        urls = [("warm", url) for url in warm] + [("cold", url) for url in cold]
        before = add_tiers(folder, [TierConfig(name=name, url=url) for name, url in urls], tiers)
        store: Self | None = None
        try:
            store = cls(folder, **options)
            store.maintenance.codes()
        except BaseException:
            if store is not None:
                store.close()
            take_back_tiers(folder, before, tiers)
            raise
        return store

    @classmethod
    def rebuild(cls, home: str | Path, **options: Any) -> RebuildReport:
        """Make the index again from segments and fragments; see `check.rebuild.rebuild_index`.

        Raises:
            StoreLocked: somebody has it open.
            TierUnavailable: a tier can't be reached.
        """
        from deepseek_store.check.rebuild_index import rebuild_index

        return rebuild_index(Path(home), **options)

    @classmethod
    def adopt(cls, home: str | Path, **options: Any) -> RebuildReport:
        """Let this home have the store from now on, whichever copy of it had it before.

        See `check.adopt.adopt_home`.

        Raises:
            StoreLocked: somebody has it open.
            TierUnavailable: a tier can't be reached.
        """
        from deepseek_store.check.adopt import adopt_home

        return adopt_home(Path(home), **options)

    @property
    def url(self) -> str:
        """Names it in errors and logs."""
        return f"ds:{self.home}"

    @property
    def read_only(self) -> str:
        """Why nothing can be changed; empty where it can."""
        return self._parts.opened.read_only

    @property
    def policy(self) -> Policy:
        """What its user decided."""
        return self._parts.config.policy

    @cached_property
    def maintenance(self) -> Maintenance:
        """Upkeep: where things lie and why, moves between tiers, checks, repairs, garbage."""
        return Maintenance(lambda: self.parts)

    if not TYPE_CHECKING:  # a type checker reports who uses the old names

        def __getattr__(self, name: str) -> Any:
            """Find what was a method of the store before `maintenance` had it."""
            if name not in _MOVED:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            text = f"Store.{name} will go: use store.maintenance.{name}"
            warnings.warn(text, DeprecationWarning, stacklevel=2)
            return getattr(self.maintenance, name)

    @property
    def parts(self) -> Parts:
        """The parts that it is made of: for commands, pages and tests, not for users."""
        self._check_open()
        return self._parts

    # Objects

    def put(
        self,
        key: str,
        data: ReadableBuffer,
        *,
        meta: Mapping[str, str] | None = None,
        if_generation: int | None = None,
        durable: bool = True,
        tier: str | None = None,
    ) -> Receipt:
        """Store an object; when it returns, the object survives a crash (unless not `durable`).

        `data` is any object with bytes: `bytes`, an array of any type and shape, a mapped file, a
        tensor on the CPU. All its bytes are stored, in C order; it may be changed afterwards.
        `if_generation`: only if the object has that generation now (0: if there is none).
        `tier`: bring it there before it is acknowledged ("hot", "warm", "cold").

        Raises:
            KeyRefused: a key that a store does not take.
            NotBytes: the data has no bytes (text, a number, a list).
            GenerationMismatch: the object is not what was expected.
            TierFull, TierUnavailable: no space, or the disk does not answer; nothing is stored.
        """
        parts = self.parts
        packed = _pack_meta(meta)
        try:
            receipt = parts.writer.put(
                check_key(key), data, packed, expect=if_generation, durable=durable
            )
        except errors.TierFull as error:
            parts.events.full(error)
            raise
        parts.events.used()
        return self._landed(receipt, tier)

    def put_stream(
        self,
        key: str,
        chunks: Iterable[ReadableBuffer],
        *,
        meta: Mapping[str, str] | None = None,
        if_generation: int | None = None,
        tier: str | None = None,
    ) -> Receipt:
        """Store an object whose bytes come in chunks; it appears when the last one is stored.

        What was written of an object that was not finished is garbage for `maintenance.gc`.

        Raises:
            KeyRefused, NotBytes, GenerationMismatch, TierFull, TierUnavailable: as `put`.
        """
        parts = self.parts
        packed = _pack_meta(meta)
        try:
            receipt = parts.writer.put_stream(check_key(key), chunks, packed, expect=if_generation)
        except errors.TierFull as error:
            parts.events.full(error)
            raise
        parts.events.used()
        return self._landed(receipt, tier)

    def append(
        self, key: str, data: ReadableBuffer, *, if_generation: int | None = None
    ) -> Receipt:
        """Add bytes to the end of an object, or begin one; durable when it returns.

        What is there already is not copied, but for a short piece at its end.

        Raises:
            KeyRefused, NotBytes, GenerationMismatch, TierFull, TierUnavailable: as `put`.
        """
        for parts in self._up_to_date():
            version = parts.state.catalog.get(check_key(key))
            found = 0 if version is None else version.generation
            if if_generation is not None and if_generation != found:
                version = None  # the put compares, and says what it found
            try:
                if version is None:
                    return self.put(key, data, if_generation=if_generation or 0)
                return parts.writer.append(version, data, parts.reader.read)
            except SegmentGone:
                continue
            except GenerationMismatch:
                if if_generation is not None:
                    raise  # else: it was written meanwhile; add to the new one
        raise self._never_there(key, "changes faster than it can be appended to")

    def begin(
        self,
        key: str,
        *,
        meta: Mapping[str, str] | None = None,
        tier: str | None = None,
        append: bool = False,
    ) -> Upload:
        """Store an object whose bytes are handed over one after the other.

        `append`: behind the bytes and with the meta of the object that there is, which are not
        copied; if it is another one by the time of `commit`, that is refused.

        with store.begin("runs/7/log") as upload:
            upload.write(b"...")
            upload.commit()

        Raises:
            KeyRefused: a key that a store does not take.
        """
        parts = self.parts

        def landed(receipt: Receipt) -> Receipt:
            return self._landed(receipt, tier)

        if not append:
            return parts.writer.begin(check_key(key), _pack_meta(meta), landed=landed)
        for parts in self._up_to_date():
            there = parts.state.catalog.get(check_key(key))
            kept = _pack_meta(meta) if there is None else there.meta
            with suppress(SegmentGone):
                return parts.writer.begin(
                    key,
                    kept,
                    landed=landed,
                    after=there,
                    read=parts.reader.read,
                    expect=0 if there is None else there.generation,
                )
        raise self._never_there(key, "changes faster than it can be appended to")

    def get(
        self, key: str, start: int = 0, stop: int | None = None, *, snapshot: str | None = None
    ) -> memoryview:
        """Bytes of an object, verified: from `start` to `stop`, fewer or none where it ends.

        Raises:
            ObjectMissing: there is none.
            Corrupt, Unrecoverable: all copies are damaged; nothing wrong is ever returned.
            TierUnavailable: too many tiers can't be reached.
        """
        for parts in self._up_to_date():
            version = parts.versions.find(key, snapshot)
            parts.events.used()
            try:
                end = max(start, version.nbytes) if stop is None else stop
                return parts.ranges.read(version, start, end)
            except SegmentGone:
                continue
        raise self._never_there(key, "moves faster than it can be read")

    def stat(self, key: str, *, snapshot: str | None = None) -> ObjectInfo:
        """What is known of an object.

        Raises:
            ObjectMissing: there is none.
        """
        parts = self.parts
        parts.state.refresh()
        return _info(parts.versions.find(key, snapshot))

    def exists(self, key: str) -> bool:
        """Whether there is an object of that key."""
        self.parts.state.refresh()
        return self.parts.state.catalog.get(key) is not None

    def delete(self, key: str, *, if_generation: int | None = None) -> bool:
        """Take an object away; False if there was none.

        Raises:
            GenerationMismatch: it is not what was expected.
        """
        parts = self.parts
        parts.state.refresh()
        return parts.writer.delete(check_key(key), expect=if_generation)

    def copy(self, source: str, target: str, *, if_generation: int | None = None) -> Receipt:
        """The same bytes under another key too; nothing is read or written but a record."""
        return self._link(source, target, if_generation, remove=False)

    def rename(self, source: str, target: str, *, if_generation: int | None = None) -> Receipt:
        """Give an object another key, in one step."""
        return self._link(source, target, if_generation, remove=True)

    def list(self, prefix: str = "", *, after: str = "") -> Iterator[ObjectInfo]:
        """Objects whose key begins with `prefix`, in order."""
        parts = self.parts
        parts.state.refresh()
        for key in parts.state.catalog.keys(prefix, after):
            version = parts.state.catalog.get(key)
            if version is not None:
                yield _info(version)

    def children(self, prefix: str = "") -> Iterator[str]:
        """Names right below a prefix (`""` or ending in `/`); folders end in `/`."""
        parts = self.parts
        parts.state.refresh()
        return parts.state.catalog.children(prefix)

    def __len__(self) -> int:
        """Number of objects."""
        self.parts.state.refresh()
        return len(self.parts.state.catalog)

    @property
    def objects(self) -> ObjectMapping:
        """All objects as a `MutableMapping` of keys to bytes."""
        return ObjectMapping(self)

    def __contains__(self, key: object) -> bool:
        return key in self.objects

    def __iter__(self) -> Iterator[str]:
        return iter(self.objects)

    def __getitem__(self, key: str) -> bytes:
        return self.objects[key]

    def __setitem__(self, key: str, data: ReadableBuffer) -> None:
        self.objects[key] = data

    def __delitem__(self, key: str) -> None:
        del self.objects[key]

    # Reads ahead

    def cache(
        self, keys: Iterable[str], *, progress: Callable[[int, int, str], None] | None = None
    ) -> int:
        """Read objects into the cache ahead of their use; how many bytes."""
        wanted = list(keys)
        nbytes = 0
        for done, key in enumerate(wanted):
            if progress is not None:
                progress(done, len(wanted), key)
            nbytes += len(self.get(key))
        return nbytes

    def prefetch(self, order: Iterable[str] | None) -> None:
        """Tell in which order objects will be read (of a sampler, say); None: no longer.

        They are fetched ahead of the reader, as far as the cache allows.
        """
        ahead = self.parts.read_ahead
        if ahead is None:
            return
        if order is None:
            ahead.forget_order()
        else:
            ahead.follow(order, self.parts.state.catalog)

    # Snapshots

    def snapshot(self, name: str) -> SnapshotRow:
        """Keep all objects as they are now under a name; nothing is copied.

        Raises:
            InputError: the name is taken, or is none.
        """
        if not isinstance(name, str) or not name:
            raise errors.InputError(
                f"{name!r} is not a name", remedy="give a text such as 'monday'"
            )
        self.flush()
        row = self.parts.state.index.snapshot(name, self.parts.clock())
        self.parts.state.note_seq(row.seq)
        note_snapshot(self.home, SnapshotNote(name=name, created_s=row.created_s, clock=row.clock))
        return row

    def snapshots(self) -> Sequence[SnapshotRow]:
        """All snapshots, the oldest first."""
        return self.parts.state.index.snapshots()

    def drop_snapshot(self, name: str) -> bool:
        """Let go of a snapshot; False if there is none."""
        self.parts.versions.forget(name)
        found = self.parts.state.index.drop_snapshot(name)
        if found:
            note_dropped(self.home, name)
        return found

    def restore(self, snapshot: str, name: str = "", *, dry_run: bool = False) -> Restored:
        """Bring the object of that name and all in the folder of that name back ("": all there is).

        What is there now and was not in the snapshot is deleted. No bytes are copied; each object
        changes in one step. Take a snapshot before, and this can be undone.

        Raises:
            InputError: there is no snapshot of that name.
            ObjectMissing: neither the snapshot nor the store has such an object or folder.
        """
        from deepseek_store.write.restore import restore

        parts = self.parts
        parts.state.refresh()
        keys = parts.versions.snapshot(snapshot)
        kept = {key: partial(parts.versions.find, key, snapshot) for key in keys}
        done = restore(parts.state, parts.writer, kept, name=name, dry_run=dry_run)
        if name.rstrip("/") and not any(attrs.astuple(done)):
            raise errors.ObjectMissing(
                f"neither the snapshot nor the store has an object or folder {name!r}",
                url=self.url,
                remedy=command("ls", self.home, "--snapshot", snapshot),
            )
        return done

    def flush(self) -> None:
        """Make everything that was put durable, and the index equal to the log."""
        self.parts.flush()

    def close(self) -> None:
        """Write what is pending, and let go of everything; idempotent."""
        with self._closing:
            if self._closed:
                return
            if self._keeper is not None:
                self._keeper.close()
            self._closed = True
            self._parts.close()

    @property
    def closed(self) -> bool:
        """Whether it was closed, or is another process': that of before a fork."""
        return self._closed

    def abandon(self) -> None:
        """For a forked child: the store is its parent's; let go of it without a write."""
        self._closed = True
        for lock in self._parts.opened.locks:
            lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        home = str(self.home)
        return f"Store({home!r}, closed)" if self._closed else store_line(home, self._parts.state)

    def _repr_html_(self) -> str:
        return store_html(str(self.home), self.parts.state)

    def _check_open(self) -> None:
        if self._closed:
            raise StoreClosed(
                f"{self.home} was closed",
                url=self.url,
                remedy="open it again; after a fork, each process opens its own",
            )

    def _landed(self, receipt: Receipt, tier: str | None) -> Receipt:
        landing = self.policy.landing if tier is None else check_tier(tier)
        if landing != "hot" and receipt.nbytes:  # an object without bytes is in the index alone
            self.maintenance.send([receipt.key], landing)
        return receipt

    def _up_to_date(self) -> Iterator[Parts]:
        """The parts, as of now, until the caller has found what it looks for."""
        parts = self.parts
        parts.state.refresh()
        yield parts
        for pause_s in _PAUSES_S:
            time.sleep(pause_s)
            parts.state.refresh(sure=True)  # one that died may have told nobody of its last commit
            yield parts

    def _link(self, source: str, target: str, expect: int | None, *, remove: bool) -> Receipt:
        check_key(target)
        for parts in self._up_to_date():
            try:
                return parts.writer.link(
                    parts.versions.find(source), target, expect=expect, remove=remove
                )
            except SegmentGone:
                continue
            except GenerationMismatch:
                if expect is not None or not remove:
                    raise  # else: the source was written meanwhile; link the new one
        raise self._never_there(source, "changes faster than it can be renamed")

    def _never_there(self, key: str, why: str) -> errors.TierUnavailable:
        """What to raise of an object whose bytes were not where the index said, again and again."""
        lacks = self._parts.state.index.meta().get(INCOMPLETE)
        if lacks is None:
            return errors.TierUnavailable(f"{key!r} {why}", url=self.url, remedy="try again")
        what = f"{key!r} lies where the index knows nothing of: {lacks}"
        return errors.TierUnavailable(what, url=self.url, remedy=command("rebuild", self.home))


def _pack_meta(meta: Mapping[str, str] | None) -> bytes:
    if not meta:
        return b""
    of_texts = isinstance(meta, Mapping) and all(
        isinstance(part, str) for pair in meta.items() for part in pair
    )
    if not of_texts:
        raise errors.InputError("meta maps texts to texts", remedy='meta={"epoch": "7"}')
    return json.dumps(dict(meta), separators=(",", ":")).encode()


def _info(version: Version) -> ObjectInfo:
    return ObjectInfo(
        key=version.key,
        nbytes=version.nbytes,
        generation=version.generation,
        created_s=version.created_s,
        shards=len(version.extents) // EXTENT_NBYTES,
        meta=json.loads(version.meta) if version.meta else {},
    )
