"""Parallel strategies: how a plugin splits a model over ranks."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping

import attrs

from deepseek_core.contracts.errors import InputError
from deepseek_core.contracts.tensor import TensorSpec
from deepseek_core.contracts.units import as_names, check_locator, check_name


@attrs.frozen(kw_only=True)
class StrategySpec:
    """A way to train over a mesh with these axes; `factory`: a callable `() -> Strategy`.

    `elastic` says that it takes any number of ranks, so that some may join or leave.
    `probe`, where there is one, names a function `() -> None` that raises a `DeepSeekError`
    when this can't be used here.
    """

    name: str = attrs.field(validator=check_name)
    axes: tuple[str, ...] = attrs.field(converter=as_names)
    factory: str = attrs.field(validator=check_locator)
    probe: str | None = attrs.field(default=None, validator=check_locator)
    summary: str = ""
    elastic: bool = False
    requires: tuple[str, ...] = attrs.field(default=(), converter=as_names)
    priority: int = 0


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


Slices = tuple[slice, ...]
"""One slice with plain bounds for each dimension of a tensor."""


class Strategy(ABC):
    """Decides the mesh and which part of each tensor a rank holds; pure."""

    @abstractmethod
    def mesh(self, num_ranks: int) -> Mesh:
        """The mesh for so many ranks.

        Raises:
            InputError: this strategy can't use that number.
        """

    @abstractmethod
    def held_by(self, rank: int, tensor: TensorSpec, mesh: Mesh) -> Slices:
        """The part of a parameter that a rank holds.

        Over all ranks the parts cover every element, and each element equally often.

        Raises:
            InputError: no such rank in the mesh.
        """
