"""Turning pictures upright, as EXIF (or XMP) data says that they were taken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from deepseek_core.cli.pictures.option_values import Size

if TYPE_CHECKING:
    from PIL import Image

_ORIENTATION: Final = 0x0112  # EXIF 2.32, table 4
_TURNS: Final = {
    2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE",
    6: "ROTATE_270", 7: "TRANSVERSE", 8: "ROTATE_90",
}  # fmt: skip
_LYING: Final = (5, 6, 7, 8)
_TURNED_BY_PILLOW: Final = "TIFF"
_WIDTH, _LENGTH = 256, 257  # TIFF 6.0, section 8


def upright(image: Image.Image) -> Image.Image:
    """The decoded picture; `image` is closed if this is another one."""
    from PIL import Image

    image.load()  # first, as a PNG may give its orientation at the end
    turn = _TURNS.get(_orientation(image))
    if turn is None or image.format == _TURNED_BY_PILLOW:
        return image
    turned = image.transpose(Image.Transpose[turn])
    image.close()  # one copy of the largest pictures is a third of a GiB
    return turned


def upright_size(image: Image.Image) -> Size:
    """Height and width that it will have; pixels are not decoded."""
    width, height = image.size
    if image.format == _TURNED_BY_PILLOW:  # whose size is the stored or the turned one, by version
        tags = getattr(image, "tag_v2", {})
        width, height = tags.get(_WIDTH, width), tags.get(_LENGTH, height)
    return (width, height) if _orientation(image) in _LYING else (height, width)


def _orientation(image: Image.Image) -> Any:
    """The number that EXIF has for it; 1, upright, if that can't be read."""
    from PIL import Image

    try:
        # Not image.getexif(): a PNG's decodes all pixels first.
        return Image.Image.getexif(image).get(_ORIENTATION, 1)
    except Exception:  # noqa: BLE001 - viewers show a picture whose EXIF data is damaged, too
        return 1
