"""Ranks in a grid."""

from __future__ import annotations

import math
from collections.abc import Mapping

import attrs

from deepseek_core.contracts.errors import InputError


@attrs.frozen(kw_only=True)
class Mesh:
    """Ranks in a grid: axis name -> size, slowest axis first (`{"dp": 2, "tp": 4}`)."""

    sizes: Mapping[str, int]

    @property
    def num_ranks(self) -> int:
        """Product of the sizes."""
        return math.prod(self.sizes.values())

    def coordinates(self, rank: int) -> dict[str, int]:
        """Place of a rank on each axis.

        Raises:
            InputError: no such rank.
        """
        if not 0 <= rank < self.num_ranks:
            raise InputError(f"no rank {rank} in a mesh of {self.num_ranks}")
        place: dict[str, int] = {}
        for axis in reversed(tuple(self.sizes)):
            rank, place[axis] = divmod(rank, self.sizes[axis])
        return {axis: place[axis] for axis in self.sizes}
