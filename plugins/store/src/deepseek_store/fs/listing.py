"""What a filesystem says of its files and folders without reading them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fsspec.utils import tokenize

from deepseek_store.fs.base import StoreAccess
from deepseek_store.fs.folders_of_keys import Entry, folder_entry


class Listing(StoreAccess):
    """Listings and properties; all from the index in memory."""

    def info(self, path: str, **_: Any) -> Entry:
        """Name, size, type, time of writing, generation and tier of a file.

        Raises:
            FileNotFoundError: nothing is there.
        """
        return self._tree().entry(self._strip_protocol(path))

    def ls(self, path: str, detail: bool = True, **options: Any) -> list[Any]:
        """What is right inside a folder, each name once: a file, where a folder has it too.

        Raises:
            FileNotFoundError: there is no such folder.
        """
        found = self._tree().children(self._strip_protocol(path))
        if not options.get("twins"):
            # An object comes before the folder of its name, and stands for it.
            found = list({entry["name"]: entry for entry in reversed(found)}.values())[::-1]
        return found if detail else [entry["name"] for entry in found]

    def walk(self, path: str, *args: Any, **options: Any) -> Iterator[tuple[str, Any, Any]]:
        """Folders with what is right inside them, as `os.walk`; also those named like a file."""
        yield from super().walk(path, *args, **{**options, "twins": True})

    def find(
        self,
        path: str,
        maxdepth: int | None = None,
        withdirs: bool = False,
        detail: bool = False,
        **_: Any,
    ) -> Any:
        """All files below a path, in one walk over the keys."""
        if maxdepth is not None and maxdepth < 1:
            raise ValueError("maxdepth must be at least 1")
        path = self._strip_protocol(path)
        tree = self._tree()
        found = {entry["name"]: entry for entry in tree.below(path, maxdepth)}
        if withdirs:
            for folder in tree.folders_below(path, maxdepth):
                found.setdefault(folder, folder_entry(folder))
            if path and tree.is_folder(path):
                found[path] = tree.entry(path)
        if not found and tree.file(path) is not None:
            found = {path: tree.entry(path)}
        ordered = sorted(found)
        return {name: found[name] for name in ordered} if detail else ordered

    def du(
        self,
        path: str,
        total: bool = True,
        maxdepth: int | None = None,
        withdirs: bool = False,
        **_: Any,
    ) -> Any:
        """Bytes of the files below a path, in all or each."""
        found = self.find(path, maxdepth=maxdepth, withdirs=withdirs, detail=True)
        sizes = {name: entry["size"] for name, entry in found.items()}
        return sum(sizes.values()) if total else sizes

    def exists(self, path: str, **_: Any) -> bool:
        """Whether a file or a folder is there; that a store can't be opened is no answer."""
        path, tree = self._strip_protocol(path), self._tree()
        return tree.file(path) is not None or tree.is_folder(path)

    def isfile(self, path: str) -> bool:
        """Whether there is an object of that name."""
        return self._tree().file(self._strip_protocol(path)) is not None

    def created(self, path: str) -> datetime:
        """When this version was written; of a folder, the oldest file below it."""
        return datetime.fromtimestamp(self._times(path)[0], UTC)

    def modified(self, path: str) -> datetime:
        """The same, since versions do not change; of a folder, the newest file below it."""
        return datetime.fromtimestamp(self._times(path)[1], UTC)

    def checksum(self, path: str) -> int:
        """A number that changes when the file is rewritten."""
        return int(self.ukey(path)[:16], 16)

    def ukey(self, path: str) -> str:
        """A text that changes when the file is rewritten, not when it moves between tiers."""
        entry = self.info(path)
        entry.pop("tier", None)
        return str(tokenize(self.fsid, entry))

    def _times(self, path: str) -> tuple[float, float]:
        tree, path = self._tree(), self._strip_protocol(path)
        entry = tree.entry(path)
        if entry["type"] == "file":
            return entry["created"], entry["created"]
        # An empty store has nothing but its root, which is as old as its home.
        return tree.times_below(path) or (Path(self.home).stat().st_ctime,) * 2
