"""Which file stands for which object, where a folder can't hold what a store can.

In a store an object `a` and a folder `a/` live side by side; in a folder one of them has to give
way. The object does: its file is `a.ds-object`, and goes back as `a` from beside a folder `a`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

BESIDE: Final = ".ds-object"


def file_names(paths: Iterable[str]) -> dict[str, str]:
    """New names for those of these objects' paths that are folders of others, too."""
    found = set(paths)
    folders = {folder for path in found for folder in folders_above(path)}
    renamed: dict[str, str] = {}
    for path in sorted(found & folders):
        name = path + BESIDE
        while name in found or name in folders:
            name += BESIDE
        renamed[path] = name
    return renamed


def object_path(path: str, is_folder: Callable[[str], bool]) -> str:
    """The path of the object that a file stands for."""
    stem = path.removesuffix(BESIDE)
    return stem if stem != path and stem and is_folder(stem) else path


def folders_above(path: str) -> Iterable[str]:
    """The folders that a path lies in, the nearest first."""
    at = path.rfind("/")
    while at > 0:
        yield path[:at]
        at = path.rfind("/", 0, at)
