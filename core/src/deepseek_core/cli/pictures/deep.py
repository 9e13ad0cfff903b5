"""Gray pictures of more than 8 bits: integers of 12, 16 or 32 bits, and floats."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from deepseek_core.cli.pictures.option_values import Color, Range, luma
from deepseek_core.cli.pictures.upright import upright
from deepseek_core.contracts.errors import ArtifactError

if TYPE_CHECKING:
    from PIL import Image

    from deepseek_core.contracts.stage import Array

DEEP_MODES: Final = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")

# TIFF 6.0, section 8
_BITS: Final = 258
_PHOTOMETRIC: Final = 262
_WHITE_IS_ZERO: Final = 0
_SAMPLE_FORMAT: Final = 339
_UNSIGNED, _SIGNED = 1, 2

_BAND: Final = 256  # rows


def deep_image(
    image: Image.Image, source: Range | None, background: Color | None
) -> tuple[Image.Image, Range]:
    """The upright picture in mode F, and the range of its values.

    `source` is what the user says of that range, `background` what a transparent value becomes;
    None: the model wants to see through it.

    Raises:
        ArtifactError: the range is not known, or a value lies outside.
    """
    from PIL import Image

    span = source or _natural_range(image)
    dark = _tag(image, _PHOTOMETRIC, 1) == _WHITE_IS_ZERO  # left to us, unlike that of 8 bits
    values = _values(image)
    _check_values(values, span)
    if dark:
        values = span.low + span.high - values
    key = image.info.get("transparency")
    if isinstance(key, int):
        values[values == key] = _behind(background, span)
    return Image.fromarray(values), span


def is_signed(image: Image.Image) -> bool:
    """Whether a TIFF says that its integers are signed."""
    return _tag(image, _SAMPLE_FORMAT, _UNSIGNED) == _SIGNED


def _natural_range(image: Image.Image) -> Range:
    """Black and white as the type of the picture has them."""
    if image.mode == "F":
        return Range(0, 1)
    # Of other formats than TIFF, Pillow scales what is deep to 16 bits, in mode I as well.
    bits = _tag(image, _BITS, 32 if image.format == "TIFF" else 16)
    if bits > 16 or is_signed(image):
        raise ArtifactError(
            "has signed or 32-bit integers, whose black and white are not known",
            remedy="add --source-range LOW..HIGH",
        )
    return Range(0, 2**bits - 1)


def _values(image: Image.Image) -> Array:
    """Values [H, W] as float32; integers of 32 bits lose what is beyond 24."""
    import numpy as np

    wraps = image.mode == "I" and _tag(image, _BITS, 0) == 32 and not is_signed(image)
    turned = upright(image)
    values = np.empty((turned.height, turned.width), np.float32)
    for top in range(0, turned.height, _BAND):  # at once, Pillow would make three copies
        box = (0, top, turned.width, min(top + _BAND, turned.height))
        rows = np.asarray(turned.crop(box))
        values[top : top + _BAND] = rows.view(np.uint32) if wraps else rows
    turned.close()
    return values


def _check_values(values: Array, span: Range) -> None:
    import numpy as np

    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all():
        raise ArtifactError("has pixels that are not finite numbers")
    if low < span.low or high > span.high:
        raise ArtifactError(
            f"has values from {low:.6g} to {high:.6g}, outside {span}",
            remedy="say what black and full intensity are: --source-range LOW..HIGH",
        )


def _behind(background: Color | None, span: Range) -> float:
    if background is None:
        raise ArtifactError("has a transparent color and more than 8 bits: not read with alpha")
    return span.low + span.width * luma(background) / 255


def _tag(image: Image.Image, tag: int, default: int) -> int:
    """The value of a TIFF's tag for the first channel; other formats have none."""
    value = getattr(image, "tag_v2", {}).get(tag, default)
    return int(value[0] if isinstance(value, tuple) else value)
