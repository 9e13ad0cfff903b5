"""Reading a folder of pictures, one file at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from deepseek_core.cli.pictures.layout import PictureInput
from deepseek_core.cli.pictures.listing import list_pictures, shown_name
from deepseek_core.cli.pictures.opening import opened, picture_suffixes
from deepseek_core.cli.pictures.options import PictureOptions
from deepseek_core.cli.pictures.summary import Summary
from deepseek_core.cli.pictures.survey import Failures, common_size, survey
from deepseek_core.cli.pictures.treatment import Treatment, treatment_of
from deepseek_core.contracts.errors import ArtifactError

if TYPE_CHECKING:
    from deepseek_core.contracts.stage import Array


@attrs.frozen(kw_only=True, eq=False)
class Picture:
    """One file of the folder: the array for the model, or the error that stands in its place.

    `array` has no batch axis. `error` goes on after the name: "is empty".
    """

    file: Path
    array: Array | None = None
    error: str | None = None

    @property
    def name(self) -> str:
        """The file's name as it can be printed: control characters are escaped."""
        return shown_name(Path(self.file.name))


@attrs.frozen(kw_only=True, eq=False)
class Pictures:
    """The pictures of a folder, decoded while they are iterated.

    `files` are sorted by name. `lines` say what is done to them; `facts` is the same for JSON.
    Arrays have the axes of `layout`; with an N in it they are to be stacked on a new first axis,
    without one each is the whole input.
    """

    name: str
    folder: Path
    files: tuple[Path, ...]
    lines: tuple[str, ...]
    facts: dict[str, Any]
    _treatment: Treatment

    @property
    def layout(self) -> str:
        """The axes of the model's input: one of `LAYOUTS`."""
        return self._treatment.layout.axes

    def __iter__(self) -> Iterator[Picture]:
        """Yield each file's picture or error.

        Raises:
            ArtifactError: at the end, if there were errors only.
        """
        failures = Failures()
        for file in self.files:
            picture = self._read(file)
            if picture.error:
                failures.add(file, picture.error)
            yield picture
        failures.check(self.folder, len(self.files))

    def _read(self, file: Path) -> Picture:
        try:
            with opened(file) as image:
                return Picture(file=file, array=self._treatment.applied(image))
        except ArtifactError as error:
            return Picture(file=file, error=str(error))


def open_pictures(folder: Path, wanted: PictureInput, options: PictureOptions) -> Pictures:
    """List a folder's pictures, read their headers, and settle what is done to them.

    Raises:
        InputError: Pillow is not installed.
        ArtifactError: the folder can't be read, or none of its pictures can.
        TensorMismatch: the input takes no pictures, an option is missing or contradicts it, or
            the pictures' sizes differ where they may not.
    """
    treatment = treatment_of(wanted, options)
    listing = list_pictures(folder, picture_suffixes())
    seen = survey(listing.files, treatment)
    seen.failures.check(folder, len(listing.files))
    if treatment.layout.together:
        treatment = attrs.evolve(
            treatment, size=common_size(seen, fixed=isinstance(wanted.shape[0], int))
        )
    summary = Summary(treatment=treatment, listing=listing, seen=seen)
    return Pictures(
        name=wanted.name,
        folder=folder,
        files=listing.files,
        lines=summary.lines(),
        facts=summary.to_json(),
        treatment=treatment,
    )
