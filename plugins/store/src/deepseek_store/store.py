"""The store: objects in hot, warm and cold tiers, moved by themselves, never lost."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import attrs

from deepseek_core import errors
from deepseek_store.errors import GenerationMismatch, SegmentGone, StoreClosed
from deepseek_store.home import open_stores as open_homes
from deepseek_store.home.config import StoreConfig, TierConfig
from deepseek_store.home.create import change_policy, make_home, unmake_home
from deepseek_store.home.open import (
    Opened,
    open_parts,
)
from deepseek_store.home.pins_and_snapshots import (
    SnapshotNote,
    note_dropped,
    note_pins,
    note_snapshot,
)
from deepseek_store.index.rows import Batch, SnapshotRow, Version
from deepseek_store.log.records import Buffer
from deepseek_store.parts import Parts
from deepseek_store.planning.policy import TIERS, Policy
from deepseek_store.write.keys import check_key
from deepseek_store.write.upload import Receipt, Upload

if TYPE_CHECKING:
    from deepseek_store.check.explain import Explanation
    from deepseek_store.check.fsck import FsckReport
    from deepseek_store.check.rebuild import RebuildReport
    from deepseek_store.check.scrub import ScrubReport
    from deepseek_store.move.gc import GcReport
    from deepseek_store.planning.moves import Moves

_LOOKUPS: Final = 8  # a reader that finds its segment collected looks the object up again


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
    several processes may have it open, if all do so. With `background` it moves data between its
    tiers by itself, every `tick_s` seconds. `clock` gives seconds since the epoch.

    Raises:
        ConfigError: there is no store in `home`; see `Store.init`.
        StoreLocked: another process has it open.
        ForeignStore: its files are damaged or another store's.
        CacheTooSmall: the policy's cache holds not even one shard.
    """

    def __init__(
        self,
        home: str | Path,
        *,
        shared: bool = False,
        background: bool = False,
        tick_s: float = 30.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.home = Path(home)
        opened = self._open(shared)
        try:
            self._parts = Parts(opened, clock)
        except BaseException:
            opened.close()
            raise
        self._closed = False
        self._closing = threading.Lock()
        self._keeper: Any = None
        open_homes.note(self.home, self)
        if background:
            from deepseek_store.check.background import Background

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
        tiers = [("warm", url) for url in warm] + [("cold", url) for url in cold]
        config = StoreConfig(
            tiers=tuple(TierConfig(temperature=name, url=url) for name, url in tiers),
            policy=policy or Policy(),
            index=index,
            mirrors=tuple(str(Path(mirror).resolve()) for mirror in mirrors),
        )
        make_home(folder, config)
        store: Self | None = None
        try:
            store = cls(folder, **options)
            store.codes()
        except BaseException:
            if store is not None:
                store.close()
            unmake_home(folder, config)
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
                store.codes()
        except BaseException:
            change_policy(folder, before.to_json())
            raise
        return after

    @classmethod
    def rebuild(cls, home: str | Path, **options: Any) -> RebuildReport:
        """Make the index anew from segments and fragments; see `check.rebuild.rebuild_index`.

        Raises:
            StoreLocked: somebody has it open.
            TierUnavailable: a tier can't be reached.
        """
        from deepseek_store.check.rebuild import rebuild_index

        return rebuild_index(Path(home), **options)

    @property
    def url(self) -> str:
        """Names it in errors and logs."""
        return f"ds:{self.home}"

    @property
    def policy(self) -> Policy:
        """What its user decided."""
        return self._parts.config.policy

    @property
    def parts(self) -> Parts:
        """The parts that it is made of: for commands, pages and tests, not for users."""
        self._check_open()
        return self._parts

    # Objects

    def put(
        self,
        key: str,
        data: Buffer,
        *,
        meta: Mapping[str, str] | None = None,
        if_generation: int | None = None,
        durable: bool = True,
        tier: str | None = None,
    ) -> Receipt:
        """Store an object; when it returns, the object survives a crash (unless not `durable`).

        `if_generation`: only if the object has that generation now (0: if there is none).
        `tier`: bring it there before it is acknowledged ("hot", "warm", "cold").

        Raises:
            KeyRefused: a key that a store does not take.
            GenerationMismatch: the object is not what was expected.
            TierFull, TierUnavailable: no room, or the disk does not answer; nothing is stored.
        """
        parts = self.parts
        packed = _pack_meta(meta)
        receipt = parts.writer.put(
            check_key(key), data, packed, expect=if_generation, durable=durable
        )
        return self._landed(receipt, tier)

    def put_stream(
        self,
        key: str,
        chunks: Iterable[Buffer],
        *,
        meta: Mapping[str, str] | None = None,
        if_generation: int | None = None,
        tier: str | None = None,
    ) -> Receipt:
        """Store an object whose bytes come in chunks; it appears when the last one is stored.

        Raises:
            As `put`; what was written of an object that was not finished is garbage for `gc`.
        """
        parts = self.parts
        packed = _pack_meta(meta)
        receipt = parts.writer.put_stream(check_key(key), chunks, packed, expect=if_generation)
        return self._landed(receipt, tier)

    def append(self, key: str, data: Buffer, *, if_generation: int | None = None) -> Receipt:
        """Add bytes to the end of an object, or begin one; durable when it returns.

        What is there already is not copied, but for a short piece at its end.

        Raises:
            As `put`.
        """
        parts = self.parts
        for _ in range(_LOOKUPS):
            parts.state.refresh()
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
        raise errors.TierUnavailable(
            f"{key!r} changes faster than it can be appended to", url=self.url, remedy="try again"
        )

    def begin(
        self, key: str, *, meta: Mapping[str, str] | None = None, tier: str | None = None
    ) -> Upload:
        """Store an object whose bytes are handed over one after the other.

        with store.begin("runs/7/log") as upload:
            upload.write(b"...")
            upload.commit()

        Raises:
            KeyRefused: a key that a store does not take.
        """
        upload = self.parts.writer.begin(check_key(key), _pack_meta(meta))
        upload.landed = lambda receipt: self._landed(receipt, tier)
        return upload

    def get(
        self, key: str, start: int = 0, stop: int | None = None, *, snapshot: str | None = None
    ) -> memoryview:
        """Bytes of an object, verified: from `start` to `stop`, fewer where it ends.

        Raises:
            ObjectMissing: there is none.
            Corrupt, Unrecoverable: all copies are damaged; nothing wrong is ever returned.
            TierUnavailable: too many tiers can't be reached.
        """
        parts = self.parts
        for _ in range(_LOOKUPS):
            parts.state.refresh()
            version = self._version(key, snapshot)
            try:
                return parts.read(version, start, version.nbytes if stop is None else stop)
            except SegmentGone:
                continue
        raise errors.TierUnavailable(
            f"{key!r} moves faster than it can be read", url=self.url, remedy="try again"
        )

    def stat(self, key: str, *, snapshot: str | None = None) -> ObjectInfo:
        """What is known of an object.

        Raises:
            ObjectMissing: there is none.
        """
        self.parts.state.refresh()
        return _info(self._version(key, snapshot))

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

    # Where things lie

    def explain(self, key: str) -> Explanation:
        """Where an object lies, in which code and shards, how warm it is, why, and what comes.

        Raises:
            ObjectMissing: there is none.
        """
        from deepseek_store.check.explain import explain

        self.parts.state.refresh()
        return explain(self.parts, self._version(key, None))

    def plan(self, *, flush: bool = False, budget_nbytes: int | None = None) -> Moves:
        """What should move now, and why; nothing is done. `flush`: also stripes not full."""
        from deepseek_store.check.maintenance import make_plan

        return make_plan(self.parts, flush=flush, budget_nbytes=budget_nbytes)

    def apply(
        self, moves: Moves, *, progress: Callable[[int, int, str], None] | None = None
    ) -> int:
        """Carry out a plan; how many steps. What has changed since it was made is left out."""
        from deepseek_store.check.maintenance import apply_plan

        return apply_plan(self.parts, moves, progress)

    def send(self, keys: Iterable[str], tier: str) -> None:
        """Bring objects to a tier now, whatever their temperature.

        Raises:
            ConfigError: the store has no such tier.
        """
        _check_tier(tier)
        self.flush()
        self.parts.mover.send(keys, tier)  # type: ignore[arg-type]

    def pin(self, prefix: str, tier: str) -> int:
        """Keep all objects below a prefix in a tier, where `plan` brings them; how many."""
        _check_tier(tier)
        return self._set_pins(prefix, tier)

    def unpin(self, prefix: str) -> int:
        """Let their temperature decide again; how many objects."""
        return self._set_pins(prefix, None)

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

    def codes(self) -> dict[str, Any]:
        """The code that new stripes of each temperature get, with reasons.

        Raises:
            CodeRefused: the tiers can't carry what the policy asks for.
        """
        mover = self.parts.mover
        config = self._parts.config
        return {name: mover.choice(name) for name in ("warm", "cold") if config.of(name)}

    # Care

    def scrub(self, **options: Any) -> ScrubReport:
        """Read and verify what is stored; see `check.scrub.scrub`."""
        from deepseek_store.check.scrub import scrub

        self.flush()
        return scrub(self.parts, **options)

    def repair(self, report: ScrubReport | None = None, **options: Any) -> ScrubReport:
        """Repair what a scrub has found; without a report, what scrubs and readers have met."""
        from deepseek_store.check.scrub import repair

        self.flush()
        return repair(self.parts, report, **options)

    def fsck(self, *, deep: bool = False) -> FsckReport:
        """Compare index, log and tiers; nothing is changed. `deep`: read all bytes."""
        from deepseek_store.check.fsck import fsck

        self.flush()
        return fsck(self.parts, deep=deep)

    def gc(self, *, dry_run: bool = False) -> GcReport:
        """Free the room of what nobody can see any more."""
        if not dry_run:
            self.parts.journal.seal()  # what is dead in the active segment can't be freed
        self.flush()
        return self.parts.collector.collect(self.parts.heat, dry_run=dry_run)

    def snapshot(self, name: str) -> SnapshotRow:
        """Keep all objects as they are now under a name; nothing is copied.

        Raises:
            InputError: the name is taken.
        """
        self.flush()
        row = self.parts.state.index.snapshot(name, self.parts.clock())
        note_snapshot(self.home, SnapshotNote(name=name, created_s=row.created_s, clock=row.clock))
        return row

    def snapshots(self) -> Sequence[SnapshotRow]:
        """All snapshots, the oldest first."""
        return self.parts.state.index.snapshots()

    def drop_snapshot(self, name: str) -> bool:
        """Let go of a snapshot; False if there is none."""
        self.parts.forget_snapshot(name)
        found = self.parts.state.index.drop_snapshot(name)
        if found:
            note_dropped(self.home, name)
        return found

    def flush(self) -> None:
        """Make everything that was put durable, and the index equal to the log."""
        self.parts.journal.flush()
        self.parts.committer.flush()
        self.parts.save_heat()

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
        return f"Store({str(self.home)!r}{', closed' if self._closed else ''})"

    def _open(self, shared: bool) -> Opened:
        """Of what it is made; tests put a disk beneath it that loses power."""
        return open_parts(self.home, shared=shared)

    def _check_open(self) -> None:
        if self._closed:
            raise StoreClosed(
                f"{self.home} was closed",
                url=self.url,
                remedy="open it again; after a fork, each process opens its own",
            )

    def _version(self, key: str, snapshot: str | None) -> Version:
        if snapshot is not None:
            version = self._parts.in_snapshot(snapshot, key)
        else:
            version = self._parts.state.catalog.get(key)
        if version is None:
            raise errors.ObjectMissing(
                f"there is no object {key[:200]!r}", url=self.url, remedy="ds-sdk store ls HOME"
            )
        return version

    def _landed(self, receipt: Receipt, tier: str | None) -> Receipt:
        landing = self.policy.landing if tier is None else _check_tier(tier)
        if landing != "hot" and receipt.nbytes:  # an object without bytes is in the index alone
            self.send([receipt.key], landing)
        return receipt

    def _link(self, source: str, target: str, expect: int | None, *, remove: bool) -> Receipt:
        parts = self.parts
        check_key(target)
        for _ in range(_LOOKUPS):
            parts.state.refresh()
            try:
                return parts.writer.link(
                    self._version(source, None), target, expect=expect, remove=remove
                )
            except SegmentGone:
                continue
            except GenerationMismatch:
                if expect is not None or not remove:
                    raise  # else: the source was written meanwhile; link the new one
        raise errors.TierUnavailable(
            f"{source!r} changes faster than it can be renamed", url=self.url, remedy="try again"
        )

    def _set_pins(self, prefix: str, tier: str | None) -> int:
        parts = self.parts
        parts.state.refresh()
        keys = list(parts.state.catalog.keys(prefix))
        parts.state.commit(Batch(pins=dict.fromkeys(keys, tier)))
        note_pins(self.home, keys, tier)
        return len(keys)


def _pack_meta(meta: Mapping[str, str] | None) -> bytes:
    if not meta:
        return b""
    if not all(isinstance(part, str) for pair in meta.items() for part in pair):
        raise errors.InputError("meta maps texts to texts", remedy='meta={"epoch": "7"}')
    return json.dumps(dict(meta), separators=(",", ":")).encode()


def _info(version: Version) -> ObjectInfo:
    return ObjectInfo(
        key=version.key,
        nbytes=version.nbytes,
        generation=version.generation,
        created_s=version.created_s,
        shards=len(version.extents) // 32,
        meta=json.loads(version.meta) if version.meta else {},
    )


def _check_tier(tier: str) -> str:
    if tier not in TIERS:
        raise errors.ConfigError(
            f"there is no tier {tier!r}", remedy=f"use one of {', '.join(TIERS)}"
        )
    return tier
