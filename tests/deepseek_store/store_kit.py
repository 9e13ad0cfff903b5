"""What tests of whole stores share: small stores over tiers of folders."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from deepseek_store import Policy
from deepseek_store.home.config import StoreConfig
from deepseek_store.index.catalog import Catalog
from deepseek_store.index.opening import INDEX_FILE
from deepseek_store.index.rows import Batch
from deepseek_store.index.sqlite import SqliteIndex

SMALL = Policy(
    warm_fragment_nbytes=64 << 10,
    cold_fragment_nbytes=64 << 10,
    sizing=64 << 10,
    grace_s=0.0,
    prefetch=False,
    codes={"hot": "auto", "warm": "rs(4,2)", "cold": "lrc(6,2,2)"},
)


def _take(_batch: Batch) -> None:
    """Let all changes pass."""


class WatchedIndex(SqliteIndex):
    """The index of a home; `before` sees each change before it is made, and may raise."""

    def __init__(self, home: Path) -> None:
        super().__init__(home / INDEX_FILE, StoreConfig.load(home).store_id)
        self.before: Callable[[Batch], None] = _take

    def commit(self, batch: Batch, catalog: Catalog | None = None, *, noted: bool = True) -> int:
        self.before(batch)
        return super().commit(batch, catalog, noted=noted)

    def let_pass(self) -> None:
        self.before = _take


def data_of(seed: object, nbytes: int = 20_000) -> bytes:
    return random.Random(str(seed)).randbytes(nbytes)


def urls(folder: Path, *, domains: int = 12) -> dict[str, list[str]]:
    """Tiers of folders below this one."""
    found = {}
    for name in ("warm", "cold"):
        (folder / name).mkdir(exist_ok=True)
        found[name] = [f"{(folder / name).as_uri()}?domains={domains}"]
    return found


def damage_index(path: Path, how: str) -> None:
    """Let the file of an index be missing, empty, truncated, foreign, or noise."""
    if how == "truncated":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        return
    path.unlink()
    if how == "foreign":
        with closing(sqlite3.connect(path)) as other, other:
            other.execute("CREATE TABLE phones (name TEXT)")
    elif how != "missing":
        path.write_bytes({"empty": b"", "noise": data_of("noise")}[how])


def fragment_file(folder: Path, stripe: int, index: int) -> Path:
    """The file of a fragment, in whichever domain."""
    (found,) = folder.rglob(f"stripes/{stripe:016x}/{index:03d}*")
    return found
