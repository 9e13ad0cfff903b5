"""What a sync has to do, from what lies on both sides; pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Literal

import attrs

from deepseek_store.cli.local.names import folders_above

Kind = Literal["file", "folder", "link"]
Name = tuple[str, bool]
"""A path, and whether it is that of a folder: a store has `a` beside `a/`."""


@attrs.frozen(kw_only=True, slots=True)
class Item:
    """What one side has at a path; None stands for what nobody knows."""

    kind: Kind = "file"
    nbytes: int = 0
    mtime_ns: int | None = None
    mode: int | None = None
    text: bytes | None = None
    """Of a link: where it leads."""


@attrs.frozen(kw_only=True)
class SyncRules:
    """What makes two files the same.

    `mode_bits` are those of their permissions that count. `same_bytes` reads two of equal size.
    """

    size_only: bool = False
    window_ns: int = 0
    times: bool = True
    mode_bits: int = 0o7777
    same_bytes: Callable[[str], bool] | None = None


@attrs.frozen(kw_only=True)
class SyncPlan:
    """Paths in order. `dress`: only their permissions differ. `same`: how many need nothing."""

    copy: tuple[Name, ...]
    dress: tuple[Name, ...]
    delete: tuple[Name, ...]
    same: int


def make_sync_plan(
    source: Mapping[Name, Item], target: Mapping[Name, Item], rules: SyncRules
) -> SyncPlan:
    """What is to be copied, and what only the target has."""
    copy: list[Name] = []
    dress: list[Name] = []
    for name in sorted(source):
        verdict = _verdict(name[0], source[name], target.get(name), rules)
        if verdict != "same":
            (copy if verdict == "copy" else dress).append(name)
    return SyncPlan(
        copy=tuple(copy),
        dress=tuple(dress),
        delete=tuple(_extra(source, target)),
        same=len(source) - len(copy) - len(dress),
    )


def _verdict(
    path: str, source: Item, target: Item | None, rules: SyncRules
) -> Literal["copy", "dress", "same"]:
    if target is None or source.kind != target.kind or source.text != target.text:
        return "copy"
    if source.kind == "file" and not _is_same_file(path, source, target, rules):
        return "copy"
    if source.kind == "link" or source.mode is None or target.mode is None:
        return "same"
    return "dress" if (source.mode ^ target.mode) & rules.mode_bits else "same"


def _is_same_file(path: str, source: Item, target: Item, rules: SyncRules) -> bool:
    if source.nbytes != target.nbytes:
        return False
    if rules.same_bytes is not None:
        return rules.same_bytes(path)
    if rules.size_only or not rules.times:
        return True
    if source.mtime_ns is None or target.mtime_ns is None:
        return False
    return abs(source.mtime_ns - target.mtime_ns) <= rules.window_ns


def _extra(source: Mapping[Name, Item], target: Mapping[Name, Item]) -> Iterable[Name]:
    """What only the target has, what lies in a folder before the folder."""
    needed = {folder for path, _ in source for folder in folders_above(path)}
    needed |= {path for path, is_folder in source if is_folder}
    for name in sorted(target, reverse=True):
        path, is_folder = name
        if name not in source and not (is_folder and path in needed):
            yield name
