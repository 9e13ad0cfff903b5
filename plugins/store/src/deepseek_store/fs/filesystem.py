"""The store as an fsspec filesystem: pandas, pyarrow, zarr, torch and others open `ds://`.

`ds://KEY` is an object of the store that `storage_options={"home": FOLDER}`, fsspec's own
configuration (`FSSPEC_DS_HOME`) or the environment variable `DEEPSEEK_STORE_HOME` names, in this
order; `ds:///srv/store!/KEY` says itself which store is meant.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from glob import has_magic
from pathlib import Path
from typing import Any

from deepseek_core import errors
from deepseek_store.errors import GenerationMismatch
from deepseek_store.fs import files
from deepseek_store.fs.many import at_once
from deepseek_store.fs.reading import Reading
from deepseek_store.fs.tree import Tree, is_marker, missing


class DeepSeekFileSystem(Reading):
    """Files and folders of one store; all instances of a process share one open `Store`.

    `home` is the store's folder. With `shared`, as by default, other processes may use it at the
    same time if they share it too; without, writes are a little faster. Objects are written whole:
    a file appears when it is closed, and who reads one sees one version of it.
    """

    # Writing

    def open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        """A file; modes `r`, `w`, `x` and `a`, bytes or text. See `fsspec`.

        Raises:
            FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError: as `open`.
        """
        if "b" in mode or "r" in mode:
            return super().open(path, mode, **options)
        names = ("encoding", "errors", "newline")
        text = {name: options.pop(name) for name in names if name in options}
        return files.TextWriter(super().open(path, mode.replace("t", "") + "b", **options), **text)

    def _open(
        self,
        path: str,
        mode: str = "rb",
        block_size: int | None = None,
        autocommit: bool = True,
        cache_options: dict[str, Any] | None = None,
        **options: Any,
    ) -> Any:
        if mode == "rb":
            return files.open_reader(
                self,
                path,
                self._tree().entry,
                block_size=block_size or self.blocksize,
                cache_options=cache_options,
                cache_type=options.get("cache_type", "readahead"),
            )
        if mode not in ("wb", "xb", "ab"):
            raise ValueError(f"no file of ds:// can be opened in mode {mode!r}")
        if mode == "xb" and self.exists(path):
            raise files.exists(path)
        self._tree().check_writable(path)
        return files.open_writer(self, path, mode, autocommit=autocommit)

    def pipe_file(self, path: str, value: Any, mode: str = "overwrite", **_: Any) -> None:
        """Write a file in one step; with mode "create" only if there is none.

        Raises:
            FileExistsError: there is one.
        """
        path = self._strip_protocol(path)
        if self._intrans:
            with self.open(path, "xb" if mode == "create" else "wb") as file:
                file.write(value)
            return
        self._tree().check_writable(path)
        try:
            self.store.put(path, value, if_generation=0 if mode == "create" else None)
        except GenerationMismatch as error:
            raise files.exists(path) from error

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
        callback = args[0] if args else options.get("callback")
        with (
            Path(lpath).open("rb") as source,
            self.open(rpath, "xb" if mode == "create" else "wb") as f,
        ):
            if callback is not None:
                callback.set_size(os.fstat(source.fileno()).st_size)
            while chunk := source.read(4 << 20):
                f.write(chunk)
                if callback is not None:
                    callback.relative_update(len(chunk))

    def touch(self, path: str, truncate: bool = True, **_: Any) -> None:
        """An empty file; or, without `truncate`, the file as it is, written now."""
        path = self._strip_protocol(path)
        if not truncate and self.isfile(path):
            self.store.copy(path, path)
        else:
            self.pipe_file(path, b"")

    # Moving and taking away

    def cp_file(self, path1: str, path2: str, **_: Any) -> None:
        """The same bytes under another name too; none are read or written.

        Raises:
            FileNotFoundError: there is no such file.
        """
        source, target = self._strip_protocol(path1), self._strip_protocol(path2)
        self._link(source, target, self.store.copy)

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
        """
        source, target = self._strip_protocol(path1), self._strip_protocol(path2)
        if isinstance(source, list) or has_magic(source) or not self.isfile(source):
            super().mv(path1, path2, recursive=recursive, maxdepth=maxdepth)
            return
        if str(path2).endswith("/") or self._is_just_folder(target):
            target = f"{target}/{source.rpartition('/')[2]}".lstrip("/")
        if source != target:
            self._link(source, target, self.store.rename)

    def _rm(self, path: str) -> None:
        path = self._strip_protocol(path)
        if is_marker(path) or not self.store.delete(path):
            raise self._no_file(path)

    def rm(self, path: Any, recursive: bool = False, maxdepth: int | None = None) -> None:
        """Take files away, and folders with all that is in them.

        Raises:
            FileNotFoundError: nothing is there.
            OSError: a folder is not empty, and not `recursive`.
        """
        paths = self.expand_path(path, recursive=recursive, maxdepth=maxdepth)
        tree = self._tree()
        there = {each for each in paths if tree.file(each) is not None or tree.is_folder(each)}
        if len(there) < len(paths):
            raise missing(next(each for each in paths if each not in there))
        one_by_one = [each for each in paths if tree.file(each) is not None]
        at_once(self.store.delete, one_by_one)
        for folder in reversed(paths):
            if folder and tree.file(folder) is None and tree.is_folder(folder):
                tree.unmake(folder)

    # Folders

    def mkdir(self, path: str, create_parents: bool = True, **_: Any) -> None:
        """Make a folder, which stays when it is empty.

        Raises:
            FileExistsError: something is there.
            FileNotFoundError: what it would lie in is not there, and not `create_parents`.
        """
        path, tree = self._strip_protocol(path), self._tree()
        if tree.file(path) is not None or tree.is_folder(path):
            raise files.exists(path)
        tree.check_parents(path)
        parent = self._parent(path)
        if create_parents:
            self._make_all(tree, parent)
        elif not tree.is_folder(parent):
            raise missing(parent)
        tree.make(path)

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Make a folder and those that it lies in.

        Raises:
            FileExistsError: it is there and not `exist_ok`, or is a file.
        """
        path, tree = self._strip_protocol(path), self._tree()
        if tree.file(path) is not None or (not exist_ok and tree.is_folder(path)):
            raise files.exists(path)
        tree.check_parents(path)
        self._make_all(tree, path)

    def rmdir(self, path: str) -> None:
        """Take an empty folder away; the root stays.

        Raises:
            FileNotFoundError: there is none.
            NotADirectoryError: it is a file.
            OSError: it is not empty.
        """
        path, tree = self._strip_protocol(path), self._tree()
        if tree.file(path) is not None:
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
        if not tree.is_folder(path):
            raise missing(path)
        if path:
            tree.unmake(path)

    def _make_all(self, tree: Tree, path: str) -> None:
        parts = path.split("/") if path else []
        for depth in range(1, len(parts) + 1):
            tree.make("/".join(parts[:depth]))

    def _link(self, source: str, target: str, link: Callable[[str, str], object]) -> None:
        tree = self._tree()
        if is_marker(source) or (tree.file(source) is None and tree.is_folder(source)):
            self.makedirs(target, exist_ok=True)
            return
        tree.check_writable(target)
        try:
            link(source, target)
        except errors.ObjectMissing as error:
            raise self._no_file(source) from error
