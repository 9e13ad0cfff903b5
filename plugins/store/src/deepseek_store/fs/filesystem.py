"""The store as an fsspec filesystem: pandas, pyarrow, zarr, torch and others open `ds://`.

`ds://KEY` is an object of the store that `storage_options={"home": FOLDER}`, fsspec's own
configuration (`FSSPEC_DS_HOME`) or the environment variable `DEEPSEEK_STORE_HOME` names, in this
order; `ds:///srv/store!/KEY` says itself which store is meant.
"""

from __future__ import annotations

import io
from typing import Any

from deepseek_store.errors import GenerationMismatch
from deepseek_store.fs import files
from deepseek_store.fs.copies import Copies
from deepseek_store.fs.to_os_error import OsErrors, exists


class DeepSeekFileSystem(Copies):
    """Files and folders of one store; all instances of a process share one open `Store`.

    `home` is the store's folder. With `shared`, as by default, other processes may use it at the
    same time if they share it too; without, writes are a little faster. With
    `read_only` nothing is changed, and all that would is refused (EROFS). Objects are written
    whole: a file appears when it is closed, and who reads one sees one version of it.
    """

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
            raise io.UnsupportedOperation(
                f"objects are written whole: no file of ds:// can be opened in mode {mode!r}"
            )
        if mode == "xb" and self.exists(path):
            raise exists(path)
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
        if mode == "create" and self.exists(path):
            raise exists(path)
        self._tree().check_writable(path)
        try:
            with OsErrors(path):
                self.store.put(path, value, if_generation=0 if mode == "create" else None)
        except GenerationMismatch as error:
            raise exists(path) from error

    def touch(self, path: str, truncate: bool = True, **_: Any) -> None:
        """An empty file; or, without `truncate`, the file as it is, written now."""
        path = self._strip_protocol(path)
        if not truncate and self.isfile(path):
            self.cp_file(path, path)
        else:
            self.pipe_file(path, b"")
