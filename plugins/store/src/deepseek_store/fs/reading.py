"""Reading files of a store whole or by ranges."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from deepseek_core import errors
from deepseek_store.fs.folders_of_keys import is_marker
from deepseek_store.fs.listing import Listing
from deepseek_store.fs.many import at_once
from deepseek_store.fs.to_os_error import OsErrors, not_found


class Reading(Listing):
    """Contents without an open file."""

    def cat_file(
        self, path: str, start: int | None = None, end: int | None = None, **_: Any
    ) -> bytes:
        """Bytes of a file, verified; `start` and `end` as in a slice.

        Raises:
            FileNotFoundError: there is no such file.
        """
        path = self._strip_protocol(path)
        if is_marker(path):
            raise not_found(path)
        try:
            with OsErrors(path):
                return bytes(self._slice(path, start, end))
        except errors.ObjectMissing as error:
            raise self._no_file(path) from error

    def _slice(self, path: str, start: int | None, end: int | None) -> memoryview:
        first, last = start or 0, end
        if first < 0 or (end or 0) < 0:
            first, last, _step = slice(start, end).indices(self.store.stat(path).nbytes)
        return self.store.get(path, first, last if last is None else max(first, last))

    def cat_ranges(
        self,
        paths: list[str],
        starts: Any,
        ends: Any,
        max_gap: int | None = None,
        on_error: str = "return",
        **_: Any,
    ) -> list[Any]:
        """Ranges of files, at the same time where they come from afar."""
        if not isinstance(paths, list):
            raise TypeError("paths is a list")
        starts = starts if isinstance(starts, list) else [starts] * len(paths)
        ends = ends if isinstance(ends, list) else [ends] * len(paths)
        if not len(paths) == len(starts) == len(ends):
            raise ValueError("as many starts and ends as paths")

        def read(at: int) -> Any:
            try:
                return self.cat_file(paths[at], starts[at], ends[at])
            except (OSError, errors.DeepSeekError) as error:
                if on_error != "return":
                    raise
                return error

        return at_once(read, range(len(paths)), alone=not self._is_far(paths))

    def cat(
        self, path: Any, recursive: bool = False, on_error: str = "raise", **options: Any
    ) -> Any:
        """Contents of a file, or of several by their names."""
        paths = self.expand_path(path, recursive=recursive)
        if recursive:  # the files in folders, not the folders
            paths = [each for each in paths if not self._is_just_folder(each)]
        is_one = isinstance(path, str) and paths == [self._strip_protocol(path)]
        if is_one:
            return self.cat_file(paths[0], **options)
        kept = "raise" if on_error == "raise" else "return"
        found = self.cat_ranges(paths, options.get("start"), options.get("end"), on_error=kept)
        return {
            name: content
            for name, content in zip(paths, found, strict=True)
            if on_error != "omit" or not isinstance(content, Exception)
        }

    def _is_far(self, paths: Iterable[str]) -> bool:
        tree = self._tree()
        found = {self._strip_protocol(path) for path in paths}
        return any(
            tree.file(each) is not None and tree.entry(each)["tier"] != "hot" for each in found
        )
