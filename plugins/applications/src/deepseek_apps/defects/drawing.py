"""Draws to train with: classes in balance; pictures mirrored, shifted, stretched, lit again.

Legend: N pictures, h x w px of the network, c channels of it, i the number of a draw.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import attrs
import numpy as np

from deepseek_apps.defects.network import STRIDE

if TYPE_CHECKING:
    from deepseek_apps.defects.kept import Kept

GOOD_SHARE: Final = 0.4  # of all draws; defects of every class share the rest equally
CLOSE_SHARE: Final = 0.8  # of a training looks at halves of a side, which cost a quarter
_TRIES: Final = 8  # at views that still show the defect
_MARGIN: Final = 4  # px from the border of a close view that a defect's pixel keeps
_GAIN, _LIGHT, _NOISE = (0.8, 1.25), 0.15, 0.1  # of channels, whose spread is about 1
_SHADED, _SHADE = 0.7, 0.4  # share of draws on which light falls unevenly, and by how much
_BLURRED, _BLUR = 0.3, (0.3, 1.0)  # share of draws that are out of focus, and by how many px
_REACH: Final = 3  # px

Array = np.ndarray[Any, Any]


@attrs.frozen(kw_only=True)
class Variation:
    """How much a draw may differ from its picture: shares of a side, logarithm of the zoom.

    Where light is `uneven`, it falls off over many draws, and some are out of focus.
    """

    shift: float = 0.1
    zoom: float = 0.25
    flips: tuple[bool, bool] = (True, True)  # up and down, left and right
    uneven: bool = True


class Draws:
    """Makes as many draws as a training takes, each of channels, a mask and a class.

    Draw i depends on the seed and on i alone, so that a training that is resumed, or shared by
    several processes, sees the same pictures. Early draws are close views, around a pixel of the
    defect or anywhere on a good part: the network learns what defects look like from four times as
    many for the same time. Where a defect has no mask nobody knows where to look, and all views
    are whole.
    """

    def __init__(
        self,
        kept: Kept,
        rows: Array,
        length: int,
        seed: int,
        variation: Variation,
        *,
        close_share: float = CLOSE_SHARE,
    ) -> None:
        self._size, self._length, self._seed = kept.size, length, seed
        self._channels, self._masks = np.asarray(kept.channels), np.asarray(kept.masks)
        self._has_mask = kept.has_mask
        self._variation = variation
        classes = kept.classes_of[rows]
        # rows of the pictures of each class, good ones first
        self._rows = [rows[classes == number] for number in range(len(kept.classes))]
        masked = kept.has_mask[rows][classes > 0].all()
        self._close = int(close_share * length) if masked else 0  # draws that are close views

    def __len__(self) -> int:
        return self._length

    def size_of(self, i: int) -> tuple[int, int]:
        """Height and width of draw i."""
        height, width = self._size
        if i >= self._close:
            return height, width
        return _half(height), _half(width)

    def __getitems__(self, numbers: list[int]) -> list[Mapping[str, Array]]:
        """Draws of one batch, all of the size of its first one."""
        size = self.size_of(numbers[0])
        return [self._draw(i, size) for i in numbers]

    def __getitem__(self, i: int) -> Mapping[str, Array]:
        """Draw i: `x` float32 (c, h, w), `mask` float32 (h, w), `masked`, `label`."""
        return self._draw(i, self.size_of(i))

    def _draw(self, i: int, size: tuple[int, int]) -> Mapping[str, Array]:
        rng = np.random.default_rng((self._seed, i))
        label = self._label(rng)
        row = int(rng.choice(self._rows[label]))
        mask = self._masks[row]
        for _ in range(_TRIES):
            places = _places(mask.shape, self._variation, rng)
            shown = mask[np.ix_(*(np.rint(at).astype(np.int64) for at in places))]
            if shown.any() or not mask.any():
                break
        else:
            places, shown = [np.arange(length) * 1.0 for length in mask.shape], np.array(mask)
        window = _window(shown, size, rng)
        rows, columns = (at[part] for at, part in zip(places, window, strict=True))
        seen = _lit(_seen(self._channels[row], rows, columns), rng)
        if self._variation.uneven:
            seen = _uneven(seen, rng)
        return {
            "x": seen.transpose(2, 0, 1).copy(),
            "mask": shown[window].astype(np.float32),
            "masked": np.float32(self._has_mask[row]),
            "label": np.int64(label),
        }

    def _label(self, rng: np.random.Generator) -> int:
        if rng.random() < GOOD_SHARE:
            return 0
        return int(rng.integers(1, len(self._rows)))


def _half(length: int) -> int:
    return max(2 * STRIDE, length // 2 // STRIDE * STRIDE)


def _places(shape: tuple[int, ...], variation: Variation, rng: np.random.Generator) -> list[Array]:
    """Where each pixel of a view comes from, by axis; outside the picture is mirrored inside."""
    places = []
    for axis, length in enumerate(shape):
        middle = (length - 1) / 2
        zoom = np.exp(rng.uniform(-variation.zoom, variation.zoom))
        shift = rng.uniform(-variation.shift, variation.shift) * length
        at = (np.arange(length) - middle) / zoom + middle + shift
        if variation.flips[axis] and rng.random() < 0.5:
            at = at[::-1]
        inside = np.abs(at) % (2 * length - 2)
        places.append(np.where(inside > length - 1, 2 * length - 2 - inside, inside))
    return places


def _window(shown: Array, size: tuple[int, int], rng: np.random.Generator) -> tuple[slice, slice]:
    """A part of a view of that size, around one of the defect's pixels if it shows any."""
    marked = np.argwhere(shown)
    middle = marked[rng.integers(len(marked))] if len(marked) else None
    found = []
    for axis, length in enumerate(size):
        room = shown.shape[axis] - length
        first = int(rng.integers(0, room + 1))
        if middle is not None:
            first = int(middle[axis]) - int(rng.integers(_MARGIN, length - _MARGIN))
        first = min(max(first, 0), room)
        found.append(slice(first, first + length))
    return found[0], found[1]


def _seen(channels: Array, rows: Array, columns: Array) -> Array:
    """Channels at those places; only columns that lie between them are looked at."""
    first, last = int(columns.min()), int(columns.max()) + 2
    between = _between(channels[:, first:last], rows, 0)
    return _between(between, columns - first, 1)


def _between(x: Array, at: Array, axis: int) -> Array:
    """Values between pixels along an axis, by linear interpolation; float32."""
    low = np.minimum(at.astype(np.int64), x.shape[axis] - 2)
    part = (at - low).astype(np.float32).reshape(-1, *([1] * (x.ndim - 1 - axis)))
    one = np.take(x, low, axis).astype(np.float32)
    other = np.take(x, low + 1, axis)
    return np.asarray(one + (other - one) * part)


def _lit(channels: Array, rng: np.random.Generator) -> Array:
    """Another contrast and light; the last channel, local contrast, knows no light."""
    light = np.zeros(channels.shape[-1], np.float32)
    light[:-1] = rng.normal(0, _LIGHT)
    noise = rng.standard_normal(channels.shape, dtype=np.float32) * rng.uniform(0, _NOISE)
    return np.asarray(channels * rng.uniform(*_GAIN) + light + noise, dtype=np.float32)


def _uneven(channels: Array, rng: np.random.Generator) -> Array:
    """Many under a light that falls off, some out of focus."""
    if rng.random() < _SHADED:
        channels[..., :-1] += _shade(channels.shape[:2], rng)
    if rng.random() < _BLURRED:
        return _blurred(channels, rng.uniform(*_BLUR))
    return channels


def _shade(size: tuple[int, int], rng: np.random.Generator) -> Array:
    """Light that differs over a view as a polynomial of the second degree, (h, w, 1)."""
    y, x = (np.linspace(-1, 1, length, dtype=np.float32) for length in size)
    y, x = y[:, None, None], x[None, :, None]
    parts = (y, x, y * x, y * y, x * x)
    return np.asarray(sum(rng.normal(0, _SHADE) * part for part in parts), dtype=np.float32)


def _blurred(x: Array, spread: float) -> Array:
    """Each channel under a Gaussian of that many px; at the border by what is inside."""
    weights = np.exp(-0.5 * (np.arange(-_REACH, _REACH + 1) / spread) ** 2).astype(np.float32)
    weights /= weights.sum()
    for axis in (0, 1):
        around = [(_REACH, _REACH) if each == axis else (0, 0) for each in range(x.ndim)]
        wide, length = np.pad(x, around, mode="edge"), x.shape[axis]
        x = sum(
            weight * wide.take(range(start, start + length), axis)
            for start, weight in enumerate(weights)
        )
    return x
