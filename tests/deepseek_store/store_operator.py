"""A store in the hands of an operator: backups come back, homes are copied, disks go and return.

Each sequence does to one store what operators do, in random order, and after each step reads every
object: acknowledged bytes are there wherever enough copies are, nothing is ever wrong, refusals are
typed, and what scrub, repair and fsck say is true. Trouble stays within what one failure domain a
tier and one side of the mirrored log bear.
"""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
from operator_model import Model, State

from deepseek_core import DeepSeekError, errors
from deepseek_store import Policy, Store

KEYS = tuple(f"k/{number}" for number in range(8))
SIZES = (0, 10, 3_000, 30_000, 90_000)
CODES = ("rs(4,2)", "rs(2,2)", "lrc(4,2,2)")
DOMAINS = 8
POLICY = Policy(
    warm_fragment_nbytes=64 << 10,
    cold_fragment_nbytes=64 << 10,
    codes={"hot": "auto", "warm": CODES[0], "cold": CODES[0]},
    sizing=64 << 10,
    grace_s=60.0,
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


class Operator:
    """One store, the folders around it, and what was done to them so far."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.rng = random.Random(seed)
        self.folder, self.model = folder, Model()
        self.home, self.mirror = folder / "home", folder / "mirror"
        self.tiers = {name: folder / name for name in ("warm", "cold")}
        self.has_mirror = self.rng.random() < 0.7
        self.offset_s = 0.0
        self.number = seed * 100_000
        self.log: list[str] = []
        self.away: dict[Path, Path] = {}
        self.images: dict[str, tuple[Path, dict[str, int]]] = {}
        self.flips: list[Flip] = []
        self.troubled: dict[str, str] = {}
        self.fenced: list[Path] = []
        for path in self.tiers.values():
            path.mkdir()
        mirrors = [self.mirror] if self.has_mirror else []
        urls = {name: [f"{p.as_uri()}?domains={DOMAINS}"] for name, p in self.tiers.items()}
        Store.init(self.home, policy=POLICY, mirrors=mirrors, **urls).close()

    # What holds now

    @property
    def all_tiers_there(self) -> bool:
        return not any(path in self.away for path in self.tiers.values())

    @property
    def mirror_there(self) -> bool:
        return self.has_mirror and self.mirror not in self.away

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
        """Open it as an operator would: what a refusal tells to do is done, once."""
        told = ""
        try:
            store = Store(self.home, clock=self.clock)
            told = store.read_only
            if "another copy of this home" not in told:
                return store
            store.close()
            told += " adopt"
        except DeepSeekError as error:
            told = f"{error}"
            if "adopt" not in told and "rebuild" not in told:
                raise
        self.log.append(f"refused: {told}")
        if "adopt" in told:
            Store.adopt(self.home, force=bool(self.away))
        else:
            self._rebuild()
        return Store(self.home, clock=self.clock)

    def _rebuild(self) -> None:
        try:
            Store.rebuild(self.home)
        except errors.StorageError:
            if not self.away:
                raise
            Store.rebuild(self.home, force=True)

    # What users do

    def put(self) -> None:
        with self.opened() as store:
            for key in self.rng.sample(KEYS, self.rng.randint(1, 4)):
                self.number += 1
                if self.rng.random() < 0.2:
                    store.delete(key)
                    state: State = None
                else:
                    store.put(key, payload_of(self.number))
                    state = self.number
                self.model.of(key).become(state, mirrored=self.mirror_there)

    def send(self) -> None:
        with self.opened() as store:
            keys = [key for key in self.rng.sample(KEYS, 3) if store.exists(key)]
            tier = self.rng.choice(("warm", "cold", "cold", "hot"))
            try:
                store.maintenance.send(keys, tier)
            except errors.TierUnavailable:
                assert self.away or self.troubled, "nothing is away"
                return
            for key in keys if tier != "hot" else ():
                life = self.model.of(key)
                life.tiered = max(life.tiered, life.floor)

    def care(self) -> None:
        with self.opened() as store:
            try:
                store.maintenance.apply(store.maintenance.plan(flush=True))
                store.maintenance.gc()
            except errors.TierUnavailable:
                assert self.away or self.troubled, "nothing is away"

    # What operators do

    def keep_index(self) -> None:
        self._image("index", self.home / "index.sqlite")

    def restore_index(self) -> None:
        if "index" in self.images:
            for path in self.home.glob("index.sqlite*"):
                path.unlink()
            shutil.copy(self.images["index"][0], self.home / "index.sqlite")

    def lose_index(self) -> None:
        for path in self.home.glob("index.sqlite*"):
            path.unlink()

    def keep_home(self) -> None:
        self._image("home", self.home)

    def restore_home(self) -> None:
        if "home" in self.images and not self._flipped(self.home):
            shutil.rmtree(self.home)
            shutil.copytree(self.images["home"][0], self.home)
            self.model.roll_back(self.images["home"][1], mirror=self.mirror_there)
            self.images.pop("index", None)

    def copy_home(self) -> None:
        """The copy is refused once its original has gone on; sometimes it takes over."""
        if not self.all_tiers_there:
            return
        with self.opened():
            pass
        copy = self.folder / f"home-{len(self.log)}"
        shutil.copytree(self.home, copy)
        with self.opened() as store:
            store.put("owner", b"the original goes on")
        self._must_refuse(copy)
        if self.rng.random() < 0.5:
            Store.adopt(copy, force=bool(self.away))
            self._must_refuse(self.home)
            self.home, copy = copy, self.home
            self.flips = [flip for flip in self.flips if not flip.path.is_relative_to(copy)]
            self.images.clear()
        self.fenced.append(copy)

    def _must_refuse(self, home: Path) -> None:
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

    def take_away(self) -> None:
        """A tier, the mirror, or one failure domain of a tier."""
        if self.away:
            return
        places = [*self.tiers.values(), *([self.mirror] if self.has_mirror else [])]
        if not self._flipped(self.home) and not self._flipped(self.mirror):
            self._hide(self.rng.choice(places))

    def take_domain_away(self) -> None:
        name, domain = self._domain()
        if domain is not None and domain not in self.away and name not in self.troubled:
            self._hide(domain)
            self.troubled[name] = domain.name

    def bring_back(self) -> None:
        for path, hidden in list(self.away.items()):
            if path.exists():
                shutil.rmtree(path)
            hidden.rename(path)
            del self.away[path]

    def old_domain(self) -> None:
        """A failure domain is an older image of itself."""
        name, domain = self._domain()
        if domain is None or self.away or name in self.troubled:
            return
        if f"{name}/{domain.name}" not in self.images:
            self._image(f"{name}/{domain.name}", domain)
            return
        shutil.rmtree(domain)
        shutil.copytree(self.images[f"{name}/{domain.name}"][0], domain)
        self.troubled[name] = domain.name

    def old_mirror(self) -> None:
        if not self.mirror_there or self._flipped(self.home) or self._flipped(self.mirror):
            return
        if "mirror" not in self.images:
            self._image("mirror", self.mirror)
            return
        shutil.rmtree(self.mirror)
        shutil.copytree(self.images["mirror"][0], self.mirror)
        for key, life in self.model.lives.items():
            life.mirrored = min(life.mirrored, self.images["mirror"][1].get(key, 0))

    def flip(self) -> None:
        """One byte of the log, on either side of a mirror, or of one domain of a tier."""
        sides = {"log": self.home / "log", "mirror": self.mirror}
        name, domain = self._domain()
        if self.rng.random() < 0.5 and self.mirror_there and not self.away:
            side = self.rng.choice(list(sides))
            other = sides["mirror" if side == "log" else "log"]
            if not self._flipped(other):
                self._flip_below(sides[side])
        elif (
            domain is not None
            and domain not in self.away
            and (self.troubled.setdefault(name, domain.name) == domain.name)
        ):
            self._flip_below(domain)

    def rebuild(self) -> None:
        self._rebuild()

    def change_code(self) -> None:
        if self.all_tiers_there:
            with self.opened():
                pass
            code = {"hot": "auto", "warm": self.rng.choice(CODES), "cold": self.rng.choice(CODES)}
            Store.configure(self.home, codes=code)

    def set_clock(self) -> None:
        self.offset_s += self.rng.choice((-7200.0, -30.0, 600.0, 7200.0))

    def repair(self) -> None:
        """What is back is healed, and what is said about it is true."""
        with self.opened() as store:
            store.maintenance.repair()
            if self.away:
                return
            again = store.maintenance.repair(store.maintenance.scrub())
            assert again.ok, f"repair leaves {again.left}"
            assert not again.lost_keys, f"repair lost {again.lost_keys}"
            self.troubled.clear()
            self._must_be_healthy(store)

    # Checks

    def check(self) -> None:
        """Read all that there is or was, and ask whether it is healthy."""
        with self.opened() as store:
            for key in KEYS:
                self._check_key(store, key)
            self._check_health(store)

    def _check_key(self, store: Store, key: str) -> None:
        life = self.model.of(key)
        try:
            data: bytes | None = bytes(store.get(key))
        except errors.ObjectMissing:
            data = None
        except errors.TierUnavailable as error:
            assert self.away, f"{key}: nothing is away, and yet: {error}"
            assert error.retryable
            return
        by_data = {None if s is None else payload_of(s): s for s in life.states}
        assert data in by_data, f"{key} reads bytes that nobody put"
        fitting = [s for s in life.allowed if (None if s is None else payload_of(s)) == data]
        if not fitting and not self.all_tiers_there:
            return  # the index was made anew without the tier: it is there when the tier is
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

    def _must_be_healthy(self, store: Store) -> None:
        left = [flip for flip in self.flips if flip.there and self._is_live(store, flip)]
        assert not left, f"repair left {left[0]}"
        self.flips.clear()
        report = store.maintenance.scrub()
        assert report.ok, f"after repair: {report.left}"
        checked = store.maintenance.fsck(deep=True)
        assert checked.ok, f"after repair: {checked.to_json()}"

    # Helpers

    def _image(self, name: str, path: Path) -> None:
        kept = self.folder / "images" / f"{len(self.log)}"
        kept.parent.mkdir(exist_ok=True)
        if path.is_dir():
            shutil.copytree(path, kept)
        else:
            shutil.copy(path, kept)
        self.images[name] = (kept, self.model.moment())

    def _hide(self, path: Path) -> None:
        hidden = self.folder / f"hidden-{len(self.log)}"
        path.rename(hidden)
        if self.rng.random() < 0.5:
            path.mkdir()  # as the mount point of a disk that is not mounted
        self.away[path] = hidden

    def _domain(self) -> tuple[str, Path | None]:
        name = self.rng.choice(list(self.tiers))
        if self.tiers[name] in self.away:
            return name, None
        found = sorted(p for p in self.tiers[name].iterdir() if p.is_dir() and p.name != "stores")
        known = self.troubled.get(name)
        found = [p for p in found if known is None or p.name == known]
        return name, self.rng.choice(found) if found else None

    def _flip_below(self, folder: Path) -> None:
        files = sorted(p for p in folder.rglob("*") if p.is_file() and p.stat().st_size > 200)
        files = [p for p in files if "segment-" in p.name or "stripes" in p.parts]
        if not files:
            return
        path = self.rng.choice(files)
        data = bytearray(path.read_bytes())
        offset = self.rng.randrange(len(data))
        data[offset] ^= 1 << self.rng.randrange(8)
        path.write_bytes(data)
        self.flips.append(Flip(path, offset, data[offset]))

    def _flipped(self, folder: Path) -> bool:
        return any(flip.there and flip.path.is_relative_to(folder) for flip in self.flips)

    def _is_live(self, store: Store, flip: Flip) -> bool:
        """Whether the store means to have the file: it is no garbage that waits to be collected."""
        state = store.parts.state
        if "stripes" in flip.path.parts:
            known = {f.key for stripe in state.stripes.values() for f in stripe.fragments}
            return any(flip.path.as_posix().endswith(key) for key in known if key)
        numbers = [row.id for row in state.segments.values() if row.local and row.state == "sealed"]
        return any(f"{number:016x}" in flip.path.name for number in numbers)


STEPS: dict[str, int] = {
    "put": 8, "send": 5, "care": 3, "keep_index": 2, "restore_index": 3, "lose_index": 1,
    "keep_home": 2, "restore_home": 2, "copy_home": 1, "take_away": 2, "take_domain_away": 2,
    "bring_back": 4,
    "old_domain": 3, "old_mirror": 2, "flip": 4, "rebuild": 1, "change_code": 1, "set_clock": 2,
    "repair": 3,
}  # fmt: skip


def sequence(folder: Path, seed: int, *, steps: int = 14) -> int:
    """One random sequence; how many steps were done.

    Raises:
        AssertionError: something was lost, wrong or untrue; it tells the steps that led there.
    """
    operator = Operator(folder, seed)
    names = operator.rng.choices(list(STEPS), list(STEPS.values()), k=steps)
    for name in [*names, "bring_back", "check", "repair"]:
        operator.log.append(name)
        step: Callable[[], None] = getattr(operator, name)
        try:
            step()
            operator.check()
        except Exception as error:
            error.add_note(f"seed {seed}: {', '.join(operator.log)}")
            raise
    return len(names)
