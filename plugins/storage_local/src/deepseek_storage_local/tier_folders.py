"""The folders of a tier: its root, and one for each failure domain.

The root remembers the identity of each domain. So a disk that is not mounted, or another one in its
place, is told from a new domain, and nothing is written to the empty folder that it leaves.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path

from deepseek_core import errors
from deepseek_storage_local.handles import Handles, none_left
from deepseek_storage_local.names import OWN
from deepseek_storage_local.openings import Opening, alone
from deepseek_storage_local.options import Options
from deepseek_storage_local.vendor_errors import fault, vanished
from deepseek_storage_local.volume import IDENTITY, Volume, make_volume, write_whole
from deepseek_storage_local.writing import clean_aside, names_aside


class TierFolders:
    """Opens volumes when they are asked for, and again when they are back.

    Those used last stay open; there may be more domains than files that a process may open.
    """

    def __init__(self, options: Options, url: str) -> None:
        """Open the root, and make what is new.

        Raises:
            TierLocked: someone else has it open, and one of both wants it alone.
            TierUnavailable: a folder can't be made or read.
        """
        self._root, self._url, self._names = options.root, url, options.domains
        self._volumes: Handles[Volume] = Handles()  # open domains, those used last
        # domain -> folder -> inode: those whose name is on the disk
        self._durable: defaultdict[str, dict[str, int]] = defaultdict(dict)
        try:
            self._make(create=options.create)
            self._opening = Opening(options.root, url, exclusive=options.exclusive)
            self.opening_name = self._opening.name
            self._clean()
        except errors.TierUnavailable:  # an OSError, and it says all already
            raise
        except OSError as error:
            raise fault(error, error.filename or options.root, url) from error

    def root(self) -> Volume:
        """The folder of the objects of no domain.

        Raises:
            TierUnavailable: it is gone.
        """
        return self._volumes.find("") or self._open("", self._root)

    def domain(self, name: str) -> Volume:
        """The folder of a failure domain.

        Raises:
            TierUnavailable: it is gone.
        """
        return self._volumes.find(name) or self._open(name, self._root / name)

    def present(self) -> Iterator[Volume]:
        """The domains that are there, each open as long as it is looked at."""
        for name in self._names:
            with suppress(errors.TierUnavailable):
                volume = self.domain(name)
                volume.check(self._url)
                yield volume

    def forget(self, volume: Volume) -> None:
        """Open this volume again when it is asked for again."""
        name = "" if volume.path == self._root else volume.path.name
        self._volumes.drop(name)
        self._durable.pop(name, None)

    def close(self) -> None:
        """Let go of all folders and of the lock; idempotent."""
        self._volumes.clear()
        self._opening.close()
        del self._opening

    def _make(self, *, create: bool) -> None:
        if create:
            self._root.mkdir(parents=True, exist_ok=True)
            (self._root / OWN).mkdir(exist_ok=True)
        elif not (self._root / IDENTITY).exists():
            raise vanished(self._root, self._url)
        with alone(self._root):
            self._expected = {"": make_volume(self._root)}
            known = self._root / OWN / "domains"
            known.mkdir(exist_ok=True)
            for name in self._names:
                if not (known / name).exists():
                    (self._root / name).mkdir(exist_ok=True)
                    write_whole(known / name, make_volume(self._root / name))
                self._expected[name] = (known / name).read_text("utf-8").strip()

    def _open(self, name: str, path: Path) -> Volume:
        try:
            volume = self._volume(name, path)
        except OSError as error:
            if none_left(error):
                raise fault(error, path, self._url) from error
            raise self._gone(name, path) from error
        if volume.identity != self._expected[name]:
            raise self._gone(name, path)
        self._volumes.keep(name, volume)
        return volume

    def _volume(self, name: str, path: Path) -> Volume:
        """A volume; once more where there were no descriptors left before others let go."""
        try:
            return Volume(path, self._url, self._durable[name])
        except OSError as error:
            if not none_left(error):
                raise
        return Volume(path, self._url, self._durable[name])

    def _gone(self, name: str, path: Path) -> errors.TierUnavailable:
        if not name:
            return vanished(path, self._url)
        return errors.TierUnavailable(
            f"the disk of failure domain {name!r} is not at {path}",
            url=self._url,
            remedy="mount it again; if it is lost, remove "
            f"{self._root / OWN / 'domains' / name} and begin with an empty one",
        )

    def _clean(self) -> None:
        """Remove what dead writers left; a disk that is sick or gone has its turn later."""
        for volume in chain([self.root()], self.present()):
            with suppress(OSError):
                if not self._opening.name:  # we may not write here
                    return
                for name in names_aside(volume):
                    if self._opening.is_dead(name.partition(".")[0]):
                        clean_aside(volume, name)
        self._opening.forget_dead()
