"""Choose among several distributions of one name: the one that imports use counts.

An interrupted uninstall leaves an empty `dist-info` folder, an overlaid one the metadata of two
versions side by side, a user's site folder shadows the system's. None of these may hide a plugin.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

from deepseek_core.discovery.distributions import (
    Distribution,
    distributions,
    normalize,
)
from deepseek_core.discovery.modules import locate

CORE: Final = "deepseek-core"
UNINSTALLED: Final = "0+source"
"""Version of a core that runs from a bare checkout."""

_LOOKED_AT: Final = 50  # files of a distribution that is there twice


def one_of_each(found: Iterable[Distribution]) -> Iterator[Distribution]:
    """Yield for each name the distribution that counts, in order of first appearance."""
    return map(choose, of_one_name(found))


def of_one_name(found: Iterable[Distribution]) -> Iterator[list[Distribution]]:
    """Yield the distributions of each name together; mostly there is one."""
    for same in _by_key(found):
        # `my-plugin-1.0.dist-info` is called `my` as well, until its metadata is read.
        yield from [same] if len(same) == 1 else _by_key(_read(same))


def installed(name: str) -> Distribution | None:
    """The distribution of this name that counts; None if there is none."""
    same = _read([d for d in distributions() if d.key == normalize(name)])
    mine = [dist for dist in same if dist.key == normalize(name)]
    return choose(mine) if mine else None


def core_version() -> str:
    """Version of the installed `deepseek-core`, or `UNINSTALLED`."""
    core = installed(CORE)
    return UNINSTALLED if core is None else core.version


def choose(same: Sequence[Distribution]) -> Distribution:
    """Choose the one of several distributions of one name that counts.

    Of several folders, the one from which the plugin's module is imported decides, else the first
    on the path with whole metadata. Within a folder these count, in this order: it offers plugins
    (a row with a fault is better than none), its metadata is whole, more of the files that its
    installer recorded are there, its version is later.
    """
    if len(same) == 1:
        return same[0]
    home = _home(same)
    return max((dist for dist in same if dist.location == home), key=_weight)


def is_certain(chosen: Distribution, same: Iterable[Distribution]) -> bool:
    """Tell whether recorded files prove that imports use this one, beyond the rule."""
    rivals = [d for d in same if d.location == chosen.location and d.version != chosen.version]
    return all(_share_of_files(d) < _share_of_files(chosen) for d in rivals)


def _read(same: Iterable[Distribution]) -> list[Distribution]:
    return [dist.described() for dist in same]


def _by_key(found: Iterable[Distribution]) -> Iterator[list[Distribution]]:
    groups: dict[str, list[Distribution]] = {}
    for dist in found:
        groups.setdefault(dist.key, []).append(dist)
    yield from groups.values()


def _home(same: Sequence[Distribution]) -> Path:
    places = list(dict.fromkeys(dist.location for dist in same))
    if len(places) > 1:
        for module in (*_plugin_modules(same), same[0].key.replace("-", "_")):
            place = _imported_from(module)
            if place in places:
                return place
    whole = [dist for dist in same if dist.is_whole] or same
    return whole[0].location


def _plugin_modules(same: Iterable[Distribution]) -> Iterator[str]:
    for dist in same:
        for line in (dist.read("entry_points.txt") or "").splitlines():
            value = line.partition("#")[0].partition("=")[2]
            if value.strip():
                yield value.partition(":")[0].partition(".")[0].strip()


def _imported_from(module: str) -> Path | None:
    """The folder on the path from which a top-level module would be imported."""
    spec = locate(module) if module.isidentifier() else None
    if spec is None or not spec.origin:
        return None
    file = Path(spec.origin)
    return file.parent.parent if spec.submodule_search_locations else file.parent


def _weight(dist: Distribution) -> tuple[bool, bool, float, tuple[int, ...]]:
    numbers = tuple(int(part) for part in re.findall(r"\d{1,9}", dist.version))
    return dist.offers_plugins, dist.is_whole, _share_of_files(dist), numbers


def _share_of_files(dist: Distribution) -> float:
    """The share of its recorded files that are there in their size; 0.5 without a record."""
    recorded = list(islice(_recorded_sizes(dist), _LOOKED_AT))
    there = sum(_nbytes(dist.location / name) == nbytes for name, nbytes in recorded)
    return there / len(recorded) if recorded else 0.5


def _recorded_sizes(dist: Distribution) -> Iterator[tuple[str, int]]:
    """Yield files and their bytes from `RECORD`, except for the metadata folder's own."""
    for line in (dist.read("RECORD") or "").splitlines():
        name, _, nbytes = line.rpartition(",")
        name = name.rpartition(",")[0].strip('"')
        if name and nbytes.isdecimal() and ".dist-info/" not in name:
            yield name, int(nbytes)


def _nbytes(file: Path) -> int | None:
    try:
        return file.stat().st_size
    except (OSError, ValueError):
        return None
