"""Making folders, and taking files and folders away."""

from __future__ import annotations

from typing import Any

from deepseek_store.fs.folders_of_keys import Tree, is_marker
from deepseek_store.fs.many import at_once
from deepseek_store.fs.reading import Reading
from deepseek_store.fs.to_os_error import OsErrors, exists, is_file, not_found


class Folders(Reading):
    """Folders that stay when they are empty, and removal."""

    def mkdir(self, path: str, create_parents: bool = True, **_: Any) -> None:
        """Make a folder, which stays when it is empty.

        Raises:
            FileExistsError: something is there.
            FileNotFoundError: what it would lie in is not there, and not `create_parents`.
        """
        path, tree = self._strip_protocol(path), self._tree()
        if tree.file(path) is not None or tree.is_folder(path):
            raise exists(path)
        tree.check_parents(path)
        parent = self._parent(path)
        if create_parents:
            self._make_all(tree, parent)
        elif not tree.is_folder(parent):
            raise not_found(parent)
        tree.make(path)

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Make a folder and those that it lies in.

        Raises:
            FileExistsError: it is there and not `exist_ok`, or is a file.
        """
        path, tree = self._strip_protocol(path), self._tree()
        if tree.file(path) is not None or (not exist_ok and tree.is_folder(path)):
            raise exists(path)
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
            raise is_file(path)
        if not tree.is_folder(path):
            raise not_found(path)
        if path:
            tree.unmake(path)

    def _rm(self, path: str) -> None:
        path = self._strip_protocol(path)
        with OsErrors(path):
            if is_marker(path) or not self._tree().file(path) or not self.store.delete(path):
                raise self._no_file(path)

    def rm(self, path: Any, recursive: bool = False, maxdepth: int | None = None) -> None:
        """Take files away, and folders with all that is in them.

        Raises:
            FileNotFoundError: one of them is not there; the others are gone.
            OSError: a folder is not empty, and not `recursive`.
        """
        paths = self.expand_path(path, recursive=recursive, maxdepth=maxdepth)
        tree = self._tree()
        files = {each: tree.file(each) is not None for each in paths}
        folders = [each for each in paths if not files[each] and tree.is_folder(each)]
        gone = sorted(set(paths) - set(folders) - {each for each in paths if files[each]})
        at_once(self._delete, [each for each in paths if files[each]])
        for folder in reversed(folders):
            if folder and tree.is_folder(folder):
                tree.unmake(folder)
        if gone:
            raise not_found(gone[0])

    def _delete(self, path: str) -> None:
        with OsErrors(path):
            self.store.delete(path)

    def _make_all(self, tree: Tree, path: str) -> None:
        parts = path.split("/") if path else []
        for depth in range(1, len(parts) + 1):
            tree.make("/".join(parts[:depth]))
