"""Makes the index of a store again, from segments and fragments alone.

Records with the same generation and writer are one version whose bytes were moved: any of them will
do, so the one that lies safest is taken. Of two versions of a key the higher is current, and a
tombstone hides what is below it: a key that was deleted stays deleted.
"""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import attrs

from deepseek_core import errors
from deepseek_store.check.rebuild_numbers import count_on
from deepseek_store.check.rebuild_scan import Found, Seeker
from deepseek_store.errors import NotOwner
from deepseek_store.home.ages import INCOMPLETE
from deepseek_store.home.config import StoreConfig, sync_folder
from deepseek_store.home.crossed_log import bring_together
from deepseek_store.home.locks import lock_store
from deepseek_store.home.log_folders import adopt_folders, lock_mirrors, open_log, told_by_mirrors
from deepseek_store.home.numbers import Marks, Numbers
from deepseek_store.home.owner_epochs import Owner
from deepseek_store.home.pins_and_snapshots import PinsAndSnapshots
from deepseek_store.home.state import stripe_row
from deepseek_store.home.tier_set import Opener, TierSet
from deepseek_store.index.base import Index
from deepseek_store.index.opening import INDEX_FILE
from deepseek_store.index.rows import Batch, Version
from deepseek_store.index.sqlite import SqliteIndex
from deepseek_store.log.disk import Disk
from deepseek_store.log.reserve import Reserve
from deepseek_store.move.orphans import LEFT_OUT
from deepseek_store.planning.amounts import counted

Progress = Callable[[int, int, str], None]

_BATCH: Final = 50_000
_NEVER: Final = 1 << 62
_MOST_ASIDE: Final = 3
_SIDES: Final = ("-wal", "-shm", "")


@attrs.frozen(kw_only=True)
class RebuildReport:
    """What a rebuilt index was made of, and what was not there any more.

    `segment_nbytes` are those of all segments found, `read_nbytes` what had to be read of them.
    `damaged_keys`: objects in the index whose bytes are not all there. `aside`: the old index.
    """

    seconds: float
    objects: int
    tombstones: int
    segments: int
    stripes: int
    snapshots: int
    pins: int
    segment_nbytes: int
    truncated_nbytes: int = 0
    faults: tuple[str, ...] = ()
    damaged_keys: tuple[str, ...] = ()
    unreachable: tuple[str, ...] = ()
    aside: str | None = None

    @property
    def ok(self) -> bool:
        """Whether everything was there."""
        return not self.faults and not self.damaged_keys and not self.unreachable

    def to_json(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {**attrs.asdict(self), "ok": self.ok}

    def sentences(self) -> tuple[str, ...]:
        """The same for people."""
        lines = [
            f"Found {counted(self.objects, 'object')} and {self.tombstones:,} deleted ones in "
            f"{counted(self.segments, 'segment')} ({self.segment_nbytes:,} bytes) and "
            f"{counted(self.stripes, 'stripe')}, in {self.seconds:.2f} s.",
            f"Brought back {counted(self.snapshots, 'snapshot')} and "
            f"{counted(self.pins, 'pin')}; how often the objects were read is lost.",
        ]
        if self.truncated_nbytes:
            lines.append(f"A torn tail of {self.truncated_nbytes} bytes was cut off.")
        lines += [f"Not reachable: {place}; what lies there alone is lacking." for place in
                  self.unreachable]  # fmt: skip
        lines += [f"{fault}." for fault in self.faults]
        if self.damaged_keys:
            lines.append(f"Not all bytes are left of: {', '.join(self.damaged_keys)}.")
        if self.aside is not None:
            lines.append(f"The old index is kept as {self.aside}.")
        return tuple(lines)


@attrs.frozen(kw_only=True)
class Wishes:
    """What a rebuild is asked for: as `rebuild_index`; `adopt`: take tiers and mirrors, too."""

    verify: bool = False
    force: bool = False
    adopt: bool = False
    progress: Progress | None = None
    tiers: Opener | None = None


def rebuild_index(
    home: Path,
    *,
    verify: bool = False,
    force: bool = False,
    progress: Progress | None = None,
    tiers: Opener | None = None,
) -> RebuildReport:
    """Make the index of a store again; nobody may have it open.

    `verify` reads all payloads too. `force`: also if a tier can't be reached, whose objects then
    are lacking in the index until it is rebuilt again; nothing is collected before that.
    `tiers` opens the tier of a URL, as for `Store`.

    Raises:
        ConfigError: there is no store.
        StoreLocked: somebody has it open.
        TierUnavailable: a tier can't be reached.
        ForeignStore: the database holds the index of another store.
    """
    config = StoreConfig.load(home)
    lock = lock_store(home)
    try:
        wishes = Wishes(verify=verify, force=force, progress=progress, tiers=tiers)
        return rebuild_locked(home, config, wishes)
    finally:
        lock.close()


def rebuild_locked(home: Path, config: StoreConfig, wishes: Wishes) -> RebuildReport:
    """The same for one who holds the store's lock.

    On a full disk it has the space that is kept for this.
    """
    reserve = Reserve(home)
    report = reserve.lend(partial(_rebuild, home, config, wishes), whole=True)
    reserve.take()
    return report


def _rebuild(home: Path, config: StoreConfig, wishes: Wishes) -> RebuildReport:
    start_s = time.monotonic()
    with ExitStack() as stack:
        for lock in lock_mirrors(home, config, shared=False):
            stack.callback(lock.close)
        numbers = Numbers(home)
        owner = Owner(home, config.store_id, numbers)
        if wishes.adopt:
            # Should this be killed: no index but the one that it makes will do from now on.
            numbers.raise_to(Marks(seq=_NEVER))
            adopt_folders(home, config, owner)
        # All that is there goes into the new index, so that it will have come as far.
        numbers.raise_to(told_by_mirrors(home, config, owner))
        disk = _open_log(home, config, owner)
        stack.callback(disk.close)
        bring_together(disk, config, None, is_alone=lambda: True)
        tiers = TierSet(config, owner, home=home, opener=wishes.tiers)
        stack.callback(tiers.close)
        seeker = Seeker(config, disk, tiers, wishes.progress or _quiet)
        _check_reachable(seeker.list_tiers(), home, force=wishes.force)
        numbers.raise_to(tiers.told())
        if wishes.adopt:
            tiers.own(by_force=True)
        stack.enter_context(_uncollected())
        found = seeker.seek(verify=wishes.verify)
        count_on(home, config, found, numbers, tiers.promised(), leap=wishes.adopt)
        content = _Content.of(found, PinsAndSnapshots.load(home))
        aside = _write(home, config, content, numbers)
        owner.settle()
    return RebuildReport(
        seconds=time.monotonic() - start_s,
        objects=sum(not version.deleted for version in content.current),
        tombstones=sum(version.deleted for version in content.current),
        segments=len(found.rows),
        stripes=len(found.stripes),
        snapshots=len(content.snapshots),
        pins=len(content.pins),
        segment_nbytes=sum(row.nbytes for row in found.rows),
        truncated_nbytes=found.truncated_nbytes,
        faults=tuple(found.faults),
        damaged_keys=content.damaged_keys,
        unreachable=tuple(found.unreachable),
        aside=aside,
    )


@contextmanager
def _uncollected() -> Iterator[None]:
    """Millions of new objects set off collections that find nothing: a quarter of the time."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def _quiet(_done: int, _total: int, _what: str) -> None:
    return None


def _check_reachable(away: Sequence[str], home: Path, *, force: bool) -> None:
    if away and not force:
        raise errors.TierUnavailable(
            f"{', '.join(away)} can't be reached, and without it objects would seem to be lost",
            url=str(home),
            remedy="bring it back, or rebuild with force (--force) and again when it is back",
        )


@attrs.frozen(kw_only=True)
class _Content:
    """What goes into the index."""

    found: Found
    current: list[Version]
    kept: list[Version]
    snapshots: list[tuple[str, float, list[Version]]]
    pins: dict[str, str]
    damaged_keys: tuple[str, ...]
    clocks: tuple[int, ...]

    @classmethod
    def of(cls, found: Found, notes: PinsAndSnapshots) -> _Content:
        """Current versions, and those that snapshots have; the rest is garbage already."""
        chains = found.chains()
        current = [chains[key][0] for key in sorted(chains)]
        snapshots = []
        kept: dict[tuple[str, int, int], Version] = {}
        for note in sorted(notes.snapshots.values(), key=lambda note: note.clock):
            members = list(_as_of(chains.values(), note.clock))
            snapshots.append((note.name, note.created_s, members))
            kept.update((version.id, version) for version in members)
        for version in current:
            kept.pop(version.id, None)
        used = [*current, *kept.values()]
        found.prune(used)
        return cls(
            found=found,
            current=current,
            kept=list(kept.values()),
            snapshots=snapshots,
            pins=dict(notes.pins),
            damaged_keys=tuple(sorted({version.key for version in found.lacking(used)})),
            clocks=tuple(note.clock for note in notes.snapshots.values()),
        )

    @property
    def versions(self) -> list[Version]:
        """All that the index gets."""
        return [*self.current, *self.kept]


def _as_of(chains: Iterable[Sequence[Version]], clock: int) -> Iterator[Version]:
    for chain in chains:
        version = next((each for each in chain if each.generation <= clock), None)
        if version is not None and not version.deleted:
            yield version


def _open_log(home: Path, config: StoreConfig, owner: Owner) -> Disk:
    """The log; of a copy whose mirrors another home has taken, without them."""
    try:
        return open_log(home, config, owner, writing=True)
    except NotOwner:
        return open_log(home, attrs.evolve(config, mirrors=()), owner, writing=True)


def _write(home: Path, config: StoreConfig, content: _Content, numbers: Numbers) -> str | None:
    """Into a new file that then takes the place of the old one, or into the emptied schema."""
    if config.index != "sqlite":
        from deepseek_store.index.postgres import PostgresIndex

        with PostgresIndex(config.index, config.store_id, create=True) as index:
            index.clear()
            numbers.begin_anew(_fill(index, content))
            index.finish()
        (home / "epoch").unlink(missing_ok=True)
        return None
    fresh = home / f"{INDEX_FILE}.new"
    for side in (*_SIDES, ".locks"):
        Path(f"{fresh}{side}").unlink(missing_ok=True)
    try:
        with SqliteIndex(fresh, config.store_id, create=True) as index:
            marks = _fill(index, content)
    except BaseException:
        for side in (*_SIDES, ".locks"):  # what is not whole takes space for nothing
            Path(f"{fresh}{side}").unlink(missing_ok=True)
        raise
    Path(f"{fresh}.locks").unlink(missing_ok=True)
    aside = _set_aside(home)
    fresh.replace(home / INDEX_FILE)
    # Killed before this, it seems to be an older one, and is made once more.
    numbers.begin_anew(marks)
    # Its number may be one that the new index will give to a commit.
    (home / "epoch").unlink(missing_ok=True)
    sync_folder(home)
    return aside


def _fill(index: Index, content: _Content) -> Marks:
    """Fill an empty index; what it counts in the end."""
    found = content.found
    index.raise_counter("segment", found.highest_segment)
    index.raise_counter("stripe", found.highest_stripe)
    # Records that gc has removed may have been younger than all that is left: a generation that was
    # given twice would put what comes now into a snapshot of then.
    index.raise_clock(max([found.clock, *content.clocks]))
    stripes = [stripe_row(stripe) for stripe in found.stripes]
    index.commit(Batch(segments=found.rows, stripes=stripes, pins=dict(content.pins)))
    versions = content.versions
    for start in range(0, len(versions), _BATCH):
        index.commit(Batch(versions=versions[start : start + _BATCH]))
    for name, created_s, members in content.snapshots:
        index.restore_snapshot(name, created_s, [version.id for version in members])
    left_out = json.dumps(sorted(found.left_out)) if found.left_out else None
    meta = {INCOMPLETE: _incomplete(found.unreachable), LEFT_OUT: left_out}
    seq = index.commit(Batch(meta=meta, durable=True))
    return Marks(
        segment=found.highest_segment, stripe=found.highest_stripe, generation=found.clock, seq=seq
    )


def _incomplete(unreachable: Sequence[str]) -> str | None:
    """Keeps the collector from taking for garbage what only this index does not know."""
    if not unreachable:
        return None
    return f"the index was rebuilt without {', '.join(unreachable)}: rebuild it again"


def _set_aside(home: Path) -> str | None:
    """Keep the old index under another name; what belongs to it goes first, should we be killed.

    So are a few before it; all are made of what is in the log and on the tiers.
    """
    known = _numbers_aside(home)
    number = max(known, default=0) + 1
    for old_number in sorted(known)[: -(_MOST_ASIDE - 1)]:
        for side in _SIDES:
            Path(f"{home / INDEX_FILE}.broken-{old_number}{side}").unlink(missing_ok=True)
    target = f"{INDEX_FILE}.broken-{number}"
    moved = False
    for side in _SIDES:
        old = home / f"{INDEX_FILE}{side}"
        if old.exists():
            old.rename(home / f"{target}{side}")
            moved = True
    return target if moved else None


def _numbers_aside(home: Path) -> set[int]:
    found = (path.name.partition(".broken-")[2] for path in home.glob(f"{INDEX_FILE}.broken-*"))
    return {int(name.partition("-")[0]) for name in found if name.partition("-")[0].isdigit()}
