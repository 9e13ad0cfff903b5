"""Noise for denoising: a text with words missing, hidden and out of place.

Source: Lample et al., "Unsupervised Machine Translation Using Monolingual Corpora Only", 2018.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from deepseek_apps.translate.special import GAP

DROPPED: Final = 0.1
HIDDEN: Final = 0.15
REACH: Final = 3
"""How many places a piece can move, nearly."""


def noised(row: Sequence[int], rng: np.random.Generator) -> list[int]:
    """The row with a tenth of its pieces dropped, more hidden by a gap, all moved a little.

    At least one piece is left.
    """
    draws = rng.random(len(row))
    kept = [
        GAP if draw < DROPPED + HIDDEN else piece
        for piece, draw in zip(row, draws, strict=True)
        if draw >= DROPPED
    ]
    kept = kept or list(row[:1])
    places = np.arange(len(kept)) + rng.random(len(kept)) * REACH
    return [kept[place] for place in np.argsort(places, kind="stable")]
