"""A store's home over a disk, an index and tiers of which a power cut leaves some part."""

from __future__ import annotations

import os
import random
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import attrs
from sim_disk import SimDisk

from deepseek_core import Tier
from deepseek_store import Policy, Store
from deepseek_store.home.config import FILE, LOG_FOLDER, StoreConfig, TierConfig
from deepseek_store.home.numbers import FILE as NUMBERS
from deepseek_store.home.numbers import Numbers
from deepseek_store.home.owner_epochs import FILE as OWNER
from deepseek_store.home.owner_epochs import Owner
from deepseek_store.home.pins_and_snapshots import FILE as NOTES
from deepseek_store.home.tier_set import mark_tiers
from deepseek_store.index.base import Index
from deepseek_store.index.opening import INDEX_FILE
from deepseek_store.index.port import Transaction
from deepseek_store.index.sqlite import SqliteDatabase
from deepseek_store.log.reserve import FILE as RESERVE
from deepseek_store.log.reserve import Reserve
from deepseek_store.memory_tier import open_memory

T = TypeVar("T")

POLICY = Policy(
    warm_fragment_nbytes=96 << 10,
    cold_fragment_nbytes=64 << 10,
    codes={"hot": "auto", "warm": "rs(2,1)", "cold": "lrc(4,2,1)"},
    sizing=64 << 10,
    grace_s=0.0,
    min_residence_s=0.0,
    prefetch=False,
    learn=False,
)
STORE_ID = b"store of 16 byte"
_DOMAINS = {"warm": 4, "cold": 8}
_KEPT = (NOTES, NUMBERS, OWNER)  # written and synced in one step each
_ids = iter(range(1 << 62))
_CONFIGS: list[str] = []  # store.json; saving it again would be synced each time


class WatchedDatabase(SqliteDatabase):
    """SQLite's file, of which every committed state is kept until a later one is durable."""

    def __init__(self, site: Site) -> None:
        super().__init__(site.home / INDEX_FILE)
        self._site = site

    def write(self, work: Callable[[Transaction, bool], T], *, durable: bool = False) -> T:
        with self._site.lock:
            result = super().write(work)
            assert self._writer is not None
            if not self._site.keeps_states:
                return result
            # As a file without a WAL; with synchronous=NORMAL a power cut goes back to any of them.
            state = self._writer.serialize()
            durable = durable and not self._site.forgets
            self._site.index_states = [*([] if durable else self._site.index_states[-6:]), state]
            self._site.cut("commit")
            return result


class SimStore(Store):
    """A store over the disk and the index of a site."""

    def __init__(self, site: Site, **options: Any) -> None:
        database = WatchedDatabase(site)
        index = Index(database, StoreConfig.load(site.home).store_id)
        super().__init__(site.home, disk=site.disk, index=index, tiers=site.open_tier, **options)


@attrs.define(eq=False, kw_only=True)
class Image:
    """What is left after a power cut: of the log, of the home and its index, and of the tiers."""

    disk: SimDisk
    index: bytes
    files: Mapping[str, bytes]
    tiers: Mapping[str, Mapping[str, bytes]]


class Site:
    """A home with its disk, index and tiers, as one machine has them.

    For tests of the tests: `lies` of a disk that only says that it synced; `forgets` of an index
    of which a power cut may take commits that were durable.
    """

    def __init__(
        self, home: Path, image: Image | None = None, *, lies: bool = False, forgets: bool = False
    ) -> None:
        self.home, self.name = home, f"crash-{next(_ids)}"
        self.disk = SimDisk(lies=lies) if image is None else image.disk
        self.forgets = forgets
        self.keeps_states = True
        """Whether its power may fail: False where nobody asks for an `image` any more."""
        self.index_states: list[bytes] = []
        self.lock = threading.RLock()
        self.on_cut: Callable[[str], None] | None = None
        self._make_home()
        if image is None:
            Index(WatchedDatabase(self), STORE_ID, create=True).close()
            mark_tiers(StoreConfig.load(home), open_memory)
        else:
            (home / INDEX_FILE).write_bytes(image.index)
            for name, data in image.files.items():
                (home / name).write_bytes(data)
            if OWNER in image.files:  # the same home on the same machine
                Owner(home, STORE_ID, Numbers(home)).settle()
            self.index_states = [image.index]
            for tier, objects in image.tiers.items():
                with self._tier(tier) as opened:
                    for key, data in objects.items():
                        opened.put_if_absent(key, data)

    def open(self, **options: Any) -> SimStore:
        """Open the store."""
        return SimStore(self, **options)

    def open_tier(self, url: str) -> Tier:
        """A tier of which every operation is atomic, and a moment for the power to fail."""
        tier = open_memory(url)
        for name in ("put_if_absent", "delete"):
            setattr(tier, name, self._watched(getattr(tier, name)))
        return tier

    def cut(self, operation: str) -> None:
        """A moment at which the power may fail."""
        with self.lock:
            if self.on_cut is not None:
                self.on_cut(operation)

    def image(self, rng: random.Random) -> Image:
        """What may be left of it right now."""
        tiers = {}
        for name in _DOMAINS:
            with self._tier(name) as tier:
                tiers[name] = {stat.key: tier.get(stat.key) for stat in tier.list()}
        kept = [path for name in _KEPT if (path := self.home / name).exists()]
        return Image(
            disk=self.disk.crash(rng),
            index=rng.choice(self.index_states),
            files={path.name: path.read_bytes() for path in kept},
            tiers=tiers,
        )

    def objects(self) -> set[tuple[int, str]]:
        """All that lies on the tiers."""
        found = set()
        for number, name in enumerate(_DOMAINS):
            with self._tier(name) as tier:
                keys = (stat.key for stat in tier.list())
                found |= {(number, key) for key in keys if not key.startswith("stores/")}
        return found

    def write_log(self) -> None:
        """Put its disk's files where a store without a site looks for them."""
        folder = self.home / LOG_FOLDER
        folder.mkdir()
        for name in self.disk.list():
            (folder / name).write_bytes(self.disk.view(name))

    def remove(self) -> None:
        """Let go of all."""
        for name in _DOMAINS:
            with self._tier(name) as tier:
                tier.clear()
        shutil.rmtree(self.home)

    def _make_home(self) -> None:
        self.home.mkdir(parents=True)
        tiers = [TierConfig(name=name, url=self._url(name)) for name in _DOMAINS]
        config = StoreConfig(store_id=STORE_ID, tiers=tuple(tiers), policy=POLICY)
        if not _CONFIGS:
            config.save(self.home)
            _CONFIGS.append((self.home / FILE).read_text("utf-8").replace(self.name, "{name}"))
        (self.home / FILE).write_text(_CONFIGS[0].replace("{name}", self.name), "utf-8")
        # With a hole: to fill as much memory with zeros at each cut takes half of the time.
        (self.home / RESERVE).touch()
        os.truncate(self.home / RESERVE, Reserve(self.home).nbytes)

    def _url(self, name: str) -> str:
        return f"memory://{self.name}-{name}?domains={_DOMAINS[name]}"

    @contextmanager
    def _tier(self, name: str) -> Iterator[Any]:
        tier = open_memory(self._url(name))
        try:
            yield tier
        finally:
            tier.close()

    def _watched(self, call: Callable[..., T]) -> Callable[..., T]:
        def watched(*arguments: Any) -> T:
            with self.lock:
                result = call(*arguments)
                self.cut("tier")
                return result

        return watched

    def watch_disk(self) -> None:
        """Let the power fail at every operation of its disk, one at a time."""
        self.disk.before = self.cut
        for name in ("create", "write_at", "sync", "sync_dir", "truncate", "rename", "remove"):
            if name not in vars(self.disk):
                setattr(self.disk, name, self._alone(getattr(self.disk, name)))

    def _alone(self, call: Callable[..., T]) -> Callable[..., T]:
        def alone(*arguments: Any) -> T:
            with self.lock:
                return call(*arguments)

        return alone
