"""BLEU and chrF by sacrebleu, with the signatures that make scores comparable.

Source: Post, "A Call for Clarity in Reporting BLEU Scores", 2018. What BLEU is summed from is
given text by text, for the paired bootstrap (Koehn 2004).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import attrs
import numpy as np

from deepseek_core import errors

_TOKENIZERS: Final = {
    "zh": "zh",
    "cmn": "zh",
    "ja": "char",
    "th": "char",
    "lo": "char",
    "km": "char",
}
"""For languages that write no spaces: with the default, a whole sentence would be one word."""


@attrs.frozen(kw_only=True)
class Scores:
    """What a system scored on all texts, and with which settings of sacrebleu."""

    bleu: float
    chrf: float
    bleu_signature: str
    chrf_signature: str


class Scorer:
    """Scores of systems against the same references.

    Legend: `_references` of each text, `_bleu` and `_chrf` are sacrebleu's metrics.
    """

    def __init__(self, references: Sequence[Sequence[str]], language: str) -> None:
        from sacrebleu.metrics import BLEU, CHRF

        if not references or not all(references):
            raise errors.InputError(
                "a text without a reference can't be scored", remedy="give pairs to test on"
            )
        self._references = _streams(references)
        self._bleu: Any = BLEU(tokenize=tokenizer_of(language))
        self._chrf: Any = CHRF()

    def score(self, hypotheses: Sequence[str]) -> Scores:
        """Scores of all texts together."""
        bleu = self._bleu.corpus_score(list(hypotheses), self._references).score
        chrf = self._chrf.corpus_score(list(hypotheses), self._references).score
        return Scores(
            bleu=bleu, chrf=chrf, bleu_signature=str(self._bleu.get_signature()),
            chrf_signature=str(self._chrf.get_signature()),
        )  # fmt: skip

    def statistics(self, hypotheses: Sequence[str]) -> np.ndarray:
        """What BLEU is summed from, a row for each text."""
        extracted = self._bleu._extract_corpus_statistics(list(hypotheses), self._references)
        return np.asarray(extracted, float)

    def bleu_of(self, statistics: np.ndarray) -> float:
        """BLEU of the sum of rows."""
        return float(self._bleu._compute_score_from_stats(list(statistics.sum(0))).score)


def tokenizer_of(language: str) -> str:
    """The tokenizer of sacrebleu for a language, told by the start of its code."""
    return _TOKENIZERS.get(language.partition("-")[0].lower(), "13a")


def _streams(references: Sequence[Sequence[str]]) -> list[list[str | None]]:
    """The first reference of all texts, then the second; None where a text has fewer."""
    most = max(map(len, references))
    return [[own[n] if n < len(own) else None for own in references] for n in range(most)]
