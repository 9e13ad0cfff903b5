"""The codec as a compressor: the largest 1 % of an array, in 10.7 to 11.5 bits each."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from deepseek_core import Compressor, Packed, errors
from deepseek_parallel.codec import levels, packet
from deepseek_parallel.codec.select import Vector, largest, num_kept

RATIO: Final = 0.01


class TopK(Compressor):
    """Keeps the largest magnitudes of a float32 array; the others come back as zero.

    `ratio` is the share that is kept, 0 to 1. It remembers nothing: error feedback is the work of
    who trains (`CompressedSGD`).
    """

    def __init__(self, ratio: float = RATIO) -> None:
        if not 0 < ratio <= 1:
            raise errors.ConfigError(f"ratio must be more than 0 and at most 1, got {ratio}")
        self.ratio = ratio

    def pack(self, array: NDArray[np.float32]) -> Packed:
        """Keep the largest.

        Raises:
            InputError: another dtype, NaN or infinity.
        """
        flat = self._flat(array)
        places = self._kept(flat)
        return Packed(
            data=packet.encode(places, flat[places], len(flat)),
            dtype=array.dtype.name,
            shape=array.shape,
        )

    def unpack(self, packed: Packed) -> NDArray[np.float32]:
        """The array with zeros where nothing was kept.

        Raises:
            InputError: damaged or foreign data.
        """
        if packed.dtype != "float32":
            raise errors.InputError(f"{packed.dtype} was never packed by this compressor")
        back = np.zeros(int(np.prod(packed.shape)), np.float32)
        kept = packet.decode(packed.data, len(back))
        if kept.bad is not None:
            raise errors.InputError("the packet tells of a gradient that is not finite")
        back[kept.places] = kept.values
        return back.reshape(packed.shape)

    def error_bound(self, array: NDArray[np.float32]) -> float:
        """The smallest magnitude that is kept, or how far apart codes of values are."""
        flat = self._flat(array)
        kept = np.abs(flat[self._kept(flat)])
        if not len(kept):
            return 0.0
        low, high = levels.span_of(kept)
        above = float(kept.max()) - high  # above 0 at the end of float32 alone
        left = float(kept.min()) if len(kept) < len(flat) else 0.0
        return max(left, levels.most_error(low, high), above)

    def _kept(self, flat: Vector) -> NDArray[np.int64]:
        return largest(flat, num_kept(len(flat), self.ratio))

    def _flat(self, array: NDArray[np.float32]) -> Vector:
        if array.dtype != np.float32:
            raise errors.InputError(
                f"it packs float32, got {array.dtype}", remedy="use array.astype('float32')"
            )
        flat: Vector = np.ascontiguousarray(array).reshape(-1)
        if not np.isfinite(flat).all():
            raise errors.InputError("NaN or infinity can't be packed")
        return flat
