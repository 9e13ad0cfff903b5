"""Resizing: pixels of one picture to those of the model's height and width."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deepseek_core.cli.pictures.option_values import BLACK, Color, luma
from deepseek_core.cli.pictures.pixels import Raster
from deepseek_core.cli.pictures.sizes import Fit

if TYPE_CHECKING:
    from PIL import Image

    from deepseek_core.cli.pictures.options import PictureOptions
    from deepseek_core.contracts.stage import Array


def resized(raster: Raster, fit: Fit, channels: int, options: PictureOptions) -> Array:
    """Pixels [H, W, C] of the canvas, in the raster's range of values."""
    import numpy as np

    image = raster.image
    if not fit.keeps((image.height, image.width)):
        image = _scaled(image, fit, options)
    if fit.padded:
        image = _on_canvas(image, fit, _fill(raster, options.pad_color or BLACK))
    pixels = np.asarray(image)
    if image.mode == "F":
        return _with_channels(_within(pixels, raster), channels, raster)
    return pixels if pixels.ndim == 3 else pixels[..., None]


def _scaled(image: Image.Image, fit: Fit, options: PictureOptions) -> Image.Image:
    """The box of the picture in its new size."""
    from PIL import Image

    height, width = fit.size
    resample = Image.Resampling[options.interpolation.upper()]
    if options.antialias:
        return image.resize((width, height), resample, box=fit.box)
    return image.transform((width, height), Image.Transform.EXTENT, fit.box, resample)


def _on_canvas(image: Image.Image, fit: Fit, color: float | tuple[int, ...]) -> Image.Image:
    from PIL import Image

    height, width = fit.canvas
    top, left = fit.corner
    canvas = Image.new(image.mode, (width, height), color)
    canvas.paste(image, (left, top))
    return canvas


def _fill(raster: Raster, color: Color) -> float | tuple[int, ...]:
    """The color as the raster's mode has it."""
    if raster.image.mode == "F":
        return raster.source.low + raster.source.width * luma(color) / 255
    if raster.image.mode == "L":
        return round(luma(color))
    return (*color, 255)[: len(raster.image.mode)]


def _within(pixels: Array, raster: Raster) -> Array:
    """Pixels cut to their range, which bicubic and lanczos may leave at sharp edges."""
    return pixels.clip(raster.source.low, raster.source.high)


def _with_channels(gray: Array, channels: int, raster: Raster) -> Array:
    """[H, W] -> [H, W, C]: the same in each color; alpha, the fourth, is opaque."""
    import numpy as np

    pixels = np.repeat(gray[..., None], channels, axis=-1)
    if channels == 4:
        pixels[..., 3] = raster.source.high
    return pixels
