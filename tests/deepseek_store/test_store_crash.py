"""A whole store that loses power: at its disk's, its index's and its tiers' operations."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from store_crash import Cutter, crash_runs
from store_workload import Lost

_MEMORY = Path("/dev/shm")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """In memory, where there is such a folder: the disk of these tests is simulated anyway."""
    if not _MEMORY.is_dir():
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=_MEMORY) as made:
        yield Path(made)


def test_no_power_cut_loses_what_was_acknowledged_or_leaves_an_orphan(folder: Path) -> None:
    cuts = crash_runs(folder, 1600)
    assert sum(cuts.values()) >= 1600
    operations = {"create", "write_at", "sync", "sync_dir", "rename", "remove", "truncate"}
    assert set(cuts) == operations | {"commit", "tier", "nested", "rebuilt"}


def test_nor_does_one_of_a_store_that_is_shared(folder: Path) -> None:
    cuts = crash_runs(folder, 400, seed=10_000, shared=True)
    assert sum(cuts.values()) >= 400
    assert cuts["nested"] >= 20


@pytest.mark.parametrize("flaw", ["lies", "forgets"])
def test_a_disk_or_an_index_that_breaks_its_promise_is_found_out(folder: Path, flaw: str) -> None:
    found = 0
    for seed in range(3):
        try:
            Cutter(folder, seed, **{flaw: True}).run(60)
        except Lost:
            found += 1
        except Exception as error:  # noqa: BLE001 - a store that does not even open is one, too
            found += bool(error)
    assert found == 3
