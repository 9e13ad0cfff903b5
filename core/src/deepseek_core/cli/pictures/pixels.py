"""Pixels of any kind of picture, upright and in the colors that a model takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from deepseek_core.cli.pictures.deep import DEEP_MODES, deep_image, is_signed
from deepseek_core.cli.pictures.option_values import Color, Range, Size
from deepseek_core.cli.pictures.scaling import BYTE
from deepseek_core.cli.pictures.transparency import has_alpha, is_cut, match_key, over
from deepseek_core.cli.pictures.upright import upright, upright_size
from deepseek_core.contracts.errors import ArtifactError

if TYPE_CHECKING:
    from PIL import Image

    from deepseek_core.cli.pictures.options import PictureOptions

_MODES: Final = {1: "L", 3: "RGB", 4: "RGBA"}


@attrs.frozen(kw_only=True)
class Header:
    """What is known of a picture before it is decoded: its upright size and what it has.

    `traits` are some of "alpha", "frames" (more than one), "16-bit color", "deep" (gray).
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
    found = {
        "alpha": has_alpha(image),
        "frames": _has_frames(image),
        "16-bit color": is_cut(image),
        "deep": image.mode in DEEP_MODES,
    }
    traits = frozenset(name for name, holds in found.items() if holds)
    return Header(size=upright_size(image), traits=traits)


def raster(image: Image.Image, channels: int, options: PictureOptions) -> Raster:
    """The pixels of an opened picture, for a model with 1 (gray), 3 or 4 (alpha) channels.

    Takes the picture over: afterwards it may be closed.

    Raises:
        ArtifactError: what its values mean is not known.
    """
    if image.mode in DEEP_MODES:
        background = options.background if channels < 4 else None
        values, source = deep_image(image, options.source_range, background)
        return Raster(image=values, source=source)
    if is_signed(image):
        raise ArtifactError("has signed 8-bit values, which Pillow reads as unsigned ones")
    match_key(image)
    flat = _flat(upright(image), _MODES[channels], options.background)
    return Raster(image=flat, source=BYTE)


def _has_frames(image: Image.Image) -> bool:
    try:
        return bool(getattr(image, "is_animated", False))
    except Exception:  # noqa: BLE001 - the second frame is damaged; it is not read
        return True


def _flat(image: Image.Image, mode: str, background: Color) -> Image.Image:
    """8 bits a channel: L, RGB or RGBA; what is transparent shows the background unless RGBA."""
    if has_alpha(image):
        image = _converted(image, "RGBA")
        image = image if mode == "RGBA" else over(image, background)
    if image.mode not in ("1", "L"):
        # From RGB, Pillow knows the way to every mode.
        image = image if image.mode in ("RGB", "RGBA") else _converted(image, "RGB")
    return _converted(image, mode)


def _converted(image: Image.Image, mode: str) -> Image.Image:
    """The picture in another mode; the old one is closed."""
    if image.mode == mode:
        return image
    converted = image.convert(mode)
    image.close()
    return converted
