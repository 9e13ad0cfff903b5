"""Finding installed plugins by their metadata, without importing any.

Reads `*.dist-info` folders itself: importing `importlib.metadata` alone costs four bare Python
starts and a third of the module budget. It is asked after all for zip files on the path and
where a finder of its own offers distributions.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

if TYPE_CHECKING:
    from importlib import metadata

API: Final = (1, 0)
"""Major and minor of the plugin API; the major is part of the entry-point group."""

GROUP_PREFIX: Final = "deepseek_sdk.plugins."
_SUFFIXES: Final = (".dist-info", ".egg-info")


@attrs.frozen(kw_only=True)
class Distribution:
    """An installed distribution: its metadata folder and the path entry it was found under.

    `name` and `version` come from the folder's name until `METADATA` is read (`described`).
    """

    name: str
    version: str
    location: Path
    folder: Path | None = None
    read_text: Callable[[str], str | None] | None = attrs.field(default=None, eq=False, repr=False)

    @property
    def key(self) -> str:
        """The name as packaging compares it: `Acme_NPU` -> `acme-npu`."""
        return normalize(self.name)

    def read(self, file: str) -> str | None:
        """Text of one of its metadata files; None if it is missing or can't be decoded."""
        try:
            if self.folder is not None:
                return (self.folder / file).read_text(encoding="utf-8")
            return self.read_text(file) if self.read_text is not None else None
        except (OSError, UnicodeDecodeError):
            return None

    def described(self) -> Distribution:
        """The same with name and version as `METADATA` spells them."""
        text = self.read("METADATA") or self.read("PKG-INFO") or ""
        head = text.partition("\n\n")[0]
        fields = dict(line.split(": ", 1) for line in head.splitlines() if ": " in line)
        name = fields.get("Name", self.name).strip()
        return attrs.evolve(self, name=name, version=fields.get("Version", self.version).strip())


@attrs.frozen(kw_only=True)
class EntryPoint:
    """One line of a plugin group: `name = value` of a distribution.

    `problem` says what is wrong with the line itself.
    """

    name: str
    value: str
    group: str
    dist: str
    version: str = "?"
    location: str = ""
    problem: str | None = None

    @property
    def api(self) -> str:
        """The API's major as the group has it: `v1`."""
        return self.group.removeprefix(GROUP_PREFIX)

    @property
    def major(self) -> int | None:
        """1 for `v1`; None if the group names no version."""
        digits = self.api.removeprefix("v")
        return int(digits) if self.api.startswith("v") and digits.isdecimal() else None


def normalize(name: str) -> str:
    """A distribution's name as packaging compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def scan(path: Iterable[str] | None = None) -> tuple[EntryPoint, ...]:
    """Entry points of every group `deepseek_sdk.plugins.v*`, sorted by name and distribution.

    Of a distribution that is there twice, the first on the path counts, as for imports.
    """
    seen: set[str] = set()
    found: list[EntryPoint] = []
    for dist in distributions(path):
        if dist.key not in seen:
            seen.add(dist.key)
            found.extend(entry_points(dist))
    return tuple(sorted(found, key=lambda e: (e.name, normalize(e.dist), e.group)))


def distributions(path: Iterable[str] | None = None) -> Iterator[Distribution]:
    """Every distribution on the path (`sys.path` by default), shadowed ones too, in its order."""
    for entry in dict.fromkeys(sys.path if path is None else path):
        location = Path(entry)
        yield from _in_folder(location) if location.is_dir() else _in_archive(location)
    if path is None:
        yield from _of_other_finders()


def core_version() -> str:
    """Version of the installed `deepseek-core`, or `0+source` when run from a bare checkout."""
    for dist in distributions():
        if dist.key == "deepseek-core":
            return dist.described().version
    return "0+source"


def _in_folder(location: Path) -> Iterator[Distribution]:
    try:
        names = sorted(os.listdir(location))  # noqa: PTH208 - hundreds of names at each start
    except OSError:
        return
    for name in names:
        # A leading tilde is what an interrupted pip leaves behind.
        if name.endswith(_SUFFIXES) and not name.startswith("~"):
            dist, _, rest = name.rpartition(".")[0].partition("-")
            version = rest.partition("-")[0] or "?"
            yield Distribution(
                name=dist, version=version, location=location, folder=location / name
            )


def _in_archive(location: Path) -> Iterator[Distribution]:
    if location.is_file():
        from importlib.metadata import distributions as standard

        yield from _foreign(standard(path=[str(location)]), location)


def _of_other_finders() -> Iterator[Distribution]:
    from importlib.machinery import PathFinder

    for finder in sys.meta_path:
        search = getattr(finder, "find_distributions", None)
        if search is not None and finder is not PathFinder:
            yield from _foreign(search(), Path(type(finder).__name__))


def _foreign(found: Iterable[metadata.Distribution], location: Path) -> Iterator[Distribution]:
    for dist in found:
        bare = Distribution(name="?", version="?", location=location, read_text=dist.read_text)
        yield bare.described()


def entry_points(dist: Distribution) -> Iterator[EntryPoint]:
    """The plugins that one distribution offers, in the order of its metadata."""
    text = dist.read("entry_points.txt")
    if text is None or GROUP_PREFIX not in text:
        return
    dist, group = dist.described(), ""
    for number, line in enumerate(text.splitlines(), 1):
        content = line.partition("#")[0].strip()
        if content.startswith("["):
            group = content.strip("[] ")
        elif content and group.startswith(GROUP_PREFIX):
            yield _entry_point(dist, group, content, number)


def _entry_point(dist: Distribution, group: str, content: str, number: int) -> EntryPoint:
    name, equals, value = (part.strip() for part in content.partition("="))
    sound = bool(equals and name and value)
    return EntryPoint(
        name=name if sound else dist.key,
        value=value,
        group=group,
        dist=dist.name,
        version=dist.version,
        location=str(dist.location),
        problem=None if sound else f"entry_points.txt, line {number}: {content!r}",
    )
