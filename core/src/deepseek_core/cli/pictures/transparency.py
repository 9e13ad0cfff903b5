"""Transparent pixels: which pictures have them, and what shows through."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from deepseek_core.cli.pictures.option_values import Color

if TYPE_CHECKING:
    from PIL import Image

_CUT: Final = re.compile(r"'(?:RGB[AaX]*|LA|CMYK|L);16[BLN]'")  # rawmodes of 16-bit colors
_STEPS: Final = {"L;2": 85, "L;4": 17}  # of rawmodes: from one gray to the next


def has_alpha(image: Image.Image) -> bool:
    """Whether pixels may be transparent: by a channel, a palette, or a color that means it."""
    palette = image.palette if image.mode == "P" else None
    return (
        image.mode in ("LA", "La", "PA", "RGBA", "RGBa")
        or image.info.get("transparency") is not None
        or (palette is not None and palette.mode.endswith("A"))
    )


def over(image: Image.Image, background: Color) -> Image.Image:
    """An RGBA picture in front of a color, as RGB; it is closed."""
    from PIL import Image

    canvas = Image.new("RGB", image.size, background)
    canvas.paste(image, mask=image.getchannel("A"))
    image.close()
    return canvas


def is_cut(image: Image.Image) -> bool:
    """Whether Pillow is going to keep only the upper 8 of 16 bits; False once it has."""
    if image.format == "PPM":  # (mode, largest value)
        return image.mode == "RGB" and any(
            isinstance(one, tuple) and one[1] > 255 for one in _decoder_arguments(image)
        )
    return any(_CUT.search(repr(one)) for one in _decoder_arguments(image))


def match_key(image: Image.Image) -> None:
    """Bring a PNG's transparent color to 8 bits, before the picture is decoded.

    Pillow does so with the pixels and leaves the color as it is stored.
    """
    key = image.info.get("transparency")
    if isinstance(key, tuple) and is_cut(image):
        image.info["transparency"] = tuple(part >> 8 for part in key)
    elif isinstance(key, int) and image.format == "PNG":
        steps = [_STEPS.get(one, 1) for one in _decoder_arguments(image) if isinstance(one, str)]
        image.info["transparency"] = key * max(steps, default=1)


def _decoder_arguments(image: Image.Image) -> list[Any]:
    return [tile[3] for tile in getattr(image, "tile", [])]
