"""What the headers of a folder's pictures say, before any of them is decoded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import attrs

from deepseek_core.cli.pictures.listing import shown_name
from deepseek_core.cli.pictures.opening import opened
from deepseek_core.cli.pictures.option_values import Size
from deepseek_core.cli.pictures.pixels import Header, header
from deepseek_core.cli.pictures.sizes import shown_size
from deepseek_core.cli.pictures.treatment import Treatment
from deepseek_core.contracts.errors import ArtifactError, TensorMismatch
from deepseek_core.contracts.units import counted

_MOST_SHOWN: Final = 3


@attrs.define(kw_only=True)
class Failures:
    """The files of a folder that can't be used: how many, and the first few as sentences."""

    count: int = 0
    reasons: list[str] = attrs.field(factory=list)

    def add(self, file: Path, reason: str) -> None:
        """Note one more file."""
        self.count += 1
        if self.count <= _MOST_SHOWN:
            self.reasons.append(f"{shown_name(Path(file.name))} {reason}")

    def __str__(self) -> str:
        return "; ".join(self.reasons) + ("; ..." if self.count > _MOST_SHOWN else "")

    def check(self, folder: Path, files: int) -> None:
        """Go on only if one of the files can be used.

        Raises:
            ArtifactError: none can.
        """
        if self.count < files:
            return
        raise ArtifactError(
            f"{shown_name(folder)}: none of {counted(files, 'picture')} can be used: {self}",
            remedy="check the files, or choose other picture options (--help lists them)",
        )


@attrs.define(kw_only=True)
class Survey:
    """Counts over the pictures: their own sizes, those that the model gets, traits (`Header`).

    `failures` are files of which not even the header can be read.
    """

    sizes: Counter[Size] = attrs.field(factory=Counter)
    targets: Counter[Size] = attrs.field(factory=Counter)
    traits: Counter[str] = attrs.field(factory=Counter)
    failures: Failures = attrs.field(factory=Failures)

    def add(self, found: Header, target: Size) -> None:
        """Count one more picture."""
        self.sizes[found.size] += 1
        self.targets[target] += 1
        self.traits.update(found.traits)


def survey(files: Iterable[Path], treatment: Treatment) -> Survey:
    """Read the headers of all files."""
    seen = Survey()
    for file in files:
        try:
            with opened(file) as image:
                found = header(image)
            seen.add(found, treatment.fit(found.size).canvas)
        except ArtifactError as error:
            seen.failures.add(file, str(error))
    return seen


def common_size(seen: Survey, *, fixed: bool) -> Size:
    """The size that all pictures get, for a model that takes several, or so many, together.

    Raises:
        TensorMismatch: they would differ.
    """
    if len(seen.targets) > 1:
        raise TensorMismatch(
            f"pictures in one batch need one size, these would have {listed(seen.targets)}",
            remedy="add --size HxW (height x width)" + ("" if fixed else ", or --batch 1"),
        )
    return next(iter(seen.targets))


def listed(sizes: Counter[Size]) -> str:
    """`480x640 (100), 640x480 (20)`, the most frequent first; one size alone without its count."""
    if len(sizes) == 1:
        return shown_size(next(iter(sizes)))
    parts = [f"{shown_size(size)} ({count:,})" for size, count in sizes.most_common(_MOST_SHOWN)]
    rest = len(sizes) - _MOST_SHOWN
    return ", ".join(parts) + (f" and {counted(rest, 'other size')}" if rest > 0 else "")
