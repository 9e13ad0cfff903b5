"""Where an index of a test lies; child processes open the same one from it."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepseek_store.errors import GenerationMismatch
from deepseek_store.index.base import Index
from deepseek_store.index.catalog import Catalog
from deepseek_store.index.opening import open_index
from deepseek_store.index.rows import Batch, Version

STORE = bytes(range(16))
_FORK = multiprocessing.get_context("fork")


@dataclass(frozen=True)
class IndexPlace:
    """`url` as `open_index` takes it, and a folder for SQLite's file."""

    url: str
    home: Path

    def open(self, *, create: bool = True, store: bytes = STORE) -> Index:
        """The index there."""
        return open_index(self.url, self.home, store, create=create)


def in_processes(work: Callable[..., None], arguments: list[tuple[Any, ...]]) -> None:
    """Run `work` once for each of the arguments, each in a process; all have to end well."""
    children = [_FORK.Process(target=work, args=given, daemon=True) for given in arguments]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
        if child.exitcode is None:
            child.kill()
            child.join()
    assert [child.exitcode for child in children] == [0] * len(children)


def increment(index: Index, catalog: Catalog, seen: int, writer: int) -> int:
    """Add 1 to the number in the object `n` by compare-and-set; the sequence number seen."""
    while True:
        changes = index.changes_since(seen)
        catalog.catch_up(changes)
        seen = changes.seq
        now = catalog.get("n")
        generation, number = (now.generation, int(now.meta)) if now else (0, 0)
        more = Version(key="n", generation=generation + 1, writer=writer, meta=b"%d" % (number + 1))
        try:
            index.commit(Batch(versions=[more], expect={"n": generation}), catalog)
        except GenerationMismatch as mismatch:
            assert mismatch.found > generation
        else:
            return seen
