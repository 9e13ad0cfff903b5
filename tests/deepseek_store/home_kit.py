"""What an operator does to homes: copies, restores, and takes things away; used by test_home_*."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from store_kit import data_of

from deepseek_core import DeepSeekError
from deepseek_store import Policy, Store

POLICY = Policy(
    warm_fragment_nbytes=256 << 10,
    cold_fragment_nbytes=128 << 10,
    codes={"hot": "auto", "warm": "auto", "cold": "rs(4,2)"},
    prefetch=False,
    grace_s=0.0,
)


class Operator:
    """A home with a cold tier, and backups of both."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home, self.cold = folder / "home", folder / "cold"
        self.kept: list[str] = []

    def init(self, **options: Any) -> Store:
        settings = {"cold": [f"{self.cold.as_uri()}?domains=8"], "policy": POLICY}
        return Store.init(self.home, **(settings | options))

    def open(self, home: Path | None = None, **options: Any) -> Store:
        return Store(home or self.home, **options)

    def put(self, store: Store, prefix: str, count: int, *, tier: str = "hot") -> list[str]:
        """Put objects, and remember that they were acknowledged."""
        keys = [f"{prefix}/{number}" for number in range(count)]
        for key in keys:
            store.put(key, data_of(key))
        if tier != "hot":
            store.maintenance.send(keys, tier)
        self.kept += keys
        return keys

    def lost(self, store: Store, keys: Iterable[str] | None = None) -> dict[str, str]:
        """Objects that are not what was put, and what is wrong with them."""
        found = {}
        for key in self.kept if keys is None else keys:
            try:
                if bytes(store.get(key)) != data_of(key):
                    found[key] = "other bytes"
            except DeepSeekError as error:
                found[key] = str(error)
        return found

    def save(self, path: Path, name: str) -> Path:
        """Copy a file or folder aside."""
        target = self.folder / name
        _copy(path, target)
        return target

    def restore(self, saved: Path, path: Path) -> None:
        """Put a copy in the place of what is there."""
        if path.is_dir():
            shutil.rmtree(path)
        else:
            for each in path.parent.glob(f"{path.name}*"):
                each.unlink()
        _copy(saved, path)


def refused(call: Callable[[], object]) -> DeepSeekError:
    """The error with which something was refused."""
    try:
        call()
    except DeepSeekError as error:
        return error
    raise AssertionError("it was not refused")


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copy2(source, target)
