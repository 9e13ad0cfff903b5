"""Samples that define a range by themselves."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

import attrs
import numpy as np

from deepseek_compress.errors import BadCalibration
from deepseek_compress.quantize.observing import Observer

REFUSED: Final = 4.0
"""So much wider, a range takes two of the eight bits from all other samples."""
NOTED: Final = 2.0
_FEWEST: Final = 4  # of fewer samples, each defines a range
_MANY: Final = 32  # from so many on, a feature that one sample shows is no matter of chance


@attrs.frozen(kw_only=True)
class Poison:
    """A sample without which (and its like) a tensor's range would be `factor` times narrower."""

    sample: int
    tensor: str
    factor: float
    certain: bool

    def __str__(self) -> str:
        wider = f"{self.factor:.3g}x wider"
        return f"sample {self.sample} alone makes the range of {self.tensor!r} {wider}"


def find_poison(
    observers: Mapping[str, Observer], inputs: Collection[str], read: Collection[str]
) -> Poison | None:
    """The sample that widens a range most, if it is by `NOTED` or more; inputs are named first.

    Looked at are `inputs` and the tensors that heavy nodes `read`; the first are what samples are
    made of, the second may be rare features, so that few samples prove nothing. One in a hundred
    samples may be left out together, so that two bad ones do not hide each other.
    """
    looked_at = [observers[name] for name in (*inputs, *read) if name in observers]
    found = [poison for seen in looked_at if (poison := _worst(seen, inputs)) is not None]
    return max(
        found, key=lambda p: (p.certain, p.certain and p.tensor in inputs, p.factor), default=None
    )


def _worst(seen: Observer, inputs: Collection[str]) -> Poison | None:
    count = len(seen.lows)
    if count < _FEWEST:
        return None
    lows, highs = np.minimum(seen.lows, 0.0), np.maximum(seen.highs, 0.0)
    reach = np.maximum(-lows, highs)
    kept = np.argsort(reach, kind="stable")[: count - max(1, count // 100)]
    width = highs[kept].max() - lows[kept].min()
    whole = highs.max() - lows.min()
    factor = whole / width if width > 0 else (np.inf if whole > 0 else 1.0)
    if factor < NOTED:
        return None
    certain = factor >= REFUSED and (seen.name in inputs or count >= _MANY)
    return Poison(
        sample=int(np.argmax(reach)), tensor=seen.name, factor=float(factor), certain=certain
    )


def refuse_poison(poison: Poison | None) -> None:
    """Raise where a sample costs all others two bits.

    Raises:
        BadCalibration: names the sample, the tensor and by how much.
    """
    if poison is not None and poison.certain:
        raise BadCalibration(
            f"{poison}: it takes bits from all others",
            remedy=f"look at sample {poison.sample} and leave it out, or set outliers='keep'",
        )
