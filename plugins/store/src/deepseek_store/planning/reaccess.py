"""Learned heat: what objects of some heat and age did next, in this very store.

A decaying rate expects the past to go on. Real objects differ: many are read once and never again,
others come back after a day. So two pictures of all heats, some time apart, are compared: how many
accesses came to the objects of one class (their decayed accesses) and idle age, and how many had
their rates told? The quotient corrects the rate; where little was seen, the rate is believed.

Tables are [class, age]; both double from one row or column to the next. Times inside are in
half-lives.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Final, Self

import attrs
import numpy as np
from numpy.typing import NDArray

from deepseek_store.planning.heat import LN2, Heat, age_s, rate_at

CLASSES: Final = 16
AGES: Final = 16
_LOWEST_CLASS: Final = -7.0  # log2 of the decayed accesses in the middle of class 0
_YOUNGEST_AGE: Final = -10.0  # log2 of the idle age, in half-lives, in the middle of age 0
_PRIOR_ACCESSES: Final = 2.0  # the rate is believed as if so many accesses had agreed with it
_KEEP: Final = 0.98  # what was seen fades with each lesson, so that habits may change

Table = NDArray[np.float64]


def _empty() -> Table:
    return np.zeros((CLASSES, AGES))


@attrs.frozen(kw_only=True, eq=False)
class Reaccess:
    """What was seen, and the accesses to expect from it."""

    half_life_s: float
    came: Table = attrs.field(factory=_empty)
    """Accesses that came."""
    told: Table = attrs.field(factory=_empty)
    """Accesses that the rates had told."""

    @cached_property
    def _log2(self) -> list[list[float]]:
        """log2 of the accesses to expect per half-life in the middle of each class and age."""
        table: list[list[float]] = np.log2(_expected(self.came, self.told)).tolist()
        return table

    def learn(
        self, before: Sequence[Heat], after: Sequence[Heat], then_s: float, now_s: float
    ) -> Self:
        """Add what happened between two pictures of the same objects, in the same order.

        Learns nothing when the clock stood still or went back meanwhile.
        """
        return self.learn_columns(columns(before), columns(after), then_s, now_s)

    def learn_columns(
        self, before: tuple[Table, Table], after: tuple[Table, Table], then_s: float, now_s: float
    ) -> Self:
        """`learn` from rates and times of the last access, as columns."""
        passed = (now_s - then_s) / self.half_life_s
        if not len(before[0]) or not (passed > 0.0 and math.isfinite(passed)):
            return self
        mass, age = self._decayed(*before, then_s)
        new_mass, _ = self._decayed(*after, now_s)
        kept = 2.0**-passed
        # An access in between has decayed by now, on average by this.
        decayed = (1.0 - kept) / (LN2 * passed)
        count = np.maximum(new_mass - mass * kept, 0.0) / max(decayed, 1e-9)
        cell = _nearest(mass, _LOWEST_CLASS, CLASSES) * AGES + _nearest(age, _YOUNGEST_AGE, AGES)
        return attrs.evolve(
            self,
            came=_KEEP * self.came + _summed(cell, count),
            told=_KEEP * self.told + _summed(cell, mass * LN2 * passed),
        )

    def rate_at(self, heat: Heat, now_s: float) -> float:
        """Accesses per second to expect from here on; grows with the heat at any age."""
        rate = rate_at(heat, now_s, self.half_life_s)
        if rate <= 0.0:
            return 0.0
        mass = math.log2(rate * self.half_life_s / LN2) - _LOWEST_CLASS
        age = max(age_s(heat, now_s) / self.half_life_s, 1e-6)
        log2 = self._between(mass, math.log2(age) - _YOUNGEST_AGE)
        return math.exp2(min(log2, 60.0)) / self.half_life_s

    def rates_at(self, rate_per_s: Table, at_s: Table, now_s: float) -> Table:
        """`rate_at` of many heats, given as columns."""
        mass, age = self._decayed(rate_per_s, at_s, now_s)
        row = np.log2(np.maximum(mass, 2.0**-1000)) - _LOWEST_CLASS
        inside = np.clip(row, 0.0, CLASSES - 1.0)
        column = np.clip(np.log2(np.maximum(age, 1e-6)) - _YOUNGEST_AGE, 0.0, AGES - 1.0)
        i = np.minimum(inside.astype(np.intp), CLASSES - 2)
        j = np.minimum(column.astype(np.intp), AGES - 2)
        u, v, table = inside - i, column - j, np.array(self._log2)
        low = table[i, j] + v * (table[i, j + 1] - table[i, j])
        high = table[i + 1, j] + v * (table[i + 1, j + 1] - table[i + 1, j])
        log2 = np.minimum(low + u * (high - low) + (row - inside), 60.0)
        return np.where(mass > 0.0, np.exp2(log2) / self.half_life_s, 0.0)

    def _between(self, row: float, column: float) -> float:
        """Bilinear; beyond the first and last class in proportion to the heat."""
        inside = min(max(row, 0.0), CLASSES - 1.0)
        column = min(max(column, 0.0), AGES - 1.0)
        i, j = min(int(inside), CLASSES - 2), min(int(column), AGES - 2)
        u, v = inside - i, column - j
        low, high = self._log2[i], self._log2[i + 1]
        at_low, at_high = low[j] + v * (low[j + 1] - low[j]), high[j] + v * (high[j + 1] - high[j])
        return at_low + u * (at_high - at_low) + (row - inside)

    def _decayed(self, rate_per_s: Table, at_s: Table, now_s: float) -> tuple[Table, Table]:
        """Decayed accesses, and idle ages in half-lives."""
        age = ages_s(at_s, now_s) / self.half_life_s
        return rate_per_s * np.exp2(-age) * self.half_life_s / LN2, age

    def to_json(self) -> dict[str, Any]:
        """All that was seen, as plain values."""
        return {
            "half_life_s": self.half_life_s,
            "came": self.came.tolist(),
            "told": self.told.tolist(),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """What `to_json` told.

        Raises:
            ValueError: these are no tables of ours.
        """
        given = (np.array(content[name], dtype=np.float64) for name in ("came", "told"))
        came, told = (table.reshape(CLASSES, AGES) for table in given)
        return cls(half_life_s=float(content["half_life_s"]), came=came, told=told)


def columns(heats: Sequence[Heat]) -> tuple[Table, Table]:
    """Rates per second and times of the last access."""
    rate = np.array([heat.rate_per_s for heat in heats], dtype=np.float64)
    return rate, np.array([heat.at_s for heat in heats], dtype=np.float64)


def ages_s(at_s: Table, now_s: float) -> Table:
    """Seconds since each time; 0 where the clock is behind it."""
    passed_s = now_s - at_s
    return np.where((passed_s > 0.0) & np.isfinite(passed_s), passed_s, 0.0)


def _nearest(value: Table, first_log2: float, length: int) -> NDArray[np.intp]:
    place = np.rint(np.log2(np.maximum(value, 2.0**-60)) - first_log2)
    return np.asarray(np.clip(place, 0, length - 1), dtype=np.intp)


def _summed(cell: NDArray[np.intp], value: Table) -> Table:
    total = np.bincount(cell, weights=value, minlength=CLASSES * AGES)
    return total.reshape(CLASSES, AGES).astype(np.float64)


def _expected(came: Table, told: Table) -> Table:
    """Accesses per half-life to expect, [class, age]; never fewer in a hotter class."""
    by_rate = LN2 * 2.0 ** (_LOWEST_CLASS + np.arange(CLASSES))[:, None]
    weight = told + _PRIOR_ACCESSES
    rate = (came + _PRIOR_ACCESSES) / weight * by_rate
    return np.column_stack([_rising(rate[:, j], weight[:, j] / by_rate[:, 0]) for j in range(AGES)])


def _rising(values: Table, weights: Table) -> Table:
    """The nearest non-decreasing sequence (pool adjacent violators)."""
    blocks: list[tuple[float, float, int]] = []
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        mean, total, length = value, weight, 1
        while blocks and blocks[-1][0] > mean:
            last_mean, last_total, last_length = blocks.pop()
            mean = (mean * total + last_mean * last_total) / (total + last_total)
            total, length = total + last_total, length + last_length
        blocks.append((mean, total, length))
    return np.repeat([mean for mean, _, _ in blocks], [length for _, _, length in blocks])
