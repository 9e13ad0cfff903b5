"""Leaks: what the test part shares with the training part, and items that belong together."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Final

import attrs

_TOLD: Final = 3


@attrs.frozen(kw_only=True)
class Leak:
    """Items of `part` whose content, or group, is in `other` too; `examples` are some of them."""

    what: str
    part: str
    other: str
    count: int
    of: int
    examples: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """What to know before the figures are believed."""
        return (
            f"{self.count} of {self.of} items of {self.part} have a {self.what} that is in "
            f"{self.other} too, such as {', '.join(map(repr, self.examples))}: its figures flatter"
        )


def leaks(
    keys: Sequence[Hashable],
    parts: Mapping[str, Sequence[int]],
    *,
    what: str = "content",
    names: Sequence[str] | None = None,
) -> tuple[Leak, ...]:
    """Items whose key an earlier part has as well; parts in their order, "train" first.

    `keys` are contents (a hash, a text without case, a whole row) or groups; None is like no other.
    """
    found = []
    order = list(parts)
    for at, part in enumerate(order[1:], start=1):
        for other in order[:at]:
            theirs = {keys[item] for item in parts[other]} - {None}
            shared = [item for item in parts[part] if keys[item] in theirs]
            if shared:
                told = [str(names[i] if names else keys[i]) for i in shared[:_TOLD]]
                found.append(
                    Leak(
                        what=what, part=part, other=other, count=len(shared),
                        of=len(parts[part]), examples=tuple(text[:60] for text in told),
                    )
                )  # fmt: skip
    return tuple(found)


def connected(*columns: Iterable[Hashable]) -> list[int]:
    """A group for each row: rows that share a value in any column are of one, so are theirs.

    None is no value. Pairs of sentences with a source or a target in common are one group.
    """
    rows = list(zip(*columns, strict=True))
    parent = list(range(len(rows)))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    first: dict[tuple[int, Hashable], int] = {}
    for row, values in enumerate(rows):
        for column, value in enumerate(values):
            if value is not None:
                one, other = root(row), root(first.setdefault((column, value), row))
                parent[max(one, other)] = min(one, other)
    return [root(row) for row in range(len(rows))]
