"""Parameters and multiply-adds of a plan, by calculation; the model is not run again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from deepseek_compress.prune.structure import Structure


class Sizes:
    """Sizes as functions of the number of units that each block keeps.

    Every size is a sum of products of lengths, and every length is linear in what blocks keep.
    Fields: `blocks`, the units of each; `full`, their numbers.
    """

    def __init__(self, structure: Structure) -> None:
        self.blocks = [b.units for g in structure.groups for b in g.blocks]
        self.full = np.array([len(units) for units in self.blocks], dtype=float)
        self._block_of = np.full(structure.unit_count + 1, -1)  # by unit: its block; -1: none
        for at, units in enumerate(self.blocks):
            self._block_of[list(units)] = at
        # by vector: how many of its entries each block has, until `_per_block` is made
        self._rows: list[np.ndarray] = [np.zeros(len(self.blocks))]
        # `_known`: by the units of a vector: its number
        self._constants, self._known = [1], {b"": 0}
        params = _Products(self._parameters(structure))
        costs = _Products(
            [(c.factor, [self.vector(v) for v in c.vectors]) for c in structure.costs]
        )
        self._params, self._costs = params, costs
        # layer -> numbers of the vectors into it and out of it
        self.layers = {
            size.layer: (self.vector(size.into), self.vector(size.out))
            for size in structure.layer_sizes
        }
        # _per_block: [vector][block], and a constant: lengths are linear in what blocks keep
        self._per_block, self._constant = np.array(self._rows), np.array(self._constants)

    def _parameters(self, structure: Structure) -> list[tuple[float, list[int]]]:
        axes: dict[str, dict[int, int]] = {}
        for axis in structure.axes:
            axes.setdefault(axis.parameter, {})[axis.axis] = self.vector(axis.units)
        found = []
        for name, shape in structure.shapes.items():
            if name not in structure.buffers:
                own = axes.get(name, {})
                rest = np.prod([n for a, n in enumerate(shape) if a not in own], dtype=np.int64)
                found.append((float(rest), list(own.values())))
        return found

    def vector(self, units: np.ndarray) -> int:
        """The number of a vector whose length is asked for."""
        key = units.tobytes()
        if key not in self._known:
            row = np.zeros(len(self.blocks))
            owners = self._block_of[units[units >= 0]]
            for block, count in zip(*np.unique(owners, return_counts=True), strict=True):
                row[block] = count / len(self.blocks[block])
            self._known[key] = len(self._rows)
            self._rows.append(row)
            self._constants.append(int((units < 0).sum()))
        return self._known[key]

    def lengths(self, kept: np.ndarray) -> np.ndarray:
        """The length of each vector if each block keeps so many units."""
        return np.asarray(self._per_block @ kept + self._constant)

    def at(self, kept: np.ndarray) -> tuple[float, float]:
        """Parameters and multiply-adds if each block keeps so many units."""
        lengths = self.lengths(kept)
        return self._params.total(lengths), self._costs.total(lengths)

    def after(self, removed: set[int]) -> tuple[int, int]:
        """Parameters and multiply-adds without these units."""
        kept = [sum(u not in removed for u in units) for units in self.blocks]
        params, macs = self.at(np.array(kept, dtype=float))
        return round(params), round(macs)


class _Products:
    """A sum of factors, each times the lengths of some vectors; vector 0 has length 1."""

    def __init__(self, terms: Sequence[tuple[float, list[int]]]) -> None:
        width = max((len(rows) for _, rows in terms), default=0)
        self.factors = np.array([factor for factor, _ in terms])
        self.rows = np.array([rows + [0] * (width - len(rows)) for _, rows in terms], dtype=int)

    def total(self, lengths: np.ndarray) -> float:
        if not self.rows.size:
            return float(self.factors.sum())
        return float(self.factors @ np.prod(lengths[self.rows], axis=1))
