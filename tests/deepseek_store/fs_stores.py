"""Stores whose objects lie on a tier as soon as they are written, for tests of `ds://`."""

import itertools
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from deepseek_store import Policy, Store
from deepseek_store.fs.filesystem import DeepSeekFileSystem

# Nothing is kept in memory, and nothing stays in the log: what is read comes from the tier.
FAR = Policy(
    landing="cold",
    cache_nbytes=0,
    prefetch=False,
    sizing=64 << 10,
    warm_fragment_nbytes=1 << 20,
    cold_fragment_nbytes=64 << 10,
    codes={"hot": "auto", "warm": "auto", "cold": "replication(2)"},
)
KINDS = ("memory", "local", "s3")
_numbers = itertools.count()


@contextmanager
def quick_folder() -> Iterator[Path]:
    """A folder in memory, if there is one: hundreds of small writes need not wait for a disk."""
    memory = Path("/dev/shm")
    usable = memory.is_dir() and os.access(memory, os.W_OK)
    with tempfile.TemporaryDirectory(
        prefix="ds-fs-", dir=memory if usable else None, ignore_cleanup_errors=True
    ) as folder:
        yield Path(folder)


@contextmanager
def new_home(**options: Any) -> Iterator[str]:
    """The home of a new store without tiers, in a quick folder, and closed in the end."""
    with quick_folder() as folder:
        home = str(folder / "store")
        Store.init(home, **options).close()
        yield home
        DeepSeekFileSystem(home).close()


def tier_url(kind: str, request: pytest.FixtureRequest, folder: Path) -> str:
    """The URL of an empty tier with two failure domains, or of a bucket."""
    name = f"fs-{next(_numbers)}"
    if kind == "memory":
        return f"memory://{name}?domains=2"
    if kind == "local":
        folder = folder / name
        folder.mkdir()
        return f"{folder.as_uri()}?domains=a,b"
    server = request.getfixturevalue("s3_server")
    return str(server.url(server.make_bucket(), name))


def make_home(kind: str, request: pytest.FixtureRequest, folder: Path) -> Path:
    """The home of a new store over such a tier."""
    home = folder / "store"
    Store.init(home, cold=[tier_url(kind, request, folder)], policy=_policy(kind)).close()
    return home


def _policy(kind: str) -> Policy:
    if kind != "s3":
        return FAR
    # The server keeps its own copies: one fragment is one object.
    content = FAR.to_json()
    content["codes"] = {"hot": "auto", "warm": "auto", "cold": "replication(1)"}
    return Policy.from_json(content)
