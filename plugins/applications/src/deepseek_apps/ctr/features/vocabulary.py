"""A column of categories: an id for each value that is frequent enough, and one for the others."""

from __future__ import annotations

import attrs
import numpy as np

from deepseek_apps.ctr.table import Ints, Texts

UNKNOWN = 0
"""The id of a value that the training part did not have, or not often enough."""


@attrs.frozen(kw_only=True)
class Vocabulary:
    """Values with an id of their own, `values[i]` with `i + 1`; sorted."""

    name: str
    values: tuple[str, ...]

    @property
    def num_ids(self) -> int:
        """Values, and the unknown one."""
        return len(self.values) + 1

    def ids(self, texts: Texts) -> Ints:
        """The id of each text."""
        if not self.values:
            return np.zeros(len(texts), np.int64)
        known = np.array(self.values)
        place = np.minimum(np.searchsorted(known, texts), len(known) - 1)
        return np.where(known[place] == texts, place + 1, UNKNOWN).astype(np.int64)


def fit_vocabulary(name: str, texts: Texts, min_count: int) -> Vocabulary:
    """The values that occur `min_count` times or more."""
    values, counts = np.unique(texts, return_counts=True)
    return Vocabulary(name=name, values=tuple(str(v) for v in values[counts >= min_count]))
