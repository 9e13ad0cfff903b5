"""Pictures and masks of files.

Legend: H x W px.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np

from deepseek_core import console

SUFFIXES: Final = frozenset(
    (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".pgm", ".ppm")
)
_LOSSY: Final = frozenset((".jpg", ".jpeg", ".webp"))
_FEW: Final = 16
"""Levels of a mask that numbers sorts of defects; one with soft edges has more."""


def read_mask(file: Path) -> np.ndarray[Any, Any]:
    """Which pixels a mask marks, bool [H, W].

    A mask of few levels or colors, which may number sorts of defects, marks all that is not black;
    one of many, which has soft edges, what is above half of its highest level. So does one whose
    format makes levels of its own, however few.

    Raises:
        InputError: as `console.read_picture`.
    """
    found = console.read_picture(file, 3).max(-1)
    levels = np.unique(found)
    is_numbered = len(levels) <= _FEW and file.suffix.lower() not in _LOSSY
    return np.asarray(found > (0 if is_numbered else levels[-1] // 2))
