"""Parameters and multiply-adds of a plan, by calculation; the model is not run again."""

from __future__ import annotations

import numpy as np

from deepseek_compress.prune.structure import Structure


class Sizes:
    """Sizes as functions of the number of units that each block keeps.

    Fields: `blocks`, the units of each; `constant` and `per_block`, which give the length of
    each vector that can shrink; `parameters`, `costs`: products of such vectors.
    """

    def __init__(self, structure: Structure) -> None:
        self.structure = structure
        self.blocks = [b.units for g in structure.groups for b in g.blocks]
        self.block_of = np.full(structure.unit_count + 1, -1)
        for at, units in enumerate(self.blocks):
            self.block_of[list(units)] = at
        self._rows: list[np.ndarray] = []
        self._constants: list[int] = []
        self._known: dict[bytes, int] = {}
        self.fixed_params, self.parameters = self._parameters()
        self.costs = [(c.factor, [self._vector(v) for v in c.vectors]) for c in structure.costs]
        self.per_block = np.array(self._rows).reshape(len(self._rows), len(self.blocks))
        self.constant = np.array(self._constants)
        self.full = np.array([len(units) for units in self.blocks])

    def _parameters(self) -> tuple[int, list[tuple[int, list[int]]]]:
        axes: dict[str, dict[int, int]] = {}
        for axis in self.structure.axes:
            axes.setdefault(axis.parameter, {})[axis.axis] = self._vector(axis.units)
        fixed, shrinking = 0, []
        for name, shape in self.structure.shapes.items():
            if name in self.structure.buffers:
                continue
            rest = int(np.prod([n for a, n in enumerate(shape) if a not in axes.get(name, {})], dtype=np.int64))
            if name in axes:
                shrinking.append((rest, list(axes[name].values())))
            else:
                fixed += rest
        return fixed, shrinking

    def _vector(self, units: np.ndarray) -> int:
        """The row of a vector: how many entries stay, and how many each block's unit has."""
        key = units.tobytes()
        if key not in self._known:
            row = np.zeros(len(self.blocks))
            inside = units[units >= 0]
            for block in np.unique(self.block_of[inside]):
                members = inside[self.block_of[inside] == block]
                row[block] = len(members) / len(self.blocks[block])
            self._known[key] = len(self._rows)
            self._rows.append(row)
            self._constants.append(int((units < 0).sum()))
        return self._known[key]

    def at(self, kept: np.ndarray) -> tuple[float, float]:
        """Parameters and multiply-adds if each block keeps so many units."""
        lengths = self.per_block @ kept + self.constant if len(self._rows) else np.zeros(0)
        params = self.fixed_params + sum(rest * np.prod(lengths[rows]) for rest, rows in self.parameters)
        macs = sum(factor * (np.prod(lengths[rows]) if rows else 1.0) for factor, rows in self.costs)
        return float(params), float(macs)

    def after(self, removed: set[int]) -> tuple[int, int]:
        """Parameters and multiply-adds without these units."""
        kept = np.array([sum(u not in removed for u in units) for units in self.blocks], dtype=float)
        params, macs = self.at(kept)
        return round(params), round(macs)
