"""Pixels of any kind of picture, upright and in the colors that a model takes.

Pillow keeps 8 bits a channel of colors; of gray pictures it keeps more ("deep" ones here).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import attrs

from deepseek_core.cli.pictures.option_values import Color, Range, Size
from deepseek_core.cli.pictures.scaling import BYTE
from deepseek_core.contracts.errors import ArtifactError

if TYPE_CHECKING:
    from PIL import Image

    from deepseek_core.cli.pictures.options import PictureOptions
    from deepseek_core.contracts.graph import Array

_MODES: Final = {1: "L", 3: "RGB", 4: "RGBA"}
_DEEP_MODES: Final = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")
_CUT: Final = re.compile(r"'(?:RGB[AaX]*|LA|CMYK|L);16[BLN]'")  # rawmodes of 16-bit colors

_ORIENTATION: Final = 0x0112  # EXIF 2.32, table 4
_TURNS: Final = {
    2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE",
    6: "ROTATE_270", 7: "TRANSVERSE", 8: "ROTATE_90",
}  # fmt: skip
_LYING: Final = (5, 6, 7, 8)

# TIFF 6.0, section 8
_BITS: Final = 258
_PHOTOMETRIC: Final = 262
_SAMPLE_FORMAT: Final = 339


@attrs.frozen(kw_only=True)
class Header:
    """What is known of a picture before it is decoded: its upright size and what it has.

    `traits` are some of "alpha", "frames" (more than one), "16-bit color", "deep".
    """

    size: Size
    traits: frozenset[str]


@attrs.frozen(kw_only=True, eq=False)
class Raster:
    """Upright pixels in a mode that can be resized (L, RGB, RGBA, F), with values in `source`."""

    image: Image.Image
    source: Range


def header(image: Image.Image) -> Header:
    """The facts of an opened picture; its pixels are not decoded."""
    width, height = image.size
    # A TIFF's size is given upright already.
    if image.format != "TIFF" and _orientation(image) in _LYING:
        width, height = height, width
    found = {
        "alpha": _has_alpha(image),
        "frames": _has_frames(image),
        "16-bit color": _is_cut(image),
        "deep": image.mode in _DEEP_MODES,
    }
    return Header(size=(height, width), traits=frozenset(name for name in found if found[name]))


def raster(image: Image.Image, channels: int, options: PictureOptions) -> Raster:
    """The pixels of an opened picture, for a model with 1 (gray), 3 or 4 (alpha) channels.

    Raises:
        ArtifactError: values of a deep picture lie outside their range, or it is not known.
    """
    if image.mode in _DEEP_MODES:
        return _deep(image, channels, options)
    flat = _flat(_upright(image), _MODES[channels], options.background)
    return Raster(image=flat, source=BYTE)


def luma(color: Color) -> float:
    """Gray of a color, 0 to 255 (ITU-R BT.601, as `convert("L")` has it)."""
    red, green, blue = color
    return (299 * red + 587 * green + 114 * blue) / 1000


def _upright(image: Image.Image) -> Image.Image:
    from PIL import Image

    image.load()  # a PNG may say its orientation at the end; a TIFF is turned here
    turn = _TURNS.get(_orientation(image))
    if turn is None:
        return image
    turned = image.transpose(Image.Transpose[turn])
    image.close()  # two of the largest pictures need most of a GiB
    return turned


def _orientation(image: Image.Image) -> Any:
    """The number that EXIF has for it; 1, upright, if that can't be read."""
    from PIL import Image

    try:
        # Not image.getexif(): a PNG's decodes all pixels first.
        return Image.Image.getexif(image).get(_ORIENTATION, 1)
    except Exception:  # noqa: BLE001 - viewers show a picture whose EXIF data is damaged, too
        return 1


def _has_frames(image: Image.Image) -> bool:
    try:
        return bool(getattr(image, "is_animated", False))
    except Exception:  # noqa: BLE001 - the second frame is damaged; it is not read
        return True


def _has_alpha(image: Image.Image) -> bool:
    palette = image.palette if image.mode == "P" else None
    return (
        image.mode in ("LA", "La", "PA", "RGBA", "RGBa")
        or image.info.get("transparency") is not None
        or (palette is not None and palette.mode.endswith("A"))
    )


def _is_cut(image: Image.Image) -> bool:
    """Whether Pillow is going to keep only the upper 8 of 16 bits."""
    arguments = [tile[3] for tile in getattr(image, "tile", [])]
    if image.format == "PPM":  # (mode, largest value)
        return image.mode == "RGB" and any(isinstance(a, tuple) and a[1] > 255 for a in arguments)
    return any(_CUT.search(repr(a)) for a in arguments)


def _flat(image: Image.Image, mode: str, background: Color) -> Image.Image:
    """8 bits a channel: L, RGB or RGBA; what is transparent shows the background unless RGBA."""
    if _has_alpha(image) and image.mode != "RGBA":
        image = image.convert("RGBA")
    if image.mode == "RGBA" and mode != "RGBA":
        image = _over(image, background)
    if image.mode not in ("1", "L", "RGB", "RGBA"):
        image = image.convert("RGB")  # from here Pillow knows the way to every mode
    return image if image.mode == mode else image.convert(mode)


def _over(image: Image.Image, background: Color) -> Image.Image:
    from PIL import Image

    canvas = Image.new("RGB", image.size, background)
    canvas.paste(image, mask=image.getchannel("A"))
    return canvas


def _deep(image: Image.Image, channels: int, options: PictureOptions) -> Raster:
    from PIL import Image

    source = options.source_range or _natural_range(image)
    tags = getattr(image, "tag_v2", {})
    values = _values(_upright(image), tags)
    _check_values(values, source)
    if tags.get(_PHOTOMETRIC) == 0:  # WhiteIsZero; of deep pictures Pillow leaves that to us
        values = source.low + source.high - values
    key = image.info.get("transparency")
    if isinstance(key, int):
        if channels == 4:
            raise ArtifactError("has more than 8 bits and a transparent color: not read with alpha")
        values[values == key] = source.low + source.width * luma(options.background) / 255
    return Raster(image=Image.fromarray(values), source=source)


def _natural_range(image: Image.Image) -> Range:
    """Black and white as the type of a deep picture has them."""
    tags = getattr(image, "tag_v2", {})
    if image.mode == "F":
        return Range(0, 1)
    # Only TIFF has tags. PNG, PPM and JPEG 2000 are scaled to 16 bits, in mode I too.
    bits = _first(tags, _BITS, 32 if image.format == "TIFF" else 16)
    if bits > 16 or _first(tags, _SAMPLE_FORMAT, 1) != 1:
        raise ArtifactError(
            "has signed or 32-bit integers, whose black and white are not known",
            remedy="add --source-range LOW..HIGH",
        )
    return Range(0, 2**bits - 1)


def _first(tags: Mapping[int, Any], tag: int, default: int) -> int:
    """The value of the first channel."""
    value = tags.get(tag, default)
    return int(value[0] if isinstance(value, tuple) else value)


def _values(image: Image.Image, tags: Mapping[int, Any]) -> Array:
    """Values [H, W] as float32; Pillow holds unsigned 32-bit integers as signed ones."""
    import numpy as np

    values = np.asarray(image)
    unsigned = _first(tags, _BITS, 0) == 32 and _first(tags, _SAMPLE_FORMAT, 1) == 1
    if image.mode == "I" and unsigned:
        values = values.view(np.uint32)
    return values.astype(np.float32)


def _check_values(values: Array, source: Range) -> None:
    import numpy as np

    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all():
        raise ArtifactError("has pixels that are not finite numbers")
    if low < source.low or high > source.high:
        raise ArtifactError(
            f"has values from {low:.6g} to {high:.6g}, outside {source}",
            remedy="say what black and full intensity are: --source-range LOW..HIGH",
        )
