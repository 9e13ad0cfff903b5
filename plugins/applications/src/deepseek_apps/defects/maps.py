"""Maps of suspicion: where the worst place is, and a picture of it.

Legend: h x w cells of a map, values from 0 to 1; H x W px of the picture.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np

from deepseek_core import console, errors

_OF_WORST: Final = 0.5  # a cell with this share of the worst one belongs to the same place

Array = np.ndarray[Any, Any]


def box_of(suspicious: Array, shape: tuple[int, ...], crop: tuple[float, ...]) -> list[int]:
    """Top, left, bottom, right of the worst place, in px of a picture (H, W).

    The worst cell and those that touch it, over others of the place, by half of its value or more.
    """
    place = _place(suspicious)
    found = []
    for axis in (0, 1):
        cells = np.flatnonzero(place.any(1 - axis))
        length, (first, last) = shape[axis], (crop[axis], crop[axis + 2])
        scale = length * (last - first) / suspicious.shape[axis]
        begin = length * first
        found.append((int(begin + cells[0] * scale), int(np.ceil(begin + (cells[-1] + 1) * scale))))
    (top, bottom), (left, right) = found
    return [top, left, min(bottom, shape[0]), min(right, shape[1])]


def _place(suspicious: Array) -> Array:
    """Cells that hang together with the worst one, by sides or corners, bool (h, w)."""
    belongs = suspicious >= _OF_WORST * suspicious.max()
    place = np.zeros_like(belongs)
    place[np.unravel_index(int(suspicious.argmax()), suspicious.shape)] = True
    while True:
        tall = place.copy()
        tall[1:] |= place[:-1]
        tall[:-1] |= place[1:]
        grown = tall.copy()
        grown[:, 1:] |= tall[:, :-1]
        grown[:, :-1] |= tall[:, 1:]
        grown &= belongs
        if (grown == place).all():
            return np.asarray(place)
        place = grown


def write_map(suspicious: Array, path: Path) -> Path:
    """Write a map as a gray PNG, a pixel for each cell; white is surely a defect.

    Raises:
        WriteError: it can't be written.
    """
    from PIL import Image

    levels = np.round(np.clip(suspicious, 0, 1) * 255).astype(np.uint8)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise errors.WriteError(
            f"{path.parent} can't be made: {error.strerror or error}", remedy="name another folder"
        ) from error
    with console.whole_file(path) as partial, partial.open("wb") as file:
        Image.fromarray(levels).save(file, format="PNG")
    return path
