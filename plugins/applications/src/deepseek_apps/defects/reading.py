"""Pictures of files as arrays of 8-bit levels: whatever a file holds ends as one sentence.

Legend: H x W px, C colors (1 or 3).
"""

from __future__ import annotations

import os
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np

from deepseek_core import errors

SUFFIXES: Final = frozenset(
    (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".pgm", ".ppm")
)
MOST_PIXELS: Final = 89_478_485  # Pillow's own limit against decompression bombs
_FORMATS: Final = ("PNG", "JPEG", "MPO", "BMP", "TIFF", "WEBP", "PPM")
_DEEP: Final = ("I;16", "I;16L", "I;16B", "I", "F")  # more than 8 bits a level
_LONGEST_REASON: Final = 160
_ORIENTATION: Final = 0x0112  # EXIF 2.3, 4.6.4
_ON_ITS_SIDE: Final = (5, 6, 7, 8)

Array = np.ndarray[Any, Any]


def read_picture(file: Path, colors: int) -> Array:
    """A picture's levels, uint8 [H, W, C], upright as its EXIF data have it.

    A gray picture gets three equal colors where `colors` is 3, one in color becomes gray by its
    luminance where it is 1; transparent pixels lie on black. 16 bits of gray keep the upper 8.

    Raises:
        InputError: the file can't be read, is no picture, is damaged or truncated, or holds levels
            whose range nobody knows (floats, signed or 32-bit numbers).
    """
    image = _decoded(file)
    levels = np.array(image.convert("L" if colors == 1 else "RGB"))
    return levels[..., None] if colors == 1 else levels


def size_of(file: Path) -> tuple[int, int]:
    """Height and width, px, by the header.

    Raises:
        InputError: as `read_picture`.
    """
    from PIL import Image

    with _told(file), _regular(file) as raw, Image.open(raw, formats=_formats()) as image:
        turned = image.getexif().get(_ORIENTATION, 1) in _ON_ITS_SIDE
        return (image.width, image.height) if turned else (image.height, image.width)


def read_mask(file: Path) -> Array:
    """Which pixels a mask marks, bool [H, W]: those that are not black.

    Raises:
        InputError: as `read_picture`.
    """
    image = _decoded(file)
    found = np.asarray(image.convert("L"))
    return found > 0 if found.max(initial=0) <= 1 else found > 127


def _decoded(file: Path) -> Any:
    """The decoded picture as Pillow has it, in 8 bits a level, without transparency."""
    from PIL import Image, ImageOps

    with _told(file), _regular(file) as raw, Image.open(raw, formats=_formats()) as image:
        if image.width * image.height > MOST_PIXELS:
            raise _refused(file, f"has more than {MOST_PIXELS:,} pixels")
        image.load()
        return _plain(file, ImageOps.exif_transpose(image))


def _formats() -> list[str]:
    """Names the formats that the installed Pillow has."""
    from PIL import Image

    Image.init()
    return [name for name in _FORMATS if name in Image.OPEN]


@contextmanager
def _told(file: Path) -> Iterator[None]:
    """Whatever a decoder raises, as one error that names the file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except errors.DeepSeekError:
        raise
    except Exception as error:  # decoders of foreign files raise anything
        raise _refused(file, _reason(error)) from error


def _plain(file: Path, image: Any) -> Any:
    from PIL import Image

    if image.mode in _DEEP:
        return _upper_byte(file, image)
    if image.mode in ("1", "L", "RGB"):
        return image
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        return Image.alpha_composite(black, image).convert("RGB")
    return image.convert("RGB")


def _upper_byte(file: Path, image: Any) -> Any:
    """The upper 8 of 16 bits of gray."""
    from PIL import Image

    levels = np.asarray(image)
    deep = image.mode.startswith("I;16") or (
        image.mode == "I" and image.format in ("PNG", "PPM") and levels.min(initial=0) >= 0
    )
    if not deep or levels.max(initial=0) >= 1 << 16:
        raise _refused(file, f"holds levels of type {levels.dtype}, of which nobody says the range")
    return Image.fromarray((levels.astype(np.uint32) >> 8).astype(np.uint8))


def _regular(file: Path) -> BinaryIO:
    """The open file, if it is one: a pipe would keep us waiting, a device may never end."""
    descriptor = os.open(file, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and status.st_size:
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    raise _refused(file, "is empty" if stat.S_ISREG(status.st_mode) else "is not a regular file")


def _refused(file: Path, why: str) -> errors.InputError:
    return errors.InputError(
        f"{file}: {why}", remedy="replace it by an 8-bit PNG or JPEG picture, or take it away"
    )


def _reason(error: Exception) -> str:
    from PIL import UnidentifiedImageError

    if isinstance(error, MemoryError):
        return "needs more memory than there is"
    if isinstance(error, UnidentifiedImageError):
        return "is damaged, or not in a format that is read"
    if isinstance(error, OSError) and error.strerror:
        return f"can't be read: {error.strerror}"
    text = " ".join(str(error).split()) or type(error).__name__
    return f"can't be decoded: {text[:_LONGEST_REASON]}"
