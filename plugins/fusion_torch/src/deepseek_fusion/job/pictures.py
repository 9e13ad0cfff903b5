"""Pictures from files, as bytes of one size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from deepseek_core import console


def read_picture(path: Path, size: int, *, color: bool) -> npt.NDArray[np.uint8]:
    """Read a picture and scale it to [C, size, size]; what is not square is squeezed.

    Raises:
        InputError: as `console.read_picture`.
    """
    levels = console.read_picture(path, 3 if color else 1)
    from PIL import Image

    whole = Image.fromarray(levels if color else levels[..., 0])
    scaled = np.asarray(whole.resize((size, size), Image.Resampling.BOX))
    return np.ascontiguousarray(scaled.transpose(2, 0, 1)) if color else scaled[None]
