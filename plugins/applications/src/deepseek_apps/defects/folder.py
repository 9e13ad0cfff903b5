"""The user's folder: `good/`, a folder for each class of defect, and what may lie beside them.

good/a1.png  scratch/b7.png  dent/c2.png      pictures by class
masks/scratch/b7.png                          where the defect is (optional)
groups.csv                                    `picture,group`: which part each shows (optional)
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import attrs

from deepseek_apps.defects.reading import SUFFIXES
from deepseek_core import console, errors

GOOD: Final = "good"
MASKS: Final = "masks"
GROUPS: Final = "groups.csv"
_TOLD: Final = 3


@attrs.frozen(kw_only=True)
class Item:
    """A picture: its path as from the folder, the number of its class, its mask and its part."""

    name: str
    label: int
    mask: Path | None
    group: str


@attrs.frozen(kw_only=True)
class Folder:
    """What a folder holds; class 0 is good. `left_out` counts files of other names."""

    path: Path
    classes: tuple[str, ...]
    items: tuple[Item, ...]
    left_out: int


def read_folder(path: Path, group_by: str = "") -> Folder:
    """Find the pictures of a folder, in the order of their names; none is opened.

    A part is named by `groups.csv`, else by the first group of the expression `group_by` in the
    picture's name, else each picture shows a part of its own.

    Raises:
        InputError: no such folder, no good pictures or none with a defect, or a
            `groups.csv` that does not name them all.
    """
    if not path.is_dir():
        raise errors.InputError(
            f"{path} is not a folder", remedy="give the folder of your pictures"
        )
    found = {folder.name: _pictures(folder) for folder in _classes_in(path)}
    _check_classes(path, {name: len(files) for name, files in found.items()})
    classes = (GOOD, *sorted(name for name, files in found.items() if name != GOOD and files))
    names = [f"{name}/{file.name}" for name in classes for file in found[name]]
    groups = _groups(path, names, group_by)
    items = [
        Item(
            name=name, label=classes.index(name.split("/")[0]), mask=_mask(path, name), group=group
        )
        for name, group in zip(names, groups, strict=True)
    ]
    return Folder(
        path=path, classes=classes, items=tuple(items), left_out=_others(path, classes, len(items))
    )


def _classes_in(path: Path) -> list[Path]:
    return [
        each for each in sorted(path.iterdir())
        if each.is_dir() and each.name != MASKS and not each.name.startswith(".")
    ]  # fmt: skip


def _pictures(folder: Path) -> list[Path]:
    return [
        each for each in sorted(folder.iterdir())
        if each.suffix.lower() in SUFFIXES and not each.name.startswith(".") and not each.is_dir()
    ]  # fmt: skip


def _check_classes(path: Path, counts: dict[str, int]) -> None:
    if not counts.get(GOOD):
        raise errors.InputError(
            f"{path} has no pictures of good parts", remedy=f"put them into {path / GOOD}"
        )
    if not any(count for name, count in counts.items() if name != GOOD):
        raise errors.InputError(
            f"{path} has no pictures of defects, so there is nothing to tell from good",
            remedy=f"put those of each class into a folder beside {GOOD}, such as {path}/scratch",
        )


def _mask(path: Path, name: str) -> Path | None:
    """The mask of a picture: the file of its name, with any suffix, in masks/CLASS."""
    place = path / MASKS / Path(name).parent
    stem = Path(name).stem
    found = [file for suffix in SUFFIXES if (file := place / f"{stem}{suffix}").exists()]
    if len(found) > 1:
        raise errors.InputError(
            f"{name} has {len(found)} masks: {', '.join(str(f) for f in sorted(found)[:_TOLD])}",
            remedy="leave one of them",
        )
    return found[0] if found else None


def _others(path: Path, classes: tuple[str, ...], used: int) -> int:
    files = sum(
        1 for name in classes for each in (path / name).iterdir()
        if each.is_file() and not each.name.startswith(".")
    )  # fmt: skip
    return max(0, files - used)


def _groups(path: Path, names: list[str], group_by: str) -> list[str]:
    file = path / GROUPS
    if not file.exists():
        return _by_rule(names, group_by)
    known = _read_groups(file)
    missing = [name for name in names if name not in known]
    if missing:
        raise errors.InputError(
            f"{file} does not name {len(missing)} pictures, such as {missing[0]}",
            remedy="add a line for each: class/file.png,part",
        )
    return [f"csv:{known[name]}" for name in names]


def _by_rule(names: list[str], group_by: str) -> list[str]:
    if not group_by:
        return [f"file:{name}" for name in names]
    found = [re.search(group_by, name) for name in names]
    missing = [name for name, each in zip(names, found, strict=True) if not each or not each[1]]
    if missing:
        raise errors.InputError(
            f"group_by={group_by!r} names no part in {len(missing)} pictures, such as {missing[0]}",
            remedy=f"correct the expression, or name the parts in {GROUPS}",
        )
    return [f"rule:{each[1]}" for each in found if each]


def _read_groups(file: Path) -> dict[str, str]:
    """Picture -> part."""
    table = console.read_csv(file, needs=("picture", "group"))
    known: dict[str, str] = {}
    for name, group, line in zip(
        table.column("picture"), table.column("group"), table.lines, strict=True
    ):
        if not group.strip() or known.setdefault(name.strip(), group.strip()) != group.strip():
            raise errors.InputError(
                f"{file}, line {line}: {name} is in {known.get(name.strip())!r} and in {group!r}",
                remedy="name each picture once, with one group",
            )
    return known
