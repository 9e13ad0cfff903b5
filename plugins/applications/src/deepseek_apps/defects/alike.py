"""Pictures that show the same: equal ones, and those whose fine texture agrees.

Legend: N pictures, h x w px.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any, Final

import numpy as np

ALIKE: Final = 0.9  # correlation of the texture of two pictures that may show one part
_SIDE: Final = 48  # px that texture is compared at
_BLOCK: Final = 512  # pictures compared at once

Array = np.ndarray[Any, Any]


def content_of(levels: Array) -> str:
    """A hash of what a picture shows, uint8 (H, W, C): equal for one file format or another.

    Levels count from the darkest on and in units of their range, so a copy in other light of the
    same picture is found where nothing was rounded.
    """
    gray = levels.astype(np.int32).sum(-1)
    low, high = int(gray.min()), int(gray.max())
    scaled = np.round((gray - low) * (255.0 / max(1, high - low))).astype(np.uint8)
    return sha256(f"{scaled.shape}".encode() + scaled.tobytes()).hexdigest()


def texture_of(levels: Array) -> Array:
    """The fine texture of a picture at the network's size, float32 (n,) of length 1 or 0.

    Levels less those around them: light and vignetting, which all pictures of a camera share, are
    no sign of one part.
    """
    gray = levels.astype(np.float32).mean(-1)
    step = max(1, round(max(gray.shape) / _SIDE))
    gray = gray[: gray.shape[0] // step * step, : gray.shape[1] // step * step]
    small = gray.reshape(gray.shape[0] // step, step, -1, step).mean((1, 3))
    fine = (small - _around(small)).ravel()
    norm = float(np.linalg.norm(fine))
    return np.asarray(fine / norm if norm > len(fine) ** 0.5 * 0.25 else fine * 0)


def _around(x: Array) -> Array:
    """Means over 5 x 5 px."""
    padded = np.pad(x, 2, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (5, 5))
    return np.asarray(windows.mean((2, 3)), dtype=np.float32)


def equal_pairs(contents: Sequence[str]) -> list[tuple[int, int]]:
    """Rows of equal content, each with the first one that has it."""
    first: dict[str, int] = {}
    return [(known, row) for row, content in enumerate(contents)
            if (known := first.setdefault(content, row)) != row]  # fmt: skip


def alike_pairs(textures: Array, these: Array, those: Array) -> list[tuple[int, int]]:
    """For each row of `these` the most similar of `those`, where it is similar enough.

    `textures` is (N, n), both others are rows of it.
    """
    found = []
    for start in range(0, len(these), _BLOCK):
        rows = these[start : start + _BLOCK]
        close = textures[rows] @ textures[those].T
        best = close.argmax(1)
        for row, at, value in zip(rows, best, close.max(1), strict=True):
            if value > ALIKE:
                found.append((int(row), int(those[at])))
    return found
