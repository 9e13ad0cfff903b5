"""Pictures from files, as bytes of one size."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from deepseek_core import errors

_MOST_PIXELS: Final = 100_000_000


def read_picture(path: Path, size: int, *, color: bool) -> npt.NDArray[np.uint8]:
    """Read a picture and scale it to [C, size, size]; what is not square is squeezed.

    It is turned as its camera said. Transparent pixels are laid on black.

    Raises:
        InputError: it is missing, damaged, or larger than 100 million pixels.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(path) as opened:
            if opened.width * opened.height > _MOST_PIXELS:
                raise errors.InputError(
                    f"{path} is {opened.width} x {opened.height} pixels",
                    remedy="scale it down to below 100 million pixels",
                )
            turned = ImageOps.exif_transpose(opened)
            scaled = _plain(turned, color).resize((size, size), Image.Resampling.BOX)
    except UnidentifiedImageError as error:
        raise errors.InputError(
            f"{path} is no picture", remedy="give a PNG, JPEG or another picture"
        ) from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        if isinstance(error, errors.DeepSeekError):
            raise
        raise errors.InputError(
            f"{path} can't be read: {error}", remedy="save it again, or leave the row out"
        ) from error
    pixels = np.asarray(scaled, np.uint8)
    return pixels.transpose(2, 0, 1) if color else pixels[None]


def _plain(picture: Any, color: bool) -> Any:
    from PIL import Image

    if picture.mode.startswith(("I", "F")):  # 16 bits and more: convert() would clip them
        values = np.asarray(picture, np.float64)
        most = 65535.0 if picture.mode.startswith("I") else max(float(values.max()), 1.0)
        picture = Image.fromarray((values / most * 255).clip(0, 255).astype(np.uint8))
    if "A" in picture.getbands() or "transparency" in picture.info:
        layer = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", layer.size, (0, 0, 0, 255)), layer)
    return picture.convert("RGB" if color else "L")
