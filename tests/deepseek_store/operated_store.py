"""A store, the folders around it, what was done to them so far, and what must hold of it.

After each step every object is read: acknowledged bytes are there wherever enough copies are,
nothing is ever wrong, refusals are typed, and what scrub, repair and fsck say is true.
"""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
from operator_model import Model

from deepseek_core import DeepSeekError, errors
from deepseek_store import Policy, Store
from deepseek_store.errors import IndexOutdated

SIZES = (0, 10, 3_000, 30_000, 90_000)
CODES = ("rs(4,2)", "rs(2,2)", "lrc(4,2,2)")
DOMAINS = 8
POLICY = Policy(
    warm_fragment_nbytes=64 << 10,
    cold_fragment_nbytes=64 << 10,
    codes={"hot": "auto", "warm": CODES[0], "cold": CODES[0]},
    sizing=64 << 10,
    min_residence_s=0.0,
    prefetch=False,
    learn=False,
    cache_nbytes=0,
)


def payload_of(number: int) -> bytes:
    rng = random.Random(number)
    return rng.randbytes(rng.choice(SIZES))


@attrs.frozen
class Flip:
    """A byte that was changed in a file."""

    path: Path
    offset: int
    value: int

    @property
    def there(self) -> bool:
        """Whether the file still holds it."""
        try:
            with self.path.open("rb") as file:
                file.seek(self.offset)
                return file.read(1) == bytes([self.value])
        except FileNotFoundError:
            return False


class OperatedStore:
    """One store in a folder of its own, with tiers of folders and maybe a mirror of its log."""

    def __init__(self, folder: Path, seed: int, *, mirror: bool, grace_s: float) -> None:
        self.rng = random.Random(seed)
        self.folder, self.model = folder, Model()
        self.home, self.mirror = folder / "home", folder / "mirror"
        self.tiers = {name: folder / name for name in ("warm", "cold")}
        self.has_mirror = mirror and self.rng.random() < 0.7
        self.mirror_late = False
        self.grace_s = grace_s
        self.offset_s = 0.0
        self.number = seed * 100_000
        self.log: list[str] = []
        self.away: dict[Path, Path] = {}
        self.images: dict[str, list[tuple[Path, dict[str, int]]]] = {}
        self.flips: list[Flip] = []
        self.troubled: dict[str, str] = {}
        for path in self.tiers.values():
            path.mkdir()
        mirrors = [self.mirror] if self.has_mirror else []
        urls = {name: [f"{p.as_uri()}?domains={DOMAINS}"] for name, p in self.tiers.items()}
        policy = attrs.evolve(POLICY, grace_s=grace_s)
        Store.init(self.home, policy=policy, mirrors=mirrors, **urls).close()

    # What holds now

    @property
    def all_tiers_there(self) -> bool:
        return not any(path in self.away for path in self.tiers.values())

    @property
    def mirror_there(self) -> bool:
        return self.has_mirror and self.mirror not in self.away

    @property
    def mirrored(self) -> bool:
        """Whether the mirror takes what is put: one that was away does once it is level again."""
        return self.mirror_there and not self.mirror_late

    @property
    def whole(self) -> bool:
        """Whether nothing is away, and no domain was ever brought back older than it was."""
        return not self.away and not self.troubled

    def clock(self) -> float:
        return time.time() + self.offset_s

    @contextmanager
    def opened(self) -> Iterator[Store]:
        store = self._open()
        try:
            yield store
        finally:
            store.close()

    def _open(self) -> Store:
        """Open it as an operator would: what a refusal tells to do is done."""
        for _ in range(3):
            try:
                store = Store(self.home, clock=self.clock)
                told = store.read_only
                if "another copy of this home" not in told:
                    return store
                store.close()
                told += " adopt"
            except DeepSeekError as error:
                told = f"{error}"
            self._follow(told)
        raise AssertionError("no remedy helps")

    def _follow(self, told: str) -> None:
        self.log.append(f"refused: {told}")
        if "adopt" in told:
            Store.adopt(self.home, force=bool(self.away))
        else:
            assert "rebuild" in told, f"refused without a remedy: {told}"
            self.make_index()

    def changed(self, change: Callable[[Store], None]) -> None:
        """Open it, and change it; once more if it says that it is not what it was."""
        for _ in range(3):
            try:
                with self.opened() as store:
                    change(store)
                return
            except IndexOutdated as error:
                self._follow(f"{error}")
            except DeepSeekError as error:
                # A disk that is away is put back, rather than given up.
                if "store adopt" not in f"{error}" or "mount it" in f"{error}":
                    raise
                self._follow(f"{error}")
        raise AssertionError("it is refused again and again")

    def make_index(self) -> None:
        """Make the index again; without what is away, if need be."""
        try:
            Store.rebuild(self.home)
        except errors.StorageError:
            if not self.away:
                raise
            Store.rebuild(self.home, force=True)

    def complete_index(self) -> None:
        """An index that was made without a tier says so itself until it is made once more."""
        if self.all_tiers_there:
            with self.opened() as store:
                incomplete = store.maintenance.gc(dry_run=True).unreachable
            if incomplete:
                self.make_index()

    # Checks

    def check(self) -> None:
        """Read all that there is or was, and ask whether it is healthy."""
        with self.opened() as store:
            self.mirror_late &= not store.parts.disk.lacks_nothing()
            unknown = {info.key for info in store.list("k/")} - self.model.lives.keys()
            assert not unknown, f"nobody put {sorted(unknown)}"
            for key in sorted(self.model.lives):
                self._check_key(store, key)
            self._check_health(store)

    def _check_key(self, store: Store, key: str) -> None:
        life = self.model.of(key)
        try:
            data: bytes | None = bytes(store.get(key))
        except errors.ObjectMissing:
            data = None
        except errors.StorageError as error:
            # What a newer home has deleted and collected, an older one may still list.
            if self.grace_s == 0.0 and None in life.allowed:
                return
            assert isinstance(error, errors.TierUnavailable), f"{key}: {error}"
            assert self.away, f"{key}: nothing is away, and yet: {error}"
            assert error.retryable
            return
        by_data = {None if s is None else payload_of(s): s for s in life.states}
        assert data in by_data, f"{key} reads bytes that nobody put"
        fitting = [s for s in life.allowed if (None if s is None else payload_of(s)) == data]
        if not fitting and not self.all_tiers_there:
            return  # the index was rebuilt without the tier: it is there when the tier is
        assert fitting, f"{key} is {by_data[data]}, and must be one of {life.allowed}"
        life.settle(max(fitting, key=lambda s: (s is not None, s or 0)))

    def _check_health(self, store: Store) -> None:
        live = [flip for flip in self.flips if flip.there and self._is_live(store, flip)]
        report = store.maintenance.scrub()
        # A mirror that is left out is named as such, until a repair brings it up to date.
        live = [flip for flip in live if not any(flip.path.is_relative_to(p) for p in report.away)]
        if live:
            assert report.faults, f"scrub does not see {live[0]}"
        elif self.whole and not any(flip.there for flip in self.flips):
            self.flips.clear()

    def must_be_healthy(self, store: Store) -> None:
        left = [flip for flip in self.flips if flip.there and self._is_live(store, flip)]
        assert not left, f"repair left {left[0]}"
        self.flips.clear()
        report = store.maintenance.scrub()
        assert report.ok, f"after repair: {report.left}"
        checked = store.maintenance.fsck(deep=True)
        assert checked.ok, f"after repair: {checked.to_json()}"

    def must_refuse(self, home: Path) -> None:
        try:
            store = Store(home, clock=self.clock)
        except DeepSeekError as error:
            assert "adopt" in (error.remedy or ""), error
            return
        with store:
            try:
                store.put("intruder", b"from the copy")
            except DeepSeekError as error:
                assert "adopt" in (error.remedy or ""), error
                return
        raise AssertionError(f"two homes own the store: {home}")

    # Images, and what is away or damaged

    def keep(self, name: str, path: Path) -> None:
        """Copy a file or folder aside."""
        kept = self.folder / "images" / f"{name.replace('/', '-')}-{len(self.log)}"
        _copy(path, kept)
        self.images.setdefault(name, []).append((kept, self.model.moment()))

    def restore(self, name: str, path: Path) -> dict[str, int] | None:
        """Put one of the copies in its place; the states of its moment, None without a copy."""
        if name not in self.images:
            return None
        kept, moment = self.rng.choice(self.images[name])
        if path.is_dir():
            shutil.rmtree(path)
        _copy(kept, path)
        return moment

    def copied_home(self) -> Path:
        copy = self.folder / f"home-{len(self.log)}"
        shutil.copytree(self.home, copy)
        return copy

    def hide(self, path: Path) -> None:
        hidden = self.folder / f"hidden-{len(self.log)}"
        path.rename(hidden)
        if self.rng.random() < 0.5:
            path.mkdir()  # as the mount point of a disk that is not mounted
        self.away[path] = hidden
        self.mirror_late |= path == self.mirror

    def put_back(self, path: Path) -> None:
        if path.exists():
            shutil.rmtree(path)
        self.away.pop(path).rename(path)

    def a_domain(self) -> tuple[str, Path | None]:
        name = self.rng.choice(list(self.tiers))
        if self.tiers[name] in self.away:
            return name, None
        found = sorted(p for p in self.tiers[name].iterdir() if p.is_dir() and p.name != "stores")
        known = self.troubled.get(name)
        found = [p for p in found if known is None or p.name == known]
        return name, self.rng.choice(found) if found else None

    def flip_below(self, folder: Path, *, mirror: Path | None = None) -> None:
        """Change a byte of a file; of the log, of one that the other side has too."""
        files = sorted(p for p in folder.rglob("*") if p.is_file() and p.stat().st_size > 200)
        files = [p for p in files if "segment-" in p.name or "stripes" in p.parts]
        if mirror is not None:
            files = [p for p in files if (mirror / p.relative_to(folder)).exists()]
        if not files:
            return
        path = self.rng.choice(files)
        data = bytearray(path.read_bytes())
        offset = self.rng.randrange(len(data))
        data[offset] ^= 1 << self.rng.randrange(8)
        path.write_bytes(data)
        self.flips.append(Flip(path, offset, data[offset]))

    def flipped(self, folder: Path) -> bool:
        return any(flip.there and flip.path.is_relative_to(folder) for flip in self.flips)

    def _is_live(self, store: Store, flip: Flip) -> bool:
        """Whether the store means to have the file: it is no garbage that waits to be collected."""
        state = store.parts.state
        if "stripes" in flip.path.parts:
            known = {f.key for stripe in state.stripes.values() for f in stripe.fragments}
            return any(flip.path.as_posix().endswith(key) for key in known if key)
        numbers = [row.id for row in state.segments.values() if row.local and row.state == "sealed"]
        return any(f"{number:016x}" in flip.path.name for number in numbers)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copy(source, target)
