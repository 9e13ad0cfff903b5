"""Which part each picture is for: folds by the part that is shown, classes spread evenly.

Legend: N pictures.
"""

from __future__ import annotations

from collections.abc import Sequence

from deepseek_apps.shared.splits import PARTS, Split, folds, named_split
from deepseek_core import errors


def deal(
    names: Sequence[str], labels: Sequence[int], groups: Sequence[str], *, count: int, test: int
) -> Split:
    """Deal pictures into `count` folds: number `test` is the test, the next one validation.

    Pictures of one group are in one fold. Equal data give equal folds, whatever their order.
    """
    dealt = folds(names, count, seed=0, groups=groups, classes=labels)
    parts: dict[str, list[int]] = {part: [] for part in PARTS}
    for number, items in enumerate(dealt):
        place = (number - test) % count
        parts["test" if place == 0 else "validation" if place == 1 else "train"] += items
    return named_split(names, parts)


def check_parts(labels: Sequence[int], split: Split, classes: Sequence[str]) -> None:
    """See that each part has all classes, as nothing can be said of one that it lacks.

    Raises:
        InputError: a class that is missing in one of the parts.
    """
    for part, rows in split.parts.items():
        present = {labels[row] for row in rows}
        for number, name in enumerate(classes):
            if number not in present:
                raise errors.InputError(
                    f"none of the {list(labels).count(number)} pictures of class {name!r} falls "
                    f"into the {part} part",
                    remedy="add pictures of more parts of that class (one a fold, three or more), "
                    "or put the class together with another one",
                )
