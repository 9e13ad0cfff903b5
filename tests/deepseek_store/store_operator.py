"""What operators do to a store, in random order: backups come back, homes are copied, disks go.

Trouble stays within what one failure domain a tier and one side of the mirrored log bear.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import attrs
from operated_store import CODES, OperatedStore, payload_of
from operator_model import State

from deepseek_core import DeepSeekError, errors
from deepseek_store import Store


@attrs.frozen(kw_only=True)
class Kind:
    """What is done, by how often, and to what store.

    `anew`: no key is put twice. Without a grace, what a restored home still knows may be gone.
    """

    steps: Mapping[str, int]
    mirror: bool = True
    grace_s: float = 60.0
    anew: bool = False


class Operator(OperatedStore):
    """What is done to the store; each step by its name."""

    def __init__(self, folder: Path, seed: int, kind: Kind) -> None:
        super().__init__(folder, seed, mirror=kind.mirror, grace_s=kind.grace_s)
        self.kind = kind

    # What users do

    def put(self) -> None:
        keys = self._some_keys()
        deleted = {key for key in keys if self.rng.random() < 0.2}

        def change(store: Store) -> None:
            for key in keys:
                self.number += 1
                if key in deleted:
                    store.delete(key)
                    state: State = None
                else:
                    store.put(key, payload_of(self.number))
                    state = self.number
                self.model.of(key).become(state, mirrored=self.mirrored)

        self.changed(change)

    def delete(self) -> None:
        keys = self.rng.sample(sorted(self.model.lives), min(3, len(self.model.lives)))

        def change(store: Store) -> None:
            # One that was made without a tier does not know what lies there, and notes the delete.
            incomplete = bool(store.maintenance.gc(dry_run=True).unreachable)
            for key in keys:
                if store.delete(key) or incomplete:
                    self.model.of(key).become(None, mirrored=self.mirrored)

        self.changed(change)

    def send(self) -> None:
        self._send(self.rng.choice(("warm", "cold", "cold", "hot")))

    def _send(self, tier: str) -> None:
        names = self.rng.sample(sorted(self.model.lives), min(8, len(self.model.lives)))
        sent: list[str] = []

        def change(store: Store) -> None:
            sent[:] = [key for key in names if store.exists(key)]
            store.maintenance.send(sent, tier)

        try:
            self.changed(change)
        except errors.TierUnavailable:
            assert self.away or self.troubled, "nothing is away"
            return
        for key in sent if tier != "hot" else ():
            life = self.model.of(key)
            life.tiered = max(life.tiered, life.floor)

    def care(self) -> None:
        def change(store: Store) -> None:
            store.maintenance.apply(store.maintenance.plan(flush=True))
            store.maintenance.gc()

        try:
            self.changed(change)
        except errors.TierUnavailable:
            assert self.away or self.troubled, "nothing is away"

    def _some_keys(self) -> list[str]:
        if self.kind.anew:
            return [f"k/{self.number}-{at}" for at in range(self.rng.randint(1, 12))]
        return self.rng.sample([f"k/{at}" for at in range(8)], self.rng.randint(1, 4))

    # What operators do

    def keep_index(self) -> None:
        self.keep("index", self.home / "index.sqlite")

    def restore_index(self) -> None:
        if "index" in self.images:
            self.lose_index()
            self.restore("index", self.home / "index.sqlite")
            self.complete_index()

    def lose_index(self) -> None:
        for path in self.home.glob("index.sqlite*"):
            path.unlink()

    def lose_wal(self) -> None:
        for path in self.home.glob("index.sqlite-*"):
            path.unlink()

    def keep_home(self) -> None:
        if not self.flipped(self.home):
            self.keep("home", self.home)

    def restore_home(self) -> None:
        if not self.flipped(self.home) and (moment := self.restore("home", self.home)) is not None:
            self.model.roll_back(moment, mirror=self.mirror_there)
            self.images.pop("index", None)
            self.complete_index()

    def copy_home(self) -> None:
        """The copy is refused once its original has gone on; sometimes it takes over."""
        if not self.all_tiers_there:
            return
        with self.opened():
            pass
        copy = self.copied_home()
        with self.opened() as store:
            store.put("owner", b"the original goes on")
        self.must_refuse(copy)
        if self.rng.random() < 0.5:
            Store.adopt(copy, force=bool(self.away))
            self.must_refuse(self.home)
            self.home, copy = copy, self.home
            self.flips = [flip for flip in self.flips if not flip.path.is_relative_to(copy)]
            self.images.clear()

    def use_copy_and_return(self) -> None:
        """A copy writes to the tiers; then the first home goes on."""
        if self.away or self.flipped(self.home):
            return
        with self.opened():
            pass
        then, first = self.model.moment(), self.home
        self.home = copy = self.copied_home()
        self.put()
        self._send("cold")
        self.care()
        self.home = first
        Store.adopt(self.home)
        # Who adopts decides for the first home's log; what the copy put on tiers is found.
        self.model.roll_back(then, mirror=False)
        for key, life in self.model.lives.items():
            life.mirrored = min(life.mirrored, then.get(key, 0))
        self.must_refuse(copy)

    def look_into_copy(self) -> None:
        """A copy that only looks is told what it may not, and harms nothing."""
        copy = self.copied_home()
        try:
            with Store(copy, read_only=self.rng.random() < 0.5) as store:
                store.maintenance.fsck()
        except DeepSeekError as error:
            assert error.remedy, error
        shutil.rmtree(copy)

    def take_away(self) -> None:
        """A tier, the mirror, or one failure domain of a tier."""
        if self.away:
            return
        places = [*self.tiers.values(), *([self.mirror] if self.has_mirror else [])]
        if not self.flipped(self.home) and not self.flipped(self.mirror):
            self.hide(self.rng.choice(places))

    def away_in_turn(self) -> None:
        """Each side of the log is away once, with writes in between; then both are there."""
        sides = [self.home / "log", self.mirror]
        if not self.mirror_there or self.away or any(map(self.flipped, sides)):
            return
        self.rng.shuffle(sides)
        for side in sides:
            self.hide(side)
            self.rng.choice((self.put, self.delete, self.put))()
            if self.rng.random() < 0.3:
                self.care()
            self.put()
            if self.rng.random() < 0.3:
                self.check()
            self.put_back(side)

    def take_domain_away(self) -> None:
        name, domain = self.a_domain()
        if domain is not None and domain not in self.away and name not in self.troubled:
            self.hide(domain)
            self.troubled[name] = domain.name

    def bring_back(self) -> None:
        for path in list(self.away):
            self.put_back(path)
        self.complete_index()

    def old_domain(self) -> None:
        """A failure domain is an older image of itself."""
        name, domain = self.a_domain()
        if domain is None or self.away or name in self.troubled:
            return
        image = f"{name}/{domain.name}"
        if self.restore(image, domain) is None:
            self.keep(image, domain)
        else:
            self.troubled[name] = domain.name

    def old_mirror(self) -> None:
        if not self.mirror_there or self.flipped(self.home) or self.flipped(self.mirror):
            return
        moment = self.restore("mirror", self.mirror)
        if moment is None:
            self.keep("mirror", self.mirror)
            return
        self.mirror_late = True
        for key, life in self.model.lives.items():
            life.mirrored = min(life.mirrored, moment.get(key, 0))

    def flip(self) -> None:
        """One byte of the log, on either side of a mirror, or of one domain of a tier."""
        sides = {"log": self.home / "log", "mirror": self.mirror}
        name, domain = self.a_domain()
        if self.rng.random() < 0.5 and self.mirror_there and not self.away:
            side = self.rng.choice(list(sides))
            other = sides["mirror" if side == "log" else "log"]
            if not self.flipped(other):
                self.flip_below(sides[side], mirror=other)
        elif (
            domain is not None
            and domain not in self.away
            and (self.troubled.setdefault(name, domain.name) == domain.name)
        ):
            self.flip_below(domain)

    def rebuild(self) -> None:
        self.make_index()

    def force_rebuild(self) -> None:
        """Make the index from what can be reached."""
        Store.rebuild(self.home, force=True)

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
            self.mirror_late = False
            self.must_be_healthy(store)


ALL = Kind(steps={
    "put": 8, "delete": 1, "send": 5, "care": 3, "keep_index": 2, "restore_index": 3,
    "lose_index": 1, "lose_wal": 1, "keep_home": 2, "restore_home": 2, "copy_home": 1,
    "use_copy_and_return": 1, "look_into_copy": 1, "take_away": 2, "take_domain_away": 2,
    "away_in_turn": 2, "bring_back": 4, "old_domain": 3, "old_mirror": 2, "flip": 4, "rebuild": 1,
    "force_rebuild": 1, "change_code": 1, "set_clock": 2, "repair": 3,
})  # fmt: skip
HOMES = Kind(steps={
    "put": 2, "delete": 1, "send": 1, "care": 1, "keep_index": 1, "restore_index": 1,
    "lose_index": 1, "lose_wal": 1, "keep_home": 1, "restore_home": 1, "copy_home": 1,
    "use_copy_and_return": 1, "look_into_copy": 1, "take_away": 1, "bring_back": 1,
    "force_rebuild": 1,
}, mirror=False, grace_s=0.0, anew=True)  # fmt: skip


def sequence(folder: Path, seed: int, kind: Kind = ALL, *, steps: int = 14) -> int:
    """One random sequence; how many steps were done.

    Raises:
        AssertionError: something was lost, wrong or untrue; it tells the steps that led there.
    """
    operator = Operator(folder, seed, kind)
    names = operator.rng.choices(list(kind.steps), list(kind.steps.values()), k=steps)
    for name in [*names, "bring_back", "check", "repair", "rebuild"]:
        operator.log.append(name)
        step: Callable[[], None] = getattr(operator, name)
        try:
            step()
            operator.check()
        except Exception as error:
            error.add_note(f"seed {seed}: {', '.join(operator.log)}")
            raise
    return len(names)
