"""Whether the files of a checkpoint are those that were saved, and what may go; without torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs

from deepseek_parallel.checkpoint import manifest as manifests
from deepseek_parallel.checkpoint.listing import Found, Listing
from deepseek_parallel.checkpoint.place import Place

Tell = Callable[[int], None]
_OWN: Final = {manifests.NAME}


@attrs.frozen(kw_only=True)
class Verified:
    """What was found in the folder of a checkpoint; paths are those below it.

    `missing` and `changed` are files of the manifest; `extra` is not in it and does no harm.
    """

    folder: str
    step: int
    num_files: int
    nbytes: int
    missing: tuple[str, ...]
    changed: tuple[str, ...]
    extra: tuple[str, ...]

    @property
    def is_whole(self) -> bool:
        """Whether it can be loaded."""
        return not self.missing and not self.changed


def verify(place: Place, found: Found, tell: Tell) -> Verified:
    """Read all files of a checkpoint and compare their hashes; `tell` is given bytes read.

    Raises:
        InputError: a file is there and can't be read.
    """
    inside = place.below(found.folder) if found.folder else place
    missing, changed = [], []
    for file in found.manifest.files:
        there = inside.hashed(file.path, tell)
        if there is None:
            missing.append(file.path)
        elif there != file:
            changed.append(file.path)
    known = _OWN | {file.path for file in found.manifest.files}
    return Verified(
        folder=found.folder,
        step=found.manifest.step,
        num_files=len(found.manifest.files),
        nbytes=found.manifest.nbytes,
        missing=tuple(missing),
        changed=tuple(changed),
        extra=tuple(sorted(set(inside.files()) - known)),
    )


@attrs.frozen(kw_only=True)
class Pruning:
    """What `prune` takes away: `superseded` checkpoints and `torn` saves; `kept` were verified.

    `damaged` ones are neither counted nor taken away.
    """

    kept: tuple[Found, ...]
    superseded: tuple[Found, ...]
    torn: tuple[str, ...]
    damaged: tuple[Verified, ...]


def plan_pruning(place: Place, found: Listing, keep: int, tell: Tell) -> Pruning:
    """What goes where `keep` newer ones are whole: each of those is read and verified first.

    Raises:
        InputError: a file is there and can't be read.
    """
    kept: list[Found] = []
    damaged: list[Verified] = []
    rest: list[Found] = []
    for one in reversed(found.committed):
        if not one.is_original:
            continue  # somebody's copy
        if len(kept) == keep:
            rest.append(one)
        elif (verified := verify(place, one, tell)).is_whole:
            kept.append(one)
        else:
            damaged.append(verified)
    newest = kept[0].manifest.sequence if kept else 0
    torn = [name for name in found.torn if (manifests.sequence_of(name) or 0) < newest]
    return Pruning(
        kept=tuple(kept), superseded=tuple(rest), torn=tuple(torn), damaged=tuple(damaged)
    )


def remove(place: Place, folder: str) -> None:
    """Take a checkpoint away: its manifest first, so that what is left over never counts.

    Raises:
        WriteError: it can't be removed.
    """
    if not place.is_link(folder):
        place.below(folder).remove_all(manifests.NAME)
