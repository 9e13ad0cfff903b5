"""The checkpoints below a URL: which were committed, which are damaged, which were torn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import attrs

from deepseek_core import DeepSeekError
from deepseek_parallel.checkpoint import manifest as manifests
from deepseek_parallel.checkpoint.manifest import Manifest
from deepseek_parallel.checkpoint.place import Place
from deepseek_parallel.errors import CheckpointMissing

METADATA: Final = ".metadata"
"""What `torch.distributed.checkpoint` writes last of a folder."""


@attrs.frozen(kw_only=True)
class Found:
    """A committed checkpoint and the folder that it is in now, "" where the URL is its own."""

    folder: str
    manifest: Manifest

    @property
    def is_original(self) -> bool:
        """Whether it still has the folder that its save gave it: no copy, not renamed."""
        return self.folder == self.manifest.name


@attrs.frozen(kw_only=True)
class Listing:
    """All that lies at a URL, oldest first.

    `committed` can be loaded; `damaged` are folders whose manifest can't be read, and why; `torn`
    those of saves that did not come to their end; `foreign` those that DCP has written itself.
    """

    committed: tuple[Found, ...]
    damaged: tuple[tuple[str, DeepSeekError], ...]
    torn: tuple[str, ...]
    foreign: tuple[str, ...]

    @property
    def next_sequence(self) -> int:
        """A number larger than that of any checkpoint here, whole or not."""
        names = [*self.torn, *(name for name, _ in self.damaged)]
        numbers = [manifests.sequence_of(name) or 0 for name in names]
        return 1 + max([0, *numbers, *(one.manifest.sequence for one in self.committed)])

    def latest(self) -> Found | None:
        """The checkpoint that was committed last.

        Raises:
            CheckpointDamaged: a later one is there, and its manifest can't be read.
            ArtifactError: a newer version of the SDK wrote a later one.
        """
        found = self.committed[-1] if self.committed else None
        last = found.manifest.sequence if found else 0
        for name, error in self.damaged:
            if (manifests.sequence_of(name) or last + 1) > last:
                raise error
        return found

    def of_step(self, step: int, url: str) -> Found:
        """The last checkpoint of a step.

        Raises:
            CheckpointMissing: there is none.
        """
        fitting = [one for one in self.committed if one.manifest.step == step]
        if not fitting:
            raise CheckpointMissing(
                f"{url} has no checkpoint of step {step}", remedy=self._remedy()
            )
        return fitting[-1]

    def chosen(self, step: int | None, url: str) -> Found:
        """The checkpoint of a step, or the latest one.

        Raises:
            CheckpointMissing: there is none.
            CheckpointDamaged, ArtifactError: as `latest`.
        """
        if step is not None:
            return self.of_step(step, url)
        found = self.latest()
        if found is None:
            raise CheckpointMissing(f"{url} has no checkpoint", remedy=self._remedy())
        return found

    def _remedy(self) -> str:
        if self.committed:
            steps = ", ".join(sorted({str(one.manifest.step) for one in self.committed}, key=int))
            return f"steps that are there: {steps}"
        if self.foreign:
            return (
                f"{self.foreign[0] or 'it'} is a checkpoint of torch.distributed.checkpoint, "
                "without a manifest: load it with torch.distributed.checkpoint.load"
            )
        if self.torn:
            return "saves began and did not come to their end: nothing can be loaded"
        return "see to the URL: a checkpoint has a folder below it, and a manifest in that"


def listing(place: Place) -> Listing:
    """What lies at a URL; reads the manifests and nothing more.

    Raises:
        InputError: it can't be read.
    """
    committed, damaged, foreign = [], [], []
    torn: list[str] = []
    names = place.names()
    folders = [""] if manifests.NAME in names or METADATA in names else names
    for folder in folders:
        inside = place.below(folder) if folder else place
        data = inside.read(manifests.NAME)
        if data is None:
            if manifests.sequence_of(folder) is not None:
                # Some object stores go on listing folders that are empty.
                torn += [folder] if place.is_local or inside.files() else []
            elif inside.exists(METADATA):
                foreign.append(folder)
            continue
        try:
            read = manifests.read_manifest(data, inside.url_of(manifests.NAME))
        except DeepSeekError as error:
            damaged.append((folder, error))
        else:
            committed.append(Found(folder=folder, manifest=read))
    return Listing(
        committed=tuple(sorted(committed, key=lambda f: (f.manifest.sequence, f.is_original))),
        damaged=tuple(damaged),
        torn=tuple(torn),
        foreign=tuple(foreign),
    )


def superseded(committed: Sequence[Found], keep: int) -> list[Found]:
    """Choose what is beyond the newest `keep` of `committed`, oldest first; copies stay."""
    originals = [one for one in committed if one.is_original]
    return originals[: max(len(originals) - keep, 0)]
