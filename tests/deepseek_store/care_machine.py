"""A store and its twin, a dict: whatever is done in whatever order, every read equals the twin."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from care_kit import Site, contents
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from deepseek_store import Store
from deepseek_store.errors import GenerationMismatch

KEYS = st.sampled_from([f"{folder}/{name}" for folder in "ab" for name in "12345"])
SIZES = st.sampled_from([0, 1, 300, 5000, 20_000, 70_000, 150_000])
NAMES = st.sampled_from(["one", "two"])


class StoreMachine(RuleBasedStateMachine):
    """Segments and fragments of 64 KiB, shards of 64 KiB, twelve domains, no grace."""

    store: Store

    def __init__(self) -> None:
        super().__init__()
        self._folder = Path(tempfile.mkdtemp(prefix="ds-care-"))
        self.site = Site(self._folder, sizing=64 << 10, garbage_share=0.2)
        self.twin: dict[str, bytes] = {}
        self.snapshots: dict[str, dict[str, bytes]] = {}
        self.pins: dict[str, str] = {}
        self._written = 0

    @initialize()
    def begin(self) -> None:
        self.store = self.site.init()

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.check_all()
            self.store.close()
        self.site.forget()
        shutil.rmtree(self._folder)

    @rule(key=KEYS, nbytes=SIZES)
    def put(self, key: str, nbytes: int) -> None:
        self._written += 1
        data = (self._written.to_bytes(4, "big") * (nbytes // 4 + 1))[:nbytes]
        self.store.put(key, data, durable=nbytes % 2 == 0)
        self.twin[key] = data

    @rule(key=KEYS)
    def delete(self, key: str) -> None:
        assert self.store.delete(key) == (self.twin.pop(key, None) is not None)

    @rule(key=KEYS)
    def put_if_new(self, key: str) -> None:
        try:
            self.store.put(key, b"first", if_generation=0)
        except GenerationMismatch:
            assert key in self.twin
        else:
            assert key not in self.twin
            self.twin[key] = b"first"

    @precondition(lambda self: self.twin)
    @rule(data=st.data(), other=KEYS, remove=st.booleans())
    def link(self, data: Any, other: str, remove: bool) -> None:
        source = data.draw(st.sampled_from(sorted(self.twin)))
        if remove:
            self.store.rename(source, other)
            self.twin[other] = self.twin.pop(source)
        else:
            self.store.copy(source, other)
            self.twin[other] = self.twin[source]

    @rule(name=NAMES)
    def snapshot(self, name: str) -> None:
        if name in self.snapshots:
            assert self.store.drop_snapshot(name)
            del self.snapshots[name]
        else:
            self.store.snapshot(name)
            self.snapshots[name] = dict(self.twin)

    @rule(folder=st.sampled_from("ab"), tier=st.sampled_from(["hot", "cold", None]))
    def pin(self, folder: str, tier: str | None) -> None:
        for key in self.twin:
            if key.startswith(folder):
                self.pins.pop(key, None)
                if tier is not None:
                    self.pins[key] = tier
        if tier is None:
            self.store.maintenance.unpin(folder)
        else:
            self.store.maintenance.pin(folder, tier)

    @rule()
    def adopt(self) -> None:
        self.store.maintenance.apply(self.store.maintenance.plan(flush=True))

    @precondition(lambda self: self.twin)
    @rule(data=st.data(), tier=st.sampled_from(["hot", "warm", "cold"]))
    def send(self, data: Any, tier: str) -> None:
        keys = data.draw(st.lists(st.sampled_from(sorted(self.twin)), unique=True, min_size=1))
        self.store.maintenance.send(keys, tier)

    @rule()
    def seal(self) -> None:
        self.store.parts.journal.seal()

    @rule(data=st.data())
    def drop(self, data: Any) -> None:
        """Let go of the log's copies of some segments that stripes hold."""
        rows = self.store.parts.state.segments.values()
        both = sorted(row.id for row in rows if row.local and row.stripe is not None)
        if both:
            self.store.parts.mover._drop(data.draw(st.lists(st.sampled_from(both), unique=True)))

    @rule()
    def gc(self) -> None:
        self.store.maintenance.gc()

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = self.site.open()

    @rule(key=KEYS)
    def read(self, key: str) -> None:
        assert self.store.exists(key) == (key in self.twin)
        if key in self.twin:
            assert bytes(self.store.get(key)) == self.twin[key]

    @invariant()
    def as_many(self) -> None:
        if hasattr(self, "store"):
            assert len(self.store) == len(self.twin)

    def check_all(self) -> None:
        assert contents(self.store) == self.twin
        for name, members in self.snapshots.items():
            assert contents(self.store, name) == members
        report = self.store.maintenance.fsck(deep=True)
        assert not [each for each in report.findings if each.severity != "note"], report.sentences()
