"""What is done to every picture of a folder: layout, size, values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from deepseek_core.cli.pictures import sizes
from deepseek_core.cli.pictures.layout import Layout, PictureInput, layout_of
from deepseek_core.cli.pictures.option_values import Size
from deepseek_core.cli.pictures.options import PictureOptions
from deepseek_core.cli.pictures.pixels import raster
from deepseek_core.cli.pictures.resizing import resized
from deepseek_core.cli.pictures.scaling import Scaling, scaling_of
from deepseek_core.contracts.errors import ArtifactError

if TYPE_CHECKING:
    from PIL import Image

    from deepseek_core.contracts.stage import Array


@attrs.frozen(kw_only=True)
class Treatment:
    """From a file's pixels to an array that the model takes; `size` is that of all, if known."""

    layout: Layout
    scaling: Scaling
    options: PictureOptions
    size: Size | None = None

    def fit(self, own: Size) -> sizes.Fit:
        """How a picture of this size is resized.

        Raises:
            ArtifactError: it can't be, or it would differ from the others of its batch.
        """
        fit = sizes.fit(own, self.layout, self.options)
        if self.size not in (None, fit.canvas):
            raise ArtifactError(f"is {sizes.shown_size(own)} and does not fit in with the others")
        return fit

    def applied(self, image: Image.Image) -> Array:
        """An opened picture as the model takes it, without the batch axis.

        Raises:
            ArtifactError: its values or its size can't be used.
        """
        channels = self.layout.channels
        pixels = raster(image, channels, self.options)
        fit = self.fit((pixels.image.height, pixels.image.width))
        values = resized(pixels, fit, channels, self.options)
        return self.layout.arranged(self.scaling.applied(values, pixels.source))


def treatment_of(wanted: PictureInput, options: PictureOptions) -> Treatment:
    """What the options, or else the input itself, ask for.

    Raises:
        TensorMismatch: the input takes no pictures, or what it takes is not clear.
    """
    layout = layout_of(wanted, options)
    return Treatment(layout=layout, scaling=scaling_of(wanted, layout, options), options=options)
