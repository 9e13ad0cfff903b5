"""Folds: each part is in one of them, and each class is spread over all as evenly as can be.

Legend: N pictures, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any, Final

import numpy as np

from deepseek_core import errors

PARTS: Final = ("train", "validation", "test")
Array = np.ndarray[Any, Any]


def deal(labels: Array, groups: Sequence[str], folds: int) -> Array:
    """The fold of each picture, (N,): large groups first, each where its classes are rarest.

    Which of several equal folds a group goes to hangs on a hash of its name: equal data give equal
    folds, whatever the order of the files.
    """
    names, members = np.unique(np.asarray(groups), return_inverse=True)
    total = np.maximum(np.bincount(labels), 1)
    counts = np.zeros((len(names), len(total)))
    np.add.at(counts, (members, labels), 1)
    digests = [sha256(name.encode()).hexdigest() for name in names]
    order = sorted(range(len(names)), key=lambda g: (-counts[g].sum(), digests[g]))
    have, fold_of = np.zeros((folds, len(total))), np.empty(len(names), np.int64)
    for group in order:
        worse = (((have + counts[group]) / total) ** 2 - (have / total) ** 2).sum(1)
        fold_of[group] = fold = int(np.argmin(np.round(worse, 12)))
        have[fold] += counts[group]
    return np.asarray(fold_of[members])


def parts_of(folds_of: Array, fold: int, folds: int) -> Array:
    """The part of each picture, (N,) of `PARTS`: fold `fold` is the test, the next validation."""
    place = (folds_of - fold) % folds
    return np.asarray(PARTS)[np.where(place == 0, 2, np.where(place == 1, 1, 0))]


def check_parts(labels: Array, parts: Array, classes: Sequence[str]) -> None:
    """See that each part has good pictures and all classes, as no model is judged by what lacks.

    Raises:
        InputError: a class that is missing in one of the parts.
    """
    for number, name in enumerate(classes):
        for part in PARTS:
            if not ((labels == number) & (parts == part)).any():
                raise errors.InputError(
                    f"class {name!r} shows {int((labels == number).sum())} pictures, none of "
                    f"which falls into the {part} part",
                    remedy="add pictures of more parts (three groups or more of each class), or "
                    "put the class together with another one",
                )


def split_hash(names: Sequence[str], parts: Array) -> str:
    """A SHA-256 over the sorted names of each part."""
    found = sha256()
    for part in PARTS:
        for name in sorted(n for n, p in zip(names, parts, strict=True) if p == part):
            found.update(f"{part}\0{name}\n".encode())
    return found.hexdigest()
