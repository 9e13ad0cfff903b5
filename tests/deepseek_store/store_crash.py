"""A whole store over a disk that loses power, at every operation of disk, index and tiers.

At each cut: what may be left is opened, and must equal the store after one of the operations that
were begun, none earlier than the last one that was acknowledged as durable. Then it is collected
and must equal that still, without anything that nobody needs.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

from care_kit import contents
from store_site import Image, Site
from store_workload import Content, Ledger, Lost, Workload

from deepseek_store import Store
from deepseek_store.index.opening import INDEX_FILE
from deepseek_store.log.segment import active_name, sealed_name
from deepseek_store.move.census import take_census
from deepseek_store.read.access_rates import AccessRates

_MOST_NESTED = 6
_REBUILT_SHARE = 0.04


def check(
    image: Image,
    home: Path,
    ledger: Ledger,
    *,
    shared: bool,
    again: bool = False,
    on_cut: Callable[[Site], None] | None = None,
) -> Content:
    """Open what is left, and hold it against the ledger, before and after a collection.

    `again`: write to it, too, and open it once more. `on_cut` is called at each operation.

    Raises:
        Lost: it is not as it must be.
    """
    site = Site(home, image)
    site.keeps_states = on_cut is not None
    try:
        if on_cut is not None:
            site.on_cut = lambda operation: on_cut(site)
            site.watch_disk()
        with site.open(shared=shared) as store:
            wanted = check_store(store, site, ledger)
            if again:
                store.put("later", b"later")
        if again:
            with site.open(shared=shared) as store:
                if contents(store) != {**wanted, "later": b"later"}:
                    raise Lost("it is other when it is opened again")
        return wanted
    finally:
        site.remove()


def check_rebuilt(image: Image, home: Path, ledger: Ledger) -> None:
    """The same without any index: it is rebuilt from the log and the tiers."""
    site = Site(home, image)
    try:
        site.write_log()
        (home / INDEX_FILE).unlink()
        Store.rebuild(home, tiers=site.open_tier)
        with Store(home, tiers=site.open_tier) as store:
            check_store(store, site, ledger)
    finally:
        site.remove()


def check_store(store: Store, site: Site, ledger: Ledger) -> Content:
    """All is there, and a collection changes nothing and leaves nothing behind."""
    wanted = ledger.states[ledger.match(contents(store))]
    _check_snapshots(store, ledger)
    store.maintenance.gc()
    if contents(store) != wanted:
        raise Lost("a collection changed what is there")
    _check_snapshots(store, ledger)
    check_lean(store, site)
    return wanted


def check_lean(store: Store, site: Site) -> None:
    """Nothing is stored that nobody needs: no file, fragment or row."""
    state = store.parts.state
    store.parts.committer.flush()
    active = store.parts.journal.active
    files = {sealed_name(row.id) for row in state.segments.values() if row.local}
    files -= {sealed_name(active or 0)}
    extra = set(store.parts.disk.list()) - files - {active_name(active or 0)}
    if extra:
        raise Lost(f"files that nobody knows: {sorted(extra)}")
    known = {(f.tier, f.key) for s in state.stripes.values() for f in s.fragments if f.key}
    if known != site.objects():
        raise Lost(f"fragments: {site.objects() ^ known} are only on one side")
    census = take_census(state, AccessRates(1.0))
    stripes = {row.stripe for row in state.segments.values() if _lives(row.id, census)}
    for row in state.segments.values():
        if not _lives(row.id, census) and row.id != active and row.stripe not in stripes:
            raise Lost(f"segment {row.id} is {row.state}, and nobody needs it")


def _lives(segment: int, census: object) -> bool:
    live, records = census.live_nbytes, census.records  # type: ignore[attr-defined]
    return bool(live.get(segment) or records.get(segment))


def _check_snapshots(store: Store, ledger: Ledger) -> None:
    for name, content in ledger.snapshots.items():
        found = {key: bytes(store.get(key, snapshot=name)) for key in content}
        if found != content:
            raise Lost(f"snapshot {name} is not what it was")


class Cutter:
    """Cuts the power of a workload at some of its operations and looks at what is left.

    Every `stride`-th operation is a cut, from a random one on. Nothing is opened in the
    operation itself: other threads wait for it.
    """

    def __init__(
        self, folder: Path, seed: int, *, shared: bool = False, stride: int = 3, **flaws: bool
    ) -> None:
        self._folder, self._shared, self._stride, self._flaws = folder, shared, stride, flaws
        self._rng = random.Random(seed)
        self.error: Exception | None = None
        self._until = self._rng.randrange(stride)
        self._numbers = iter(range(1 << 62))
        self.cuts: dict[str, int] = {}
        self.seed = seed

    def run(self, steps: int) -> None:
        """A workload of so many steps; a crash on the way is gone on from."""
        ledger = Ledger()
        work = self._begin(Site(self._next(), **self._flaws), ledger)
        for number in range(steps):
            try:
                work.step()
                if self.error is not None:
                    raise self.error
            except BaseException as error:
                error.add_note(f"seed {self.seed}, step {number}")
                raise
            if self._rng.random() < 0.06:
                work = self._crash(work)
        self._end(work)

    def _begin(self, site: Site, ledger: Ledger) -> Workload:
        work = Workload(site, self._rng.randrange(1 << 30), ledger, shared=self._shared)
        site.on_cut = lambda operation: self._cut(operation, work)
        return work

    def _cut(self, operation: str, work: Workload) -> None:
        self._until -= 1
        if self._until >= 0 or self.error is not None:
            return
        self._until = self._rng.randrange(2 * self._stride - 1)
        try:
            self._look(operation, work)
        except Exception as error:  # noqa: BLE001 - the store's own threads would swallow it
            error.add_note(f"after {operation}")
            self.error = error

    def _look(self, operation: str, work: Workload) -> None:
        """Hold what is left right now against the ledger."""
        image = work.site.image(self._rng)
        self.cuts[operation] = self.cuts.get(operation, 0) + 1
        if self._rng.random() < _REBUILT_SHARE:
            self.cuts["rebuilt"] = self.cuts.get("rebuilt", 0) + 1
            check_rebuilt(work.site.image(self._rng), self._next(), work.ledger)
        images: list[Image] = []
        collect = (lambda site: images.append(site.image(self._rng))) if self._nests() else None
        again = collect is None and self._rng.random() < 0.1
        found = check(
            image, self._next(), work.ledger, shared=self._shared, again=again, on_cut=collect
        )
        # A power cut while the store opens or collects after a power cut.
        ledger = Ledger(states=[found], snapshots=work.ledger.snapshots)
        for second in self._rng.sample(images, min(len(images), _MOST_NESTED)):
            self.cuts["nested"] = self.cuts.get("nested", 0) + 1
            check(second, self._next(), ledger, shared=self._shared)

    def _nests(self) -> bool:
        return self._rng.random() < 0.05

    def _crash(self, work: Workload) -> Workload:
        """Lose the power now, and go on with what is left."""
        image = work.site.image(self._rng)
        site = Site(self._next(), image, **self._flaws)
        ledger = Ledger(snapshots=work.ledger.snapshots)
        with site.open(shared=self._shared) as store:
            ledger.states = [work.ledger.states[work.ledger.match(contents(store))]]
        self._end(work)
        return self._begin(site, ledger)

    def _end(self, work: Workload) -> None:
        work.site.on_cut = None
        work.store.close()
        work.site.remove()

    def _next(self) -> Path:
        return self._folder / f"{self.seed}-{next(self._numbers)}"


def crash_runs(folder: Path, cuts: int, seed: int = 0, *, shared: bool = False) -> dict[str, int]:
    """Workloads, one after the other, until there were so many cuts; how many of each kind."""
    done: dict[str, int] = {}
    while sum(done.values()) < cuts:
        cutter = Cutter(folder, seed, shared=shared)
        cutter.run(60)
        for kind, count in cutter.cuts.items():
            done[kind] = done.get(kind, 0) + count
        seed += 1
    return done
