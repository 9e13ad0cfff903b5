"""Splits into parts by group and class, equal for equal data whatever their order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from hashlib import sha256
from typing import Final

import attrs

from deepseek_core import errors

PARTS: Final = ("train", "validation", "test")


@attrs.frozen(kw_only=True)
class Split:
    """Numbers of items by part, each sorted; `hash` is a SHA-256 over the ids of each part."""

    parts: Mapping[str, tuple[int, ...]]
    hash: str

    @property
    def counts(self) -> dict[str, int]:
        """Items by part."""
        return {name: len(items) for name, items in self.parts.items()}


def split(
    ids: Sequence[str],
    shares: Mapping[str, float],
    *,
    seed: int,
    groups: Sequence[Hashable] | None = None,
    classes: Sequence[Hashable] | None = None,
) -> Split:
    """Deal items into parts by their shares; a group stays whole, classes are spread evenly.

    Groups come in the order of a hash of the seed and their least id, so neither the order of the
    items nor a library's random numbers decide; each goes to the part that lacks most of its class.

    Raises:
        InputError: fewer groups than parts, ids that are not unique, or a part left empty.
    """
    _check(ids, shares)
    members = _members(ids, groups)
    if len(members) < len(shares):
        raise errors.InputError(
            f"{len(members)} groups can't be split into {len(shares)} parts",
            remedy="give more data, or group them by something finer",
        )
    dealt: dict[str, list[int]] = {part: [] for part in shares}
    for items in _strata(members, ids, classes, seed):
        _deal(items, shares, dealt)
    return named_split(ids, dealt)


def folds(
    ids: Sequence[str],
    count: int,
    *,
    seed: int,
    groups: Sequence[Hashable] | None = None,
    classes: Sequence[Hashable] | None = None,
) -> list[tuple[int, ...]]:
    """Items of `count` folds, dealt as `split` does.

    Raises:
        InputError: as `split`.
    """
    shares = {str(number): 1 / count for number in range(count)}
    dealt = split(ids, shares, seed=seed, groups=groups, classes=classes)
    return [dealt.parts[name] for name in shares]


def named_split(ids: Sequence[str], parts: Mapping[str, Sequence[int]]) -> Split:
    """A split that somebody else has decided (by time, by a given file), with its hash.

    Raises:
        InputError: a part is empty, or an item is in two.
    """
    seen: dict[int, str] = {}
    for part, items in parts.items():
        if not items:
            raise errors.InputError(f"the part {part!r} is empty", remedy="give more data")
        for item in items:
            if seen.setdefault(item, part) != part:
                raise errors.InputError(f"{ids[item]!r} is in {seen[item]!r} and in {part!r}")
    whole = {part: tuple(sorted(items)) for part, items in parts.items()}
    return Split(parts=whole, hash=_hash(ids, whole))


def _hash(ids: Sequence[str], parts: Mapping[str, Sequence[int]]) -> str:
    found = sha256()
    for part in sorted(parts):
        found.update(f"{part}\0{len(parts[part])}\0".encode())
        for name in sorted(ids[item] for item in parts[part]):
            found.update(f"{name}\0".encode("utf-8", "surrogatepass"))
    return found.hexdigest()


def _check(ids: Sequence[str], shares: Mapping[str, float]) -> None:
    if len(set(ids)) < len(ids):
        raise errors.InputError("two items have one id", remedy="give each item an id of its own")
    if len(shares) < 2 or min(shares.values()) <= 0 or abs(sum(shares.values()) - 1) > 1e-6:
        raise errors.InputError(
            f"the shares of the parts are {dict(shares)}",
            remedy="give shares above 0 that sum to 1",
        )


def _members(ids: Sequence[str], groups: Sequence[Hashable] | None) -> list[list[int]]:
    if groups is None:
        return [[item] for item in range(len(ids))]
    found: dict[Hashable, list[int]] = {}
    for item, group in enumerate(groups):
        found.setdefault(group, []).append(item)
    return list(found.values())


def _strata(
    members: list[list[int]],
    ids: Sequence[str],
    classes: Sequence[Hashable] | None,
    seed: int,
) -> list[list[list[int]]]:
    """Groups by the class that most of their items have, each in the order of its hash."""

    def order(items: list[int]) -> bytes:
        least = min(ids[item] for item in items)
        return sha256(f"{seed}\0{least}".encode("utf-8", "surrogatepass")).digest()

    strata: dict[Hashable, list[list[int]]] = {}
    for items in sorted(members, key=order):
        kinds: list[Hashable] = [None] if classes is None else [classes[item] for item in items]
        strata.setdefault(_most(kinds), []).append(items)
    return [strata[kind] for kind in sorted(strata, key=repr)]


def _most(kinds: Sequence[Hashable]) -> Hashable:
    counts = Counter(kinds)
    return min(counts, key=lambda kind: (-counts[kind], repr(kind)))


def _deal(
    groups: list[list[int]], shares: Mapping[str, float], dealt: dict[str, list[int]]
) -> None:
    """Give each group, the largest first, to the part that lacks most of this class."""
    total = sum(map(len, groups))
    have = dict.fromkeys(shares, 0)
    for items in sorted(groups, key=len, reverse=True):
        part = max(
            shares,
            key=lambda name: (shares[name] * total - have[name], shares[name], -len(dealt[name])),
        )
        dealt[part] += items
        have[part] += len(items)
