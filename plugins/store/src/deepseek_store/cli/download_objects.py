"""Brings objects into a folder of this machine, several at a time."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Literal, Self

import attrs

from deepseek_core import DeepSeekError, errors
from deepseek_store.at_once import AtOnce
from deepseek_store.cli.byte_progress import ByteProgress
from deepseek_store.cli.key_view import KeyView, folder_of_mark, is_folder_mark
from deepseek_store.cli.local.file_facts import Kept, is_link, is_sparse, mode_of, mtime_ns_of
from deepseek_store.cli.local.names import file_names
from deepseek_store.cli.local.target_folder import (
    Looks,
    TargetFolder,
    Unwritable,
    stays_inside,
)
from deepseek_store.cli.partial_failures import Troubles, shown
from deepseek_store.cli.selection import Chosen
from deepseek_store.errors import Corrupt

if TYPE_CHECKING:
    from deepseek_store.store import ObjectInfo

_ALONE_NBYTES: Final = 8 << 20  # read at once of one object: many shards, asked for together
_EACH_NBYTES: Final = 1 << 20  # of each of several
_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)  # no other file could be written either
_TRIES: Final = 3


class Replaced(errors.StorageError):
    """The object was replaced while it was read."""

    retryable = True


@attrs.frozen(kw_only=True, slots=True)
class Download:
    """One thing to be fetched, and where below the target it goes."""

    key: str
    path: str
    kind: Literal["object", "folder"] = "object"


def downloads_of(chosen: Iterable[Chosen], troubles: Troubles) -> list[Download]:
    """Where everything goes; an object that gives way to a folder of its name is told."""
    chosen = list(chosen)
    marks = [each for each in chosen if is_folder_mark(each.path)]
    objects = [each for each in chosen if not is_folder_mark(each.path)]
    folders = {f"{folder_of_mark(each.path)}/." for each in marks}
    renamed = file_names([each.path for each in objects] + sorted(folders))
    found = [
        Download(key=each.key, path=folder_of_mark(each.path), kind="folder") for each in marks
    ]
    taken: dict[str, str] = {}
    for each in objects:
        path = renamed.get(each.path, each.path)
        if path != each.path:
            troubles.note(each.key, f"saved as {path}: there is a folder of its name")
        if taken.setdefault(path, each.key) != each.key:
            troubles.fail(each.key, f"{taken[path]} goes to {path}, too")
        else:
            found.append(Download(key=each.key, path=path))
    return found


class Downloader:
    """Fetches objects; what can't be written is told to `troubles`, and the rest is done."""

    def __init__(
        self,
        view: KeyView,
        target: TargetFolder,
        *,
        kept: Kept,
        all_links: bool,
        troubles: Troubles,
        progress: ByteProgress,
        span: tuple[int, int | None] | None = None,
    ) -> None:
        self._view, self._target, self._kept, self._span = view, target, kept, span or (0, None)
        self._all_links, self._troubles, self._progress = all_links, troubles, progress
        self._at_once = AtOnce()
        self._piece_nbytes = _ALONE_NBYTES

    def __enter__(self) -> Self:
        self._at_once.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._at_once.__exit__(*error)

    def get_all(self, downloads: Iterable[Download]) -> Iterator[tuple[Download, int]]:
        """What was fetched, and how many bytes.

        Raises:
            StorageError: the store can't be read.
            InputError: the disk is full.
        """
        self._piece_nbytes = _EACH_NBYTES
        for download, nbytes in self._at_once.results(self._get, downloads):
            if nbytes is not None:
                yield download, nbytes

    def looks_of(self, info: ObjectInfo) -> Looks:
        """What the file of an object gets beside its bytes."""
        mtime_ns = mtime_ns_of(info.meta)
        if mtime_ns is None:
            mtime_ns = int(info.created_s * 1e9)
        return Looks(
            mode=mode_of(info.meta) if self._kept.mode else None,
            mtime_ns=mtime_ns if self._kept.times else None,
        )

    def _get(self, download: Download) -> tuple[Download, int | None]:
        try:
            return download, self.get(download)
        except (Replaced, Corrupt, errors.ObjectMissing, Unwritable) as error:
            self._troubles.fail(download.key, getattr(error, "message", None) or str(error))
        except DeepSeekError:
            raise
        except OSError as error:
            if error.errno in _FULL:
                raise _no_room(download, error) from error
            self._troubles.fail(
                download.key, f"{download.path} can't be written: {error.strerror or error}"
            )
        return download, None

    def get(self, download: Download) -> int | None:
        """Fetch one; how many bytes, or None if it was left out.

        Raises:
            Replaced: it is written to faster than it can be read.
            Unwritable, OSError: there can be no such file.
            StorageError: it can't be read.
        """
        info = self._view.info(download.key)
        if download.kind == "folder":
            self._target.make_folder(download.path, self.looks_of(info))
            return 0
        if is_link(info.meta):
            return self._get_link(download)
        for left in reversed(range(_TRIES)):
            try:
                return self._target.write(
                    download.path,
                    self._counted(info),
                    self.looks_of(info),
                    sparse=is_sparse(info.meta),
                )
            except Replaced:
                if not left:
                    raise
                info = self._view.info(download.key)
        raise AssertionError("the last try returns or raises")

    def _get_link(self, download: Download) -> int | None:
        text = bytes(self._view.store.get(download.key, snapshot=self._view.snapshot))
        if not self._all_links and not stays_inside(download.path, os.fsdecode(text)):
            tell_of_outer_link(self._troubles, download.key)
            return None
        self._target.link(download.path, text)
        return 0

    def _counted(self, info: ObjectInfo) -> Iterator[memoryview]:
        pieces = pieces_of(self._view, info, *self._span, piece_nbytes=self._piece_nbytes)
        for piece in pieces:
            self._at_once.check()
            yield piece
            self._progress.add(len(piece), info.key)


def tell_of_outer_link(troubles: Troubles, key: str) -> None:
    """Report that a link is not made, and what would make it."""
    troubles.skip(key, "symbolic link that leads out of the folder", " (--links makes it)")


@contextmanager
def open_target(folder: str, troubles: Troubles) -> Iterator[TargetFolder]:
    """A folder to write into, which is made if it is not there.

    Raises:
        InputError: there can be no such folder.
    """
    try:
        target = TargetFolder(folder)
    except OSError as error:
        raise errors.InputError(
            f"{shown(folder)} can't be made: {error.strerror}", remedy="choose another folder"
        ) from error
    try:
        yield target
        for path, failed in target.finish():
            troubles.fail(path, f"keeps other permissions or times: {failed.strerror}")
    finally:
        target.close()


def pieces_of(
    view: KeyView,
    info: ObjectInfo,
    start: int = 0,
    stop: int | None = None,
    *,
    piece_nbytes: int = _ALONE_NBYTES,
) -> Iterator[memoryview]:
    """A range of an object in pieces, all of that version.

    Raises:
        Replaced: it was replaced meanwhile.
    """
    at, stop = start, info.nbytes if stop is None else min(stop, info.nbytes)
    while at < stop:
        piece = view.store.get(info.key, at, min(at + piece_nbytes, stop), snapshot=view.snapshot)
        if view.info(info.key).generation != info.generation:
            raise Replaced(
                f"{info.key!r} was replaced while it was read",
                url=view.store.url,
                remedy="get it again",
            )
        yield piece
        at += len(piece)


def _no_room(download: Download, error: OSError) -> errors.InputError:
    return errors.InputError(
        f"{shown(download.path)} can't be written, nor what comes after it: {error.strerror}",
        remedy="free space there, and run it again; files that are there are whole",
    )
