"""The cache itself: a private folder with two files an engine, the manifest written last."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

import attrs

from deepseek_core import console
from deepseek_trt.cache.key import is_key
from deepseek_trt.cache.lock import held, release, take
from deepseek_trt.errors import EngineDamaged
from deepseek_trt.manifest import Manifest, read_manifest
from deepseek_trt.private_files import make_private, unusable, write_whole

LIMIT_NBYTES: Final = 8 << 30


@attrs.frozen(kw_only=True)
class Kept:
    """An engine of the cache; `used_s` is the time of its last use, in seconds since 1970."""

    manifest: Manifest
    used_s: float

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return self.manifest.nbytes


class EngineCache:
    """Engines by key, in a folder that is made on demand and closed to others.

    Above `limit_nbytes`, those that were not used for longest go. `folder` is `tensorrt` in the
    SDK's folder of caches by default.
    """

    def __init__(self, folder: Path | None = None, *, limit_nbytes: int = LIMIT_NBYTES) -> None:
        self.folder = console.cache_dir() / "tensorrt" if folder is None else folder
        self.limit_nbytes = limit_nbytes

    @property
    def timings(self) -> Path:
        """The folder for kernel timings of full TensorRT."""
        return self.folder / "timings"

    def open(self) -> None:
        """Make the folder, or see that nobody else can write to it.

        Raises:
            CacheUnusable: it can't be made private.
        """
        make_private(self.folder)

    def get(self, key: str) -> tuple[Manifest, bytes] | None:
        """An engine, verified; None where there is none.

        Raises:
            EngineDamaged: it is not what was stored.
        """
        manifest = self._manifest(key)
        if manifest is None:
            return None
        try:
            content = _read(self._engine(key))
        except FileNotFoundError:  # evicted just now, or by hand
            return None
        except OSError as error:
            raise unusable(self._engine(key), error) from error
        manifest.check_content(content, str(self._engine(key)))
        with contextlib.suppress(OSError):  # its turn to go comes later
            os.utime(self._described(key))
        return manifest, content

    def locked(
        self, key: str, limit_s: float, waiting: Callable[[float], None]
    ) -> contextlib.AbstractContextManager[None]:
        """Be the only one who builds this engine.

        Raises:
            CacheBusy: another process does, for longer than the limit.
        """
        return held(self._lock(key), limit_s, waiting)

    def put(self, manifest: Manifest, content: bytes) -> None:
        """Keep an engine; the lock of its key must be held. Older ones may go for it.

        Raises:
            CacheUnusable: there is no space, or no right to write.
        """
        key = manifest.key
        self._described(key).unlink(missing_ok=True)  # until both are whole, there is none
        write_whole(self._engine(key), content, self._part(key))
        write_whole(self._described(key), manifest.text().encode(), self._part(key))
        self._sweep()
        self._evict(key)

    def entries(self) -> list[Kept]:
        """What is kept, the latest used first; damaged entries are left out."""
        found = []
        for path in self._files("*.json"):
            with contextlib.suppress(OSError, EngineDamaged):
                manifest = read_manifest(_read(path), str(path))
                found.append(Kept(manifest=manifest, used_s=path.stat().st_mtime))
        return sorted(found, key=lambda kept: kept.used_s, reverse=True)

    def clear(self) -> int:
        """Remove all that nobody builds now; returns how many engines went."""
        removed = 0
        keys = {path.name.strip(".").partition(".")[0] for path in self._files("*")}
        for key in sorted(keys):
            if is_key(key):
                with self._taken(key) as free:
                    removed += free and self._remove(key)
        for path in sorted(self.timings.glob("*.timings")) if self.timings.is_dir() else ():
            path.unlink(missing_ok=True)
        return removed

    def _evict(self, newest: str) -> None:
        kept = self.entries()
        total = sum(each.nbytes for each in kept)
        for each in reversed(kept):
            if total <= self.limit_nbytes:
                return
            if each.manifest.key != newest:
                with self._taken(each.manifest.key) as free:
                    if free:
                        self._remove(each.manifest.key)
                        total -= each.nbytes

    def _sweep(self) -> None:
        """Remove what killed writers left."""
        parts = [path.name[1:-5] for path in self._files(".*.part")]
        lone = [p.stem for p in self._files("*.engine") if not self._described(p.stem).exists()]
        for key in {*parts, *lone}:
            if is_key(key):
                with self._taken(key) as free:
                    if free:
                        self._remove_rest(key)

    @contextlib.contextmanager
    def _taken(self, key: str) -> Iterator[bool]:
        """Whether nobody builds this now; nobody begins to within the block."""
        handle = take(self._lock(key))
        try:
            yield handle is not None
        finally:
            if handle is not None:
                release(self._lock(key), handle)

    def _remove(self, key: str) -> bool:
        was_there = self._described(key).exists()
        self._described(key).unlink(missing_ok=True)
        self._engine(key).unlink(missing_ok=True)
        self._part(key).unlink(missing_ok=True)
        return was_there

    def _remove_rest(self, key: str) -> None:
        self._part(key).unlink(missing_ok=True)
        if not self._described(key).exists():
            self._engine(key).unlink(missing_ok=True)

    def _manifest(self, key: str) -> Manifest | None:
        path = self._described(key)
        try:
            content = _read(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise unusable(path, error) from error
        manifest = read_manifest(content, str(path))
        if manifest.key != key:
            raise EngineDamaged(f"{path} is of another engine", remedy="it is built again")
        return manifest

    def _files(self, pattern: str) -> list[Path]:
        try:
            names = sorted(path.name for path in self.folder.iterdir())
        except FileNotFoundError:
            return []
        except OSError as error:  # glob() would find nothing and say nothing
            raise unusable(self.folder, error) from error
        return [self.folder / name for name in names if fnmatchcase(name, pattern)]

    def _engine(self, key: str) -> Path:
        return self.folder / f"{key}.engine"

    def _described(self, key: str) -> Path:
        return self.folder / f"{key}.json"

    def _part(self, key: str) -> Path:
        return self.folder / f".{key}.part"

    def _lock(self, key: str) -> Path:
        return self.folder / f"{key}.lock"


def _read(path: Path) -> bytes:
    try:
        return console.read_own(path)
    except PermissionError as error:
        if error.errno != errno.EPERM:
            raise
        raise EngineDamaged(
            f"{path} belongs to another user", remedy="it is built again"
        ) from error
