"""Parts of parallel text that share no sentence, whichever side it stands on.

Many sentences have several translations, and these have others: pairs that share a sentence are
one group, and a group stays whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from deepseek_apps.shared import splits
from deepseek_apps.shared.leaks import connected
from deepseek_apps.translate.corpus import Pair
from deepseek_apps.translate.text import key


def split(pairs: Sequence[Pair], share: float) -> tuple[splits.Split, list[Pair]]:
    """Training, validation and test parts of the pairs, each once; the last two of about `share`.

    Raises:
        InputError: there are too few groups for three parts.
    """
    once = list(dict.fromkeys(pairs))
    groups = connected((key(pair[0]) for pair in once), (key(pair[1]) for pair in once))
    shares = {"train": 1 - 2 * share, "validation": share, "test": share}
    return splits.split(ids_of(once), shares, seed=0, groups=groups), once


def ids_of(pairs: Iterable[Pair]) -> list[str]:
    """What a pair is known by: its text."""
    return ["\t".join(pair) for pair in pairs]


def shared(train: Iterable[Pair], held: Iterable[Pair]) -> int:
    """How many held pairs have a side that a training pair has too."""
    train = list(train)
    sides = [{key(pair[side]) for pair in train} for side in (0, 1)]
    return sum(key(pair[0]) in sides[0] or key(pair[1]) in sides[1] for pair in held)


def with_references(pairs: Iterable[Pair]) -> list[tuple[str, tuple[str, ...]]]:
    """Each source once, with all of its translations."""
    found: dict[str, dict[str, None]] = {}
    for source, target in pairs:
        found.setdefault(source, {})[target] = None
    return [(source, tuple(targets)) for source, targets in found.items()]
