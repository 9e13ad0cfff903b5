"""Brings files, folders and links of this machine into a store, several at a time."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Self
from urllib.parse import unquote, urlsplit

import attrs

from deepseek_store.at_once import AtOnce
from deepseek_store.cli.byte_progress import ByteProgress
from deepseek_store.cli.local.file_facts import Kept, facts_of
from deepseek_store.cli.local.walk import (
    FOLDER_MARK,
    Identity,
    WalkEntry,
    folders_of_store,
    kind_of_other,
)
from deepseek_store.cli.partial_failures import Troubles
from deepseek_store.errors import KeyRefused

if TYPE_CHECKING:
    from deepseek_store.store import Store
    from deepseek_store.write.receipt import Receipt

_CHUNK_NBYTES: Final = 512 << 10
_SMALL_NBYTES: Final = 1 << 20  # read whole, and flushed together with others at the end
_TRIES: Final = 3
_THREADS: Final = 4  # the log is one; more would only hold more pieces in memory


class ChangedMeanwhile(Exception):
    """The file was written to while it was read."""


@attrs.frozen(kw_only=True, slots=True)
class UploadItem:
    """One thing to be stored; `name` is what people know it by."""

    key: str
    file: str
    name: str
    kind: Literal["file", "folder", "link"] = "file"
    nbytes: int = 0
    follow: bool = False
    expect: int | None = None


def upload_of(entry: WalkEntry, prefix: str, *, top: str, follow: bool) -> UploadItem:
    """An entry of a walk, to be stored below a folder (`""` or ending in `/`)."""
    key = prefix + entry.path
    return UploadItem(
        key=f"{key}/{FOLDER_MARK}" if entry.kind == "folder" else key,
        file=entry.file,
        name=os.path.join(top, entry.path),  # noqa: PTH118 - as it was given
        kind=entry.kind,
        nbytes=entry.found.st_size if entry.kind == "file" else 0,
        follow=follow,
    )


def own_folders(store: Store) -> frozenset[Identity]:
    """The folders that hold nothing but the store: its home, and the mirrors of its log."""
    return folders_of_store(store.home, tuple(store.parts.config.mirrors))


def store_folders(store: Store) -> frozenset[Identity]:
    """The folders of this machine that a store is made of, those of its tiers too."""
    config = store.parts.config
    places = [*config.mirrors]
    for tier in config.tiers:
        url = urlsplit(tier.url)
        if url.scheme == "file":
            places.append(unquote(url.path))
    return folders_of_store(store.home, tuple(places))


class Uploader:
    """Stores files; what can't be stored is told to `troubles`, and the rest is done."""

    def __init__(
        self,
        store: Store,
        *,
        kept: Kept,
        meta: dict[str, str],
        troubles: Troubles,
        progress: ByteProgress,
    ) -> None:
        self._store, self._kept, self._meta = store, kept, meta
        self._troubles, self._progress = troubles, progress
        self._at_once = AtOnce(_THREADS)

    def __enter__(self) -> Self:
        self._at_once.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._at_once.__exit__(*error)

    def put_all(self, uploads: Iterable[UploadItem]) -> Iterator[tuple[UploadItem, Receipt]]:
        """What was stored; durable once `finish` has returned.

        Raises:
            TierFull, TierUnavailable: no space, or the disk does not answer.
        """
        for upload, receipt in self._at_once.results(self._put, uploads):
            if receipt is not None:
                yield upload, receipt

    def finish(self, keys: Iterable[str], tier: str | None) -> None:
        """Make it durable, and bring it to its tier."""
        self._store.flush()
        wanted = tier or self._store.policy.landing
        if wanted != "hot" and (found := list(keys)):
            self._store.maintenance.send(found, wanted)

    def _put(self, upload: UploadItem) -> tuple[UploadItem, Receipt | None]:
        from deepseek_core import DeepSeekError

        try:
            return upload, self._put_kind(upload)
        except ChangedMeanwhile:
            self._troubles.fail(upload.name, "it changes while it is read; try again")
        except KeyRefused as error:
            self._troubles.fail(upload.name, f"{error.message} ({error.remedy})")
        except DeepSeekError:
            raise
        except FileNotFoundError:
            self._troubles.fail(upload.name, "it vanished meanwhile")
        except OSError as error:
            self._troubles.fail(upload.name, f"can't be read: {error.strerror or error}")
        return upload, None

    def _put_kind(self, upload: UploadItem) -> Receipt:
        if upload.kind == "file":
            return self._put_file(upload)
        link = upload.kind == "link"
        found = os.stat(upload.file, follow_symlinks=False)  # noqa: PTH116 - of a link, too
        body = os.fsencode(os.readlink(upload.file)) if link else b""  # noqa: PTH115 - bytes
        meta = facts_of(found, self._kept, link=link) | self._meta
        return self._store.put(upload.key, body, meta=meta, durable=False, tier="hot")

    def _put_file(self, upload: UploadItem) -> Receipt:
        for left in reversed(range(_TRIES)):
            with _opened(upload) as descriptor:
                try:
                    return self._put_open(upload, descriptor)
                except ChangedMeanwhile:
                    if not left:
                        raise
        raise AssertionError("the last try returns or raises")

    def _put_open(self, upload: UploadItem, descriptor: int) -> Receipt:
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode):
            raise OSError(0, f"it is a {kind_of_other(before.st_mode) or 'folder'}")
        meta = facts_of(before, self._kept) | self._meta
        if before.st_size <= _SMALL_NBYTES:
            data = b"".join(_chunks(descriptor, before.st_size))
            self._check(descriptor, before, len(data))
            receipt = self._store.put(
                upload.key,
                data,
                meta=meta,
                durable=False,
                tier="hot",
                if_generation=upload.expect,
            )
            self._progress.add(len(data), upload.name)
            return receipt
        with self._store.begin(upload.key, meta=meta, tier="hot") as writing:
            for chunk in _chunks(descriptor, before.st_size):
                self._at_once.check()
                writing.write(chunk)
                self._progress.add(len(chunk), upload.name)
            self._check(descriptor, before, writing.nbytes)
            return writing.commit(expect=upload.expect)

    def _check(self, descriptor: int, before: os.stat_result, nbytes: int) -> None:
        after = os.fstat(descriptor)
        same = (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
        # Files of /proc and the like say that they are empty, and are not.
        if not same or (nbytes != before.st_size and before.st_size):
            raise ChangedMeanwhile


@contextmanager
def _opened(upload: UploadItem) -> Iterator[int]:
    """The file, though a FIFO or a link may have taken its place since it was found."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
    descriptor = os.open(upload.file, flags if upload.follow else flags | os.O_NOFOLLOW)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _chunks(descriptor: int, nbytes: int) -> Iterator[bytes]:
    """Yield as many bytes as the file had when it was opened; all, if its size is reported as 0."""
    if not nbytes:
        yield from iter(lambda: os.read(descriptor, _CHUNK_NBYTES), b"")
        return
    while nbytes and (chunk := os.read(descriptor, min(_CHUNK_NBYTES, nbytes))):
        yield chunk
        nbytes -= len(chunk)


def basename(path: str) -> str:
    """The name that a source keeps below the target: none for `.`, `..` and `/`."""
    name = Path(path).name
    return "" if name in ("", ".", "..") else name
