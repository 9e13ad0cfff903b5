"""Parts of parallel text that share no sentence, whichever side it stands on.

Many sentences have several translations, and these have others: pairs that share a sentence are
one group, and a group stays whole.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from deepseek_apps.translate.corpus import Pair
from deepseek_apps.translate.text import key
from deepseek_core import errors


def groups_of(pairs: Sequence[Pair]) -> list[int]:
    """The number of each pair's group: the connected components of sentences."""
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while (above := parent.setdefault(name, name)) != name:
            parent[name] = parent.setdefault(above, above)
            name = parent[name]
        return name

    for source, target in pairs:
        parent[root("s" + key(source))] = root("t" + key(target))
    numbers: dict[str, int] = {}
    return [numbers.setdefault(root("s" + key(pair[0])), len(numbers)) for pair in pairs]


def split(pairs: Sequence[Pair], share: float, seed: int = 0) -> tuple[list[Pair], ...]:
    """Training, validation and test pairs; the last two of about `share` of all pairs each.

    Which groups are held back hangs on what they say and the seed, not on their order.

    Raises:
        InputError: there are too few groups for three parts.
    """
    members = defaultdict(list)
    for pair, number in zip(pairs, groups_of(pairs), strict=True):
        members[number].append(pair)
    if len(members) < 3:
        raise errors.InputError(
            f"the {len(pairs):,} pairs make {len(members)} groups that share no sentence, and 3 "
            "parts need 3",
            remedy="give more pairs, or files of your own for validation and test",
        )
    wanted = max(1, round(share * len(pairs)))
    parts: tuple[list[Pair], ...] = ([], [], [])
    for group in sorted(members.values(), key=lambda group: _order(group, seed)):
        parts[_part_for(group, parts, wanted)].extend(group)
    if not all(parts):
        raise errors.InputError(
            f"the {len(pairs):,} pairs make groups too large to be parted",
            remedy="give more pairs, or files of your own for validation and test",
        )
    return parts


def _part_for(group: Sequence[Pair], parts: Sequence[Sequence[Pair]], wanted: int) -> int:
    """Test, then validation, as long as they lack as many; a group that is too large is trained."""
    for number in (2, 1):
        if len(parts[number]) + len(group) <= wanted:
            return number
    return 0


def _order(group: Iterable[Pair], seed: int) -> bytes:
    first = min(group)
    return hashlib.sha256(f"{seed}\t{first[0]}\t{first[1]}".encode()).digest()


def shared(train: Iterable[Pair], held: Iterable[Pair]) -> int:
    """How many held pairs have a side that a training pair has too."""
    train = list(train)
    sides = [{key(pair[side]) for pair in train} for side in (0, 1)]
    return sum(key(pair[0]) in sides[0] or key(pair[1]) in sides[1] for pair in held)


def with_references(pairs: Iterable[Pair]) -> list[tuple[str, tuple[str, ...]]]:
    """Each source once, with all of its translations."""
    found: dict[str, Counter[str]] = {}
    for source, target in pairs:
        found.setdefault(source, Counter())[target] += 1
    return [(source, tuple(targets)) for source, targets in found.items()]
