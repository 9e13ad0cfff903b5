"""Copying and moving: inside the store, out of it, and into it.

Where a copy goes is decided as fsspec's documentation of copying says. Our names begin without a
slash, and fsspec takes a name without any for a folder of its own: so it is asked with one.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from glob import has_magic
from pathlib import Path
from typing import Any

from fsspec.callbacks import DEFAULT_CALLBACK
from fsspec.implementations.local import LocalFileSystem, make_path_posix
from fsspec.utils import other_paths, stringify_path

from deepseek_core import errors
from deepseek_store.fs.make_and_remove import Folders
from deepseek_store.fs.to_os_error import OsErrors, exists, not_found, plain

_CHUNK_NBYTES = 4 << 20


class Copies(Folders):
    """Copies of files and folders; inside a store none writes or reads bytes."""

    def get(
        self,
        rpath: Any,
        lpath: Any,
        recursive: bool = False,
        callback: Any = DEFAULT_CALLBACK,
        maxdepth: int | None = None,
        **options: Any,
    ) -> None:
        """Copy files out of the store; into the folder `lpath`, if it is one or ends in a slash.

        Raises:
            FileNotFoundError: there is nothing of that name.
            OSError: a folder has the name of a file (EEXIST); all else was copied.
        """
        if not (isinstance(rpath, list) and isinstance(lpath, list)):
            lpath = make_path_posix(stringify_path(lpath))
            inside = lpath.endswith("/") or LocalFileSystem().isdir(lpath)
            rpath, lpath = self._pairs(rpath, lpath, inside, recursive, maxdepth)
            # No disk has a file and a folder of one name: what lies in such a one fails, last.
            pairs = sorted(
                zip(rpath, lpath, strict=True), key=lambda pair: self._below_file(pair[0])
            )
            rpath, lpath = [list(each) for each in zip(*pairs, strict=True)] or ([], [])
        super().get(rpath, lpath, callback=callback, **options)

    def put_file(self, lpath: Any, rpath: str, *args: Any, **options: Any) -> None:
        """Copy a local file into the store; with mode="create" only if there is none.

        Raises:
            FileExistsError: there is one.
        """
        mode = options.pop("mode", "overwrite")
        rpath = self._strip_protocol(rpath)
        if Path(lpath).is_dir():
            self.makedirs(rpath, exist_ok=True)
            return
        callback = args[0] if args else options.get("callback", DEFAULT_CALLBACK)
        with (
            Path(lpath).open("rb") as source,
            self.open(rpath, "xb" if mode == "create" else "wb") as target,
        ):
            callback.set_size(os.fstat(source.fileno()).st_size)
            while chunk := source.read(_CHUNK_NBYTES):
                target.write(chunk)
                callback.relative_update(len(chunk))

    def cp_file(self, path1: str, path2: str, **_: Any) -> None:
        """The same bytes under another name too; none are read or written.

        Raises:
            FileNotFoundError: there is no such file.
        """
        source, target = self._strip_protocol(path1), self._strip_protocol(path2)
        self._link(source, target, self.store.copy)

    def copy(
        self,
        path1: Any,
        path2: Any,
        recursive: bool = False,
        maxdepth: int | None = None,
        on_error: str | None = None,
        **options: Any,
    ) -> None:
        """Copy inside the store; into the folder `path2`, if it is one or ends in a slash.

        `on_error`: "raise" or "ignore" a file that is gone meanwhile; "ignore" if `recursive`.
        """
        on_error = on_error or ("ignore" if recursive else "raise")
        path1, path2 = self._pairs_within(path1, path2, recursive, maxdepth)
        super().copy(path1, path2, on_error=on_error, **options)

    def mv(
        self,
        path1: Any,
        path2: Any,
        recursive: bool = False,
        maxdepth: int | None = None,
        **_: Any,
    ) -> None:
        """Give a file another name, in one step; or a folder, file by file. No bytes are moved.

        Raises:
            FileNotFoundError: there is no such file.
            FileExistsError: two files would get one name; none was moved.
            OSError: a folder would come into itself (EINVAL).
        """
        recursive = recursive or (isinstance(path1, str) and self.isdir(path1))
        sources, targets = self._pairs_within(path1, path2, recursive, maxdepth)
        if not sources:
            raise not_found(str(path1))  # nothing but folders, and those stay
        targets = [self._strip_protocol(target) for target in targets]
        self._check_moves(sources, targets)
        folders = []
        for source, target in zip(sources, targets, strict=True):
            if self._is_just_folder(source):
                folders.append(source)
                self.makedirs(target, exist_ok=True)
            elif source != target:
                self._link(source, target, self.store.rename)
        self._remove_empty(folders)

    def _check_moves(self, sources: list[str], targets: list[str]) -> None:
        taken: set[str] = set()
        for source, target in zip(sources, targets, strict=True):
            if not self.exists(source):
                raise not_found(source)
            if target in taken:
                raise exists(target)
            taken.add(target)
            below = not source or target.startswith(f"{source}/")
            if below and source != target:
                self._tree().check_parents(target)
                raise plain(errno.EINVAL, target)

    def _remove_empty(self, folders: list[str]) -> None:
        tree = self._tree()
        for folder in sorted(folders, reverse=True):
            if tree.has_marker(folder) and tree.is_empty(folder):
                tree.unmake(folder)

    def _pairs_within(
        self, source: Any, target: Any, recursive: bool, maxdepth: int | None
    ) -> tuple[list[str], list[str]]:
        if isinstance(source, list) and isinstance(target, list):
            return [self._strip_protocol(path) for path in source], target
        target = stringify_path(target)
        inside = target.endswith("/") or self.isdir(target)
        return self._pairs(source, self._strip_protocol(target), inside, recursive, maxdepth)

    def _pairs(
        self, source: Any, target: str, inside: bool, recursive: bool, maxdepth: int | None
    ) -> tuple[list[str], list[str]]:
        """What is copied, and where to; `inside`: the target is a folder that things go into."""
        source = stringify_path(source)
        is_one = isinstance(source, str)
        paths = self.expand_path(source, recursive=recursive, maxdepth=maxdepth)
        if is_one and (not recursive or maxdepth is not None):
            paths = [path for path in paths if not self.isdir(path)]
        if not paths:
            return [], []
        rooted = [f"/{path}" if path else "" for path in paths]
        if not is_one:
            return paths, other_paths(rooted, target, flatten=True)
        if self._is_pattern(source):
            return paths, other_paths(rooted, target, exists=len(paths) == 1)
        # With the folder itself among them, also where `maxdepth` leaves one file of it.
        root = self._strip_protocol(source)
        inside = inside and not source.endswith("/")
        return paths, other_paths([f"/{root}" if root else "", *rooted], target, exists=inside)[1:]

    def _below_file(self, path: str) -> bool:
        tree = self._tree()
        try:
            tree.check_parents(path)
        except NotADirectoryError:
            return True
        return False

    def _is_pattern(self, path: str) -> bool:
        return bool(has_magic(path)) and not self.exists(path)

    def _link(self, source: str, target: str, link: Callable[[str, str], object]) -> None:
        tree = self._tree()
        if tree.file(source) is None:
            if not tree.is_folder(source):
                raise not_found(source)
            self.makedirs(target, exist_ok=True)
            return
        tree.check_writable(target)
        try:
            with OsErrors(target):
                link(source, target)
        except errors.ObjectMissing as error:
            raise self._no_file(source) from error
