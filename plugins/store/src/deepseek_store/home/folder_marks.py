"""The marks that a folder of the log carries: whose it is, and who took it last."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from deepseek_core import ObjectStat, errors
from deepseek_store import from_os_error, handles
from deepseek_store.home.config import sync_folder, write_durably
from deepseek_store.log.disk import MARK
from deepseek_store.log.new_names import rename_new

_STORE: Final = f"{MARK}store.json"
_SLASH: Final = "~"


class FolderMarks:
    """A folder as a place for small objects that are made if they are absent.

    Raises (all calls):
        TierUnavailable: the folder can't be read or written.
        TierFull: it has no space left.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.url = str(folder)

    def store(self) -> bytes | None:
        """The id of the store whose folder this is; None if it carries no mark."""
        try:
            found = json.loads((self._folder / _STORE).read_bytes())
            return bytes.fromhex(found["store"])
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._typed(error) from error
        except (ValueError, KeyError, TypeError):
            return b""

    def mark(self, store_id: bytes) -> None:
        """Let it be that store's."""
        content = json.dumps({"format": 1, "store": store_id.hex()}).encode() + b"\n"
        try:
            write_durably(self._folder / _STORE, lambda _file: content)
        except OSError as error:
            raise self._typed(error) from error

    def unmark(self) -> None:
        """Take all marks away, of a store that did not come to be."""
        for path in self._folder.glob(f"{MARK}*"):
            path.unlink(missing_ok=True)

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Make an object, durably, unless there is one."""
        path = self._path(key)
        partial = path.with_name(f"{path.name}.{os.getpid()}.part")
        try:
            with handles.patiently(lambda: partial.open("wb")) as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            rename_new(str(partial), str(path))
            sync_folder(self._folder)
        except FileExistsError:
            partial.unlink(missing_ok=True)
            return False
        except OSError as error:
            raise self._typed(error) from error
        return True

    def get(self, key: str) -> bytes:
        """Content of an object."""
        try:
            return self._path(key).read_bytes()
        except FileNotFoundError as error:
            raise errors.ObjectMissing(f"{self.url}: no {key}", url=self.url) from error
        except OSError as error:
            raise self._typed(error) from error

    def list(self, prefix: str) -> Iterator[ObjectStat]:
        """Objects whose key begins so."""
        start = MARK + prefix.replace("/", _SLASH)
        try:
            names = [path.name for path in self._folder.iterdir()]
        except OSError as error:
            raise self._typed(error) from error
        for name in sorted(names):
            if name.startswith(start) and not name.endswith(".part"):
                key = name.removeprefix(MARK).replace(_SLASH, "/")
                yield ObjectStat(key=key, nbytes=0, modified_s=0.0)

    def delete(self, key: str) -> None:
        """Remove an object."""
        try:
            self._path(key).unlink(missing_ok=True)
        except OSError as error:
            raise self._typed(error) from error

    def _path(self, key: str) -> Path:
        return self._folder / f"{MARK}{key.replace('/', _SLASH)}"

    def _typed(self, error: OSError) -> errors.StorageError:
        return from_os_error.typed(error, self.url, self.url)
