"""Which store a filesystem is over, and how its paths are written."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any, ClassVar, Final

from fsspec.spec import AbstractFileSystem
from fsspec.utils import stringify_path

from deepseek_core import errors
from deepseek_store.fs import address
from deepseek_store.fs.folders_of_keys import Tree
from deepseek_store.fs.shared_stores import close_shared, open_shared
from deepseek_store.fs.to_os_error import is_folder, not_found
from deepseek_store.store import Store

_READAHEAD_NBYTES: Final = 512 << 10


class StoreAccess(AbstractFileSystem):  # type: ignore[misc]
    """The store of a filesystem, and its paths: keys, without a slash at either end."""

    protocol: ClassVar[str] = address.SCHEME
    root_marker: ClassVar[str] = ""
    blocksize: ClassVar[int] = _READAHEAD_NBYTES

    def __init__(
        self,
        home: str | os.PathLike[str] | None = None,
        *,
        shared: bool = True,
        read_only: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.shared, self.read_only = shared, read_only
        self._home = None if home is None else address.find_home(home, {})

    @property
    def home(self) -> str:
        """The folder of the store, with links resolved.

        Raises:
            ConfigError: nothing names one.
        """
        # Not kept where it comes from the environment: instances are cached, and that may change.
        return self._home or address.find_home(None, os.environ)

    @property
    def store(self) -> Store:
        """The open store; opened when it is first used.

        Raises:
            ConfigError: nothing names a store, or there is none.
            StoreLocked: another process has it open, and not both share it.
        """
        return open_shared(self.home, shared=self.shared, read_only=self.read_only)

    @property
    def fsid(self) -> str:
        """The store's own id."""
        return f"ds-{self.store.parts.config.store_id.hex()}"

    def close(self) -> bool:
        """Close the store, if this class opened it; the next use opens it again."""
        return close_shared(self.home, read_only=self.read_only)

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(each) for each in path]
        return address.split(stringify_path(path))[1]

    @staticmethod
    def _get_kwargs_from_urls(path: str) -> dict[str, str]:
        home, _ = address.split(stringify_path(path))
        return {} if home is None else {"home": home}

    def unstrip_protocol(self, name: str) -> str:
        """The URL of a path, with the store in it."""
        path = self._strip_protocol(name)
        try:
            return address.join(self.home, path)
        except errors.ConfigError:
            return address.join(None, path)

    def expand_path(
        self,
        path: Any,
        recursive: bool = False,
        maxdepth: int | None = None,
        assume_literal: bool = False,
        **options: Any,
    ) -> list[str]:
        """Names that a pattern, a folder or a list of them means.

        A name that is there means itself, also where it looks like a pattern (`image[1].png`).
        """
        names = [path] if isinstance(path, str | os.PathLike) else list(path)
        found: set[str] = set()
        for name in names:
            literal = assume_literal or self.exists(name)
            with suppress(FileNotFoundError):  # one of several may match nothing
                # fsspec's own hands `assume_literal` on where it is given a list
                found |= set(
                    super().expand_path(
                        [name], recursive, maxdepth, assume_literal=literal, **options
                    )
                )
        if not found:
            raise not_found(str(path))
        return sorted(found)

    def _tree(self) -> Tree:
        return Tree(self.store)

    def _is_just_folder(self, path: str) -> bool:
        tree = self._tree()
        return tree.file(path) is None and tree.is_folder(path)

    def _no_file(self, path: str) -> OSError:
        if self._is_just_folder(path):
            return is_folder(path)
        return not_found(path)
