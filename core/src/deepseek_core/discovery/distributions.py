"""Find distributions by their metadata, whatever state it is in, without importing any.

Reads `*.dist-info` folders itself: importing `importlib.metadata` alone costs four bare Python
starts and a third of the module budget. It is asked after all for zip files on the path and
where a finder of its own offers distributions.
"""

from __future__ import annotations

import os
import re
import stat
import sys
from codecs import BOM_UTF8
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from deepseek_core.discovery.strangers import raise_if_ours

if TYPE_CHECKING:
    from importlib import metadata

GROUP_PREFIX: Final = "deepseek_sdk.plugins."
_SUFFIXES: Final = (".dist-info", ".egg-info")
# What packaging allows: remedies put these names into commands.
_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_VERSION: Final = re.compile(r"[A-Za-z0-9.+!_-]+")
_LARGEST: Final = 1 << 22
_UNNAMED: Final = "unnamed"


@attrs.frozen(kw_only=True)
class Distribution:
    """An installed distribution: its metadata folder and the path entry it was found under.

    `name` and `version` come from the folder's name until `METADATA` is read (`described`).
    `problem` says why the name that the metadata has can't be used.
    """

    name: str
    version: str
    location: Path
    folder: Path | None = None
    problem: str | None = None
    read_text: Callable[[str], str | None] | None = attrs.field(default=None, eq=False, repr=False)

    @property
    def key(self) -> str:
        """The name as packaging compares it: `Acme_NPU` -> `acme-npu`."""
        return normalize(self.name)

    @property
    def is_whole(self) -> bool:
        """Whether its metadata names it; an interrupted uninstall may leave a folder without."""
        return "name" in self._fields()

    @property
    def offers_plugins(self) -> bool:
        """Whether it has an entry point for any version of the SDK."""
        return GROUP_PREFIX in (self.read("entry_points.txt") or "")

    def read(self, file: str) -> str | None:
        """Text of one of its metadata files; None if it is missing or can't be read."""
        if self.folder is not None:
            # A Path for each of hundreds of files takes as long as to look for them.
            return _text(f"{self.folder}/{file}" if file else str(self.folder))
        try:
            return self.read_text(file) if self.read_text is not None else None
        except BaseException as error:  # noqa: BLE001 - a stranger's finder may raise anything
            raise_if_ours(error)
            return None

    def described(self) -> Distribution:
        """The same with name and version as `METADATA` spells them."""
        fields = self._fields()
        name, version = fields.get("name", self.name), fields.get("version", self.version)
        if not is_valid_name(name):
            usable = self.name if is_valid_name(self.name) else _UNNAMED
            problem = f"its metadata names it {name[:60]!r}"
            return attrs.evolve(self, name=usable, version=_shown(version), problem=problem)
        return attrs.evolve(self, name=name, version=_shown(version))

    def required(self) -> tuple[str, ...]:
        """The requirements in its metadata (`Requires-Dist`)."""
        return tuple(value for key, value in self._head() if key == "requires-dist")

    def _fields(self) -> Mapping[str, str]:
        # The first counts, as for a reader of mail headers.
        return dict(reversed(list(self._head())))

    def _head(self) -> Iterator[tuple[str, str]]:
        # An .egg-info may be a file, which is its own metadata.
        text = self.read("METADATA") or self.read("PKG-INFO") or self.read("") or ""
        for line in text.partition("\n\n")[0].splitlines():
            key, colon, value = line.partition(":")
            if colon and not key[:1].isspace() and value.strip():
                yield key.lower(), value.strip()


def normalize(name: str) -> str:
    """A distribution's name as packaging compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def is_valid_name(name: str) -> bool:
    """Whether packaging allows this as a distribution's name."""
    return _NAME.fullmatch(name) is not None


def distributions(path: Iterable[str] | None = None) -> Iterator[Distribution]:
    """Every distribution on the path (`sys.path` by default), shadowed ones too, in its order."""
    for entry in _distinct(import_path() if path is None else path):
        if os.path.isdir(entry):  # noqa: PTH112 - a Path raises where the folder above is closed
            yield from _in_folder(Path(entry))
        elif os.path.isfile(entry):  # noqa: PTH113
            yield from _in_archive(Path(entry))
    if path is None:
        yield from _of_other_finders()


def import_path() -> list[str]:
    """The entries of `sys.path` that imports use: those that are strings."""
    return [entry for entry in sys.path if isinstance(entry, str)]


def _distinct(path: Iterable[object]) -> Iterator[str]:
    """Yield each folder once, however it is spelled: `lib64` is often a link to `lib`."""
    seen: set[str] = set()
    for entry in path:
        if isinstance(entry, str) and (place := _real(entry)) not in seen:
            seen.add(place)
            yield entry


def _real(entry: str) -> str:
    try:
        return os.path.realpath(entry)
    except (OSError, ValueError):
        return entry


def _in_folder(location: Path) -> Iterator[Distribution]:
    try:
        names = sorted(os.listdir(location))  # noqa: PTH208 - hundreds of names at each start
    except OSError:
        return
    for name in names:
        # A leading tilde is what an interrupted pip leaves behind.
        if name.endswith(_SUFFIXES) and not name.startswith("~"):
            yield _at(location, location / name, name.rpartition(".")[0])
        elif name == "EGG-INFO" and location.suffix == ".egg":
            yield _at(location, location / name, location.stem)


def _at(location: Path, folder: Path, stem: str) -> Distribution:
    name, _, rest = stem.partition("-")
    version = _shown(rest.partition("-")[0])
    return Distribution(name=name, version=version, location=location, folder=folder)


def _in_archive(location: Path) -> Iterator[Distribution]:
    from importlib.metadata import distributions as standard

    yield from _foreign(standard(path=[str(location)]), location)


def _of_other_finders() -> Iterator[Distribution]:
    from importlib.machinery import PathFinder

    for finder in sys.meta_path:
        search = getattr(finder, "find_distributions", None)
        if search is not None and finder is not PathFinder:
            yield from _foreign_of(search, Path(type(finder).__name__))


def _foreign_of(
    search: Callable[[], Iterable[metadata.Distribution]], location: Path
) -> Iterator[Distribution]:
    """Yield what a third party's finder offers; nothing if it raises."""
    try:
        found = list(_foreign(search(), location))
    except BaseException as error:  # noqa: BLE001 - a stranger's finder may raise anything
        raise_if_ours(error)
        return
    yield from found


def _foreign(found: Iterable[metadata.Distribution], location: Path) -> Iterator[Distribution]:
    for dist in found:
        bare = Distribution(name=_UNNAMED, version="?", location=location, read_text=dist.read_text)
        yield bare.described()


def _text(file: str) -> str | None:
    """Read a regular file; None for anything else, or if this user may not read it."""
    try:
        found = os.stat(file)  # noqa: PTH116
        if not stat.S_ISREG(found.st_mode):
            return None
        with open(file, "rb") as stream:  # noqa: PTH123
            # `read` takes as much memory as it is told, before it knows how much there is.
            content = stream.read(min(found.st_size + 1, _LARGEST)).removeprefix(BOM_UTF8)
    except (OSError, ValueError):
        return None
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _shown(version: str) -> str:
    return version if _VERSION.fullmatch(version) else "?"
