"""Translation by an exported model: what a user runs, and what scores are made with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deepseek_apps.translate.special import NAMES
from deepseek_apps.translate.tasks import Row
from deepseek_apps.translate.vocabulary import Vocabulary
from deepseek_core import errors


class Deployed:
    """A model of CTranslate2 with the numbers of its pieces.

    Legend: `_pieces` by number, `_numbers` by piece, `_translator` is CTranslate2's.
    """

    def __init__(
        self, folder: Path, vocabulary: Vocabulary, threads: int = 1, compute: str = "float32"
    ) -> None:
        import ctranslate2

        self._pieces = vocabulary.pieces
        self._numbers = {piece: number for number, piece in enumerate(self._pieces)}
        try:
            self._translator: Any = ctranslate2.Translator(
                str(folder), device="cpu", compute_type=compute, inter_threads=1,
                intra_threads=threads,
            )  # fmt: skip
        except (RuntimeError, ValueError) as error:
            raise errors.ArtifactError(
                f"{folder} is not a model of CTranslate2: {error}",
                remedy="export the training once more",
            ) from error

    def translate(
        self, sources: Sequence[Row], most: int, beam: int = 1, batch: int = 64
    ) -> list[Row]:
        """Rows of target tokens, in order; a beam of 1 is greedy."""
        found = self._translator.translate_batch(
            [[self._pieces[number] for number in row] for row in sources],
            max_batch_size=batch, beam_size=beam, max_decoding_length=most,
            max_input_length=0,
        )  # fmt: skip
        return [self._row(one.hypotheses[0]) for one in found]

    def _row(self, pieces: Sequence[str]) -> Row:
        unknown = self._numbers[NAMES[0]]
        return [self._numbers.get(piece, unknown) for piece in pieces]
