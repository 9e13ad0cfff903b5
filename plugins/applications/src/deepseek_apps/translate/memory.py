"""The simplest baseline that can be right: the translation of the most similar text known.

A translation memory, as translators used them before; no model is trained. Similarity is the
cosine of words by inverse document frequency, of pairs of characters where no spaces are written.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from deepseek_apps.translate.corpus import Pair
from deepseek_apps.translate.text import key


def _terms(text: str) -> Iterable[str]:
    """Words; pairs of characters of what is beyond the scripts that part words by spaces."""
    for word in key(text).split():
        yield from (word[n : n + 2] for n in range(len(word))) if word[0] > "\u2e80" else (word,)


class Memory:
    """Pairs to look a text up in.

    Legend: `_targets` of the pairs, `_weights` of a term, `_places` in which pairs it stands and
    with what share of their length.
    """

    def __init__(self, pairs: Sequence[Pair]) -> None:
        self._targets = [pair[1] for pair in pairs]
        counts = [Counter(_terms(pair[0])) for pair in pairs]
        seen = Counter(term for one in counts for term in one)
        self._weights = {term: math.log(1 + len(pairs) / n) for term, n in seen.items()}
        self._places: dict[str, list[tuple[int, float]]] = defaultdict(list)
        for number, one in enumerate(counts):
            norm = math.sqrt(sum((n * self._weights[term]) ** 2 for term, n in one.items()))
            for term, n in one.items():
                self._places[term].append((number, n * self._weights[term] / norm))

    def translate(self, text: str) -> str:
        """The translation of the most similar text; the first one's where none is similar."""
        sums: dict[int, float] = defaultdict(float)
        for term, count in Counter(_terms(text)).items():
            for number, share in self._places.get(term, ()):
                sums[number] += count * self._weights[term] * share
        best = max(sums, key=lambda number: (sums[number], -number), default=0)
        return self._targets[best]
