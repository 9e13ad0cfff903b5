"""Brings objects back as a snapshot has them; no bytes are copied."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import attrs

from deepseek_core import errors
from deepseek_store.errors import SegmentGone
from deepseek_store.home.state import State
from deepseek_store.index.rows import Version
from deepseek_store.write.writer import Writer

_LOOKUPS: Final = 8


@attrs.frozen(kw_only=True)
class Restored:
    """How many objects were brought back, were deleted, and were as in the snapshot already."""

    restored: int = 0
    deleted: int = 0
    same: int = 0


def restore(
    state: State,
    writer: Writer,
    kept: Mapping[str, Callable[[], Version]],
    *,
    name: str = "",
    dry_run: bool = False,
) -> Restored:
    """Give each key of a name what `kept` has of it, and delete the others of that name.

    A name is that of an object, and of the folder that others lie in ("": all). Each object changes
    in one step, all of them do not: after an interruption call it again.
    `kept` gives the version of a key where it lies at that moment.
    """
    folder = name.rstrip("/")
    wanted = {key: find for key, find in kept.items() if _is_of(key, folder)}
    same = {key for key, find in wanted.items() if _is_current(state, find())}
    there = [key for key in state.catalog.keys(folder) if _is_of(key, folder)]
    gone = [key for key in there if key not in wanted]
    if not dry_run:
        for key in wanted.keys() - same:
            _bring_back(writer, key, wanted[key])
        for key in gone:
            writer.delete(key)
    return Restored(restored=len(wanted) - len(same), deleted=len(gone), same=len(same))


def _is_of(key: str, folder: str) -> bool:
    return not folder or key == folder or key.startswith(f"{folder}/")


def _is_current(state: State, version: Version) -> bool:
    current = state.catalog.get(version.key)
    if current is None:
        return False
    as_it_was = (current.extents, current.meta, current.nbytes)
    return current.id == version.id or as_it_was == (version.extents, version.meta, version.nbytes)


def _bring_back(writer: Writer, key: str, find: Callable[[], Version]) -> None:
    for _ in range(_LOOKUPS):
        try:
            writer.link(find(), key, expect=None, remove=False, superseded=True)
        except SegmentGone:
            continue
        return
    raise errors.TierUnavailable(
        f"{key!r} moves faster than it can be restored", url=writer.url, remedy="try again"
    )
