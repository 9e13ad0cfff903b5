"""A picture's levels of 8 bits, for plugins that read pictures of their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from deepseek_core.cli.pictures.listing import shown_name
from deepseek_core.cli.pictures.opening import check_pillow, opened
from deepseek_core.cli.pictures.option_values import BLACK, Range, Size
from deepseek_core.cli.pictures.options import PictureOptions
from deepseek_core.cli.pictures.pixels import raster
from deepseek_core.cli.pictures.scaling import BYTE
from deepseek_core.cli.pictures.upright import upright_size
from deepseek_core.contracts.errors import ArtifactError, InputError

if TYPE_CHECKING:
    from deepseek_core.contracts.stage import Array

_ON_BLACK: Final = PictureOptions(background=BLACK)
_LEVELS: Final = 256


def read_levels(file: Path, channels: int) -> Array:
    """See `console.read_picture`."""
    import numpy as np

    with _told(file), opened(file) as image:
        pixels = raster(image, channels, _ON_BLACK)
        levels = np.asarray(pixels.image)
    if pixels.source != BYTE:
        levels = _upper_levels(levels, pixels.source)
    found = np.empty((*levels.shape[:2], channels), np.uint8)
    found[:] = levels.reshape(*found.shape[:2], -1)
    return found


def read_size(file: Path) -> Size:
    """See `console.picture_size`."""
    with _told(file), opened(file) as image:
        return upright_size(image)


def _upper_levels(levels: Array, source: Range) -> Array:
    """The upper 8 bits of whole numbers; of floats, the nearest level."""
    if source.width >= _LEVELS:
        return (levels - source.low) * _LEVELS // (source.width + 1)
    return ((levels - source.low) / source.width * (_LEVELS - 1)).round()


@contextmanager
def _told(file: Path) -> Iterator[None]:
    """What is wrong with a file, as an error that begins with its name."""
    check_pillow()
    try:
        yield
    except ArtifactError as error:
        raise InputError(
            f"{shown_name(file)}: {error.message}",
            remedy="replace it by an 8-bit PNG or JPEG picture, or take it away",
        ) from error
