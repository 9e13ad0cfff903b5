"""A clumsy operator: restores, copies, forces and loses things, in random order.

No key is ever put twice, so its bytes tell whether they are right. `must` has to be there, `gone`
must not come back; of what only an older home knew, either will do.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import attrs
from home_kit import POLICY
from store_kit import data_of

from deepseek_core import DeepSeekError, errors
from deepseek_store import Store
from deepseek_store.errors import ForeignStore, IndexOutdated


@attrs.define
class Known:
    """What was acknowledged: what is there, what lies on the tier, and what was deleted."""

    must: set[str] = attrs.field(factory=set)
    cold: set[str] = attrs.field(factory=set)
    gone: set[str] = attrs.field(factory=set)

    def copy(self) -> Known:
        return Known(set(self.must), set(self.cold), set(self.gone))


class Sequence:
    """One store and what is done to it."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._folder, self._rng = folder, random.Random(seed)
        self._numbers = iter(range(1 << 30))
        self.home, self.tier = folder / "home", folder / "cold"
        self.known = Known()
        self._homes: list[tuple[Path, Known]] = []
        self._indexes: list[Path] = []
        self.log: list[str] = []
        self.is_away = False
        url = f"{self.tier.as_uri()}?domains=8"
        Store.init(self.home, cold=[url], policy=POLICY).close()

    def run(self, steps: int) -> None:
        """So many actions, each held against what must be there."""
        actions: list[Callable[[], None]] = [
            self.put, self.put, self.send, self.delete, self.collect, self.keep_index,
            self.restore_index, self.keep_home, self.restore_home, self.lose_index,
            self.take_away, self.bring_back, self.force, self.copy_and_adopt, self.copy_and_return,
            self.look_into_a_copy, self.lose_wal,
        ]  # fmt: skip
        for _ in range(steps):
            action = self._rng.choice(actions)
            self.log.append(action.__name__)
            action()
            self.check()
        self.log.append("the end")
        self.bring_back()
        Store.rebuild(self.home)
        self.check()

    def open(self) -> Store:
        """Open the home, with whatever remedy it asks for."""
        for _ in range(4):
            try:
                store = Store(self.home)
            except (ForeignStore, IndexOutdated) as error:
                self.log.append(f"  {type(error).__name__}: {error.message}")
                Store.rebuild(self.home, force=True)
                continue
            if not store.read_only:
                return store
            self.log.append(f"  read only: {store.read_only}")
            store.close()
            Store.adopt(self.home, force=True)
        raise AssertionError("no remedy helps")

    def changed(self, change: Callable[[Store], None]) -> None:
        """Open it, and change it; once more if it says that it is not what it was."""
        for _ in range(3):
            with self.open() as store:
                try:
                    change(store)
                except IndexOutdated:
                    pass
                except DeepSeekError as error:
                    if "store adopt" not in str(error):
                        raise
                else:
                    return
            self.log.append("  refused")
            Store.adopt(self.home, force=True)
        raise AssertionError("it is refused again and again")

    def put(self) -> None:
        fresh = [f"k{next(self._numbers)}" for _ in range(self._rng.randrange(1, 20))]

        def change(store: Store) -> None:
            for key in fresh:
                store.put(key, data_of(key))
                self.known.must.add(key)

        self.changed(change)

    def send(self) -> None:
        if self.is_away:
            return
        keys = sorted(self.known.must)[: self._rng.randrange(12)]
        self.changed(lambda store: store.maintenance.send(keys, "cold"))
        self.known.cold.update(keys)

    def delete(self) -> None:
        keys = self._rng.sample(sorted(self.known.must), min(3, len(self.known.must)))

        def change(store: Store) -> None:
            for key in keys:
                # An index that was made without the tier does not know what lies there.
                if store.delete(key):
                    self.known.must.discard(key)
                    self.known.gone.add(key)

        self.changed(change)

    def collect(self) -> None:
        for _ in range(2):
            self.changed(lambda store: store.maintenance.gc())  # type: ignore[arg-type, return-value]

    def keep_index(self) -> None:
        path = self._folder / f"index-{next(self._numbers)}"
        shutil.copy(self.home / "index.sqlite", path)
        self._indexes.append(path)

    def restore_index(self) -> None:
        if self._indexes:
            self.lose_wal()
            shutil.copy(self._rng.choice(self._indexes), self.home / "index.sqlite")
            if not self.is_away:
                self._complete()

    def lose_index(self) -> None:
        for path in self.home.glob("index.sqlite*"):
            path.unlink()

    def lose_wal(self) -> None:
        for path in self.home.glob("index.sqlite-*"):
            path.unlink()

    def keep_home(self) -> None:
        path = self._folder / f"home-{next(self._numbers)}"
        shutil.copytree(self.home, path)
        self._homes.append((path, self.known.copy()))

    def restore_home(self) -> None:
        if not self._homes or self.is_away:
            return
        saved, then = self._rng.choice(self._homes)
        shutil.rmtree(self.home)
        shutil.copytree(saved, self.home)
        now = self.known
        # What was deleted since is deleted if somebody still knows; what was put since is there if
        # it lies on the tier, and nowhere else.
        self.known = Known(
            must={k for k in now.must if k in then.must or k in now.cold},
            cold=set(now.cold),
            gone=now.gone & then.gone,
        )
        self._indexes.clear()
        self._complete()

    def _complete(self) -> None:
        """An index that was made without the tier says so itself until it is made once more."""
        with self.open() as store:
            incomplete = store.maintenance.gc(dry_run=True).unreachable
        if incomplete:
            Store.rebuild(self.home)

    def take_away(self) -> None:
        if not self.is_away:
            self.tier.rename(self._folder / "away")
            self.is_away = True

    def bring_back(self) -> None:
        if self.is_away:
            shutil.rmtree(self.tier, ignore_errors=True)  # it is made anew by who looks for it
            (self._folder / "away").rename(self.tier)
            self.is_away = False
            self._complete()

    def force(self) -> None:
        """Make the index from what can be reached."""
        Store.rebuild(self.home, force=True)

    def copy_and_adopt(self) -> None:
        """The copy goes on; the first home is refused."""
        if self.is_away:
            return
        copy = self._folder / f"copy-{next(self._numbers)}"
        shutil.copytree(self.home, copy)
        Store.adopt(copy)
        try:
            with Store(self.home) as store:
                store.put("refused", b"")
        except DeepSeekError as error:
            assert error.remedy
        else:
            raise AssertionError("two homes have one store")
        shutil.rmtree(self.home)
        self.home = copy

    def copy_and_return(self) -> None:
        """The copy writes to the tier; then the first home goes on."""
        if self.is_away:
            return
        copy = self._folder / f"copy-{next(self._numbers)}"
        shutil.copytree(self.home, copy)
        first, self.home = self.home, copy
        keys = [f"k{next(self._numbers)}" for _ in range(5)]

        def change(store: Store) -> None:
            for key in keys:
                store.put(key, data_of(key))
            store.maintenance.send(keys, "cold")
            store.maintenance.gc()

        self.changed(change)
        self.home = first
        self.known.must.update(keys)
        self.known.cold.update(keys)
        Store.adopt(self.home)

    def look_into_a_copy(self) -> None:
        copy = self._folder / f"copy-{next(self._numbers)}"
        shutil.copytree(self.home, copy)
        try:
            with Store(copy, read_only=self._rng.random() < 0.5) as store:
                store.maintenance.fsck()
        except DeepSeekError as error:
            assert error.remedy

    def check(self) -> None:
        """All that must be there is, nothing is other than it was put, nothing comes back."""
        with self.open() as store:
            listed = {info.key for info in store.list()}
            for key in sorted(listed | self.known.must):
                self._check_key(store, key)
            back = listed & self.known.gone
            assert not back, f"came back: {sorted(back)}"

    def _check_key(self, store: Store, key: str) -> None:
        try:
            data = bytes(store.get(key))
        except errors.ObjectMissing:
            assert self.is_away, f"{key} is missing"
            assert key in self.known.cold, f"{key} is missing"
        except DeepSeekError as error:
            assert self.is_away or key not in self.known.must, f"{key}: {error}"
        else:
            assert data == data_of(key), f"{key} has other bytes"


def run_sequences(folder: Path, count: int, *, seed: int = 0, steps: int = 14) -> int:
    """So many stores, one after the other; how many actions that were.

    Raises:
        AssertionError: something was lost, wrong, or came back; it tells what was done before.
    """
    done = 0
    for number in range(seed, seed + count):
        site = folder / f"operator-{number}"
        site.mkdir()
        sequence = Sequence(site, number)
        try:
            sequence.run(steps)
        except BaseException as error:
            error.add_note(f"seed {number}: " + "\n".join(sequence.log))
            raise
        done += len(sequence.log)
        shutil.rmtree(site)
    return done
