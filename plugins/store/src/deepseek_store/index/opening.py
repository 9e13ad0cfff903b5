"""Opens the index that a store's configuration names."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from deepseek_core import errors
from deepseek_store.errors import ReadOnlyStore
from deepseek_store.index.base import Index

INDEX_FILE: Final = "index.sqlite"


def open_index(
    url: str,
    home: Path,
    store_id: bytes,
    *,
    create: bool = False,
    read_only: ReadOnlyStore | None = None,
) -> Index:
    """The index in the store's home for `sqlite`, or that of a `postgresql://` URL.

    Raises:
        ConfigError: another URL.
        ForeignStore: it is missing, damaged, something else, or of another store or format.
        IndexUnavailable: the database does not answer.
    """
    if url == "sqlite":
        from deepseek_store.index.sqlite import SqliteIndex

        return SqliteIndex(home / INDEX_FILE, store_id, create=create, read_only=read_only)
    if url.startswith(("postgresql://", "postgres://")):
        from deepseek_store.index.postgres import PostgresIndex

        return PostgresIndex(url, store_id, create=create, read_only=read_only)
    raise errors.ConfigError(
        "an index is `sqlite` or a URL that begins with postgresql://",
        remedy='set index = "sqlite" in the configuration of the store',
    )
