"""Rows divided into parts so that nothing that hangs together is divided.

Rows hang together by a common group, or by a picture or sound of the same content. What the
table itself says about parts is taken, and leaks in it are warned of.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from deepseek_core import errors
from deepseek_fusion.job.table import PARTS, Row

Prints = Sequence[frozenset[str]]
"""What rows may have in common: `group:anna`, `picture:<digest>`; one set a row."""

_SHARES: Final = {"test": 0.2, "validation": 0.15}
_LARGEST: Final = 0.5
"""What hangs together may be half of all rows; more can't be divided in a useful way."""


def digest(content: bytes) -> str:
    """Name a content."""
    return hashlib.sha256(content).hexdigest()[:32]


def split_rows(rows: Sequence[Row], prints: Prints, seed: int) -> dict[str, list[int]]:
    """Return numbers of rows by part.

    Raises:
        InputError: they can't be divided, or a part is empty.
    """
    if rows[0].part:
        parts = {name: [i for i, row in enumerate(rows) if row.part == name] for name in PARTS}
    else:
        parts = _drawn(prints, seed)
    for name in ("train", "test"):
        if not parts[name]:
            raise errors.InputError(
                f"the {name} part would have no rows",
                remedy="give more rows or groups, or name the parts in a column `part`",
            )
    return parts


def _drawn(prints: Prints, seed: int) -> dict[str, list[int]]:
    clusters = connected(prints)
    largest = max(map(len, clusters))
    if largest > _LARGEST * len(prints) and len(prints) > 1:
        raise errors.InputError(
            f"{largest} of {len(prints)} rows hang together by groups, pictures or sounds",
            remedy="name the parts in a column `part`, so that no two share a picture or sound",
        )
    order = np.random.default_rng(seed).permutation(len(clusters))
    parts: dict[str, list[int]] = {name: [] for name in PARTS}
    for at in order:
        short = [p for p, share in _SHARES.items() if len(parts[p]) < share * len(prints)]
        parts[short[0] if short else "train"].extend(clusters[at])
    return {name: sorted(numbers) for name, numbers in parts.items()}


def connected(prints: Prints) -> list[list[int]]:
    """Return rows that hang together, directly or through others."""
    root = list(range(len(prints)))

    def top(at: int) -> int:
        while root[at] != at:
            root[at] = root[root[at]]
            at = root[at]
        return at

    first: dict[str, int] = {}
    for at, found in enumerate(prints):
        for one in found:
            root[top(at)] = top(first.setdefault(one, at))
    clusters: dict[int, list[int]] = defaultdict(list)
    for at in range(len(prints)):
        clusters[top(at)].append(at)
    return list(clusters.values())


def leaks(parts: Mapping[str, Sequence[int]], prints: Prints) -> tuple[str, ...]:
    """Tell what training and test rows have in common, by kind."""
    trained = {one for i in (*parts["train"], *parts["validation"]) for one in prints[i]}
    shared: dict[str, int] = defaultdict(int)
    for i in parts["test"]:
        for kind in {one.partition(":")[0] for one in prints[i] & trained}:
            shared[kind] += 1
    total = len(parts["test"])
    return tuple(
        f"{count} of {total} test rows have a {kind} that training rows have, too"
        for kind, count in sorted(shared.items())
    )


def split_hash(parts: Mapping[str, Sequence[int]], names: Sequence[str]) -> str:
    """Name a split by the contents of its rows, whatever their order."""
    told = hashlib.sha256()
    for part in PARTS:
        told.update(f"{part}\n".encode())
        told.update("\n".join(sorted(names[i] for i in parts[part])).encode())
    return told.hexdigest()
