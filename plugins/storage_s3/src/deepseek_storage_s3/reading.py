"""Requests that read, as obstore makes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from obstore import GetOptions, ObjectMeta
    from obstore.store import S3Store


class Incomplete(OSError):
    """The server sent fewer bytes than it announced; the request is sent again."""


def read_object(store: S3Store, path: str, start: int, nbytes: int | None) -> bytes:
    """The bytes of a range, which ends where the object ends.

    Raises:
        Incomplete: fewer came than the object has there.
    """
    import obstore

    wanted: GetOptions = {}
    if nbytes is not None:
        wanted = {"range": (start, start + nbytes)}
    elif start:
        wanted = {"range": {"offset": start}}
    found = obstore.get(store, path, options=wanted)
    content = found.bytes().to_bytes()
    rest = max(0, found.meta["size"] - start)
    if len(content) != (rest if nbytes is None else min(nbytes, rest)):
        raise Incomplete(f"{len(content)} bytes of {rest}")
    return content


def head(store: S3Store, path: str) -> ObjectMeta:
    """What the server knows of an object."""
    import obstore

    return obstore.head(store, path)


def list_objects(store: S3Store, folder: str) -> list[ObjectMeta]:
    """All objects below a folder (empty, or with a slash at its end), page by page."""
    import obstore

    pages = obstore.list(store, folder.removesuffix("/") or None, chunk_size=1000)
    return [meta for page in pages for meta in page]


def list_some(store: S3Store, folder: str) -> None:
    """Ask for one page below a folder: the bucket is there if that succeeds."""
    import obstore

    next(iter(obstore.list(store, folder.removesuffix("/") or None, chunk_size=1)), None)
