"""Pieces of words, learned with sentencepiece from the training part alone.

Source: Kudo and Richardson, "SentencePiece", 2018.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import attrs

from deepseek_apps.translate.options import Options
from deepseek_apps.translate.special import END, GAP, NAMES, NOISED, PAD, UNKNOWN, tag
from deepseek_core import console, errors

_COVERAGE = 0.9998
"""Share of the characters in the training part that get a piece; rarer ones are unknown."""


class Vocabulary:
    """Text to numbers of pieces and back.

    Legend: `fingerprint` tells this model from one of another run, `_model` is sentencepiece's.
    """

    def __init__(self, content: bytes, where: str) -> None:
        import sentencepiece

        self.fingerprint = hashlib.sha256(content).hexdigest()
        self._model: Any = sentencepiece.SentencePieceProcessor()
        try:
            self._model.LoadFromSerializedProto(content)
            known = [self._model.IdToPiece(number) for number in range(len(NAMES))]
        except (RuntimeError, OSError, IndexError) as error:
            raise errors.ArtifactError(
                f"{where} is not a model of sentencepiece",
                remedy="give the vocabulary.model that `prepare` wrote",
            ) from error
        if tuple(known) != NAMES:
            raise errors.ArtifactError(
                f"{where} is a vocabulary of another tool: its first pieces are {known}",
                remedy="give the vocabulary.model that `prepare` wrote",
            )

    @classmethod
    def load(cls, path: Path, fingerprint: str | None = None) -> Vocabulary:
        """Read a model, and refuse one of another run where a fingerprint is known.

        Raises:
            ArtifactError: it is missing, damaged, or of another run.
        """
        try:
            found = cls(path.read_bytes(), str(path))
        except OSError as error:
            raise errors.ArtifactError(
                f"{path} can't be read: {error.strerror}", remedy="prepare the data once more"
            ) from error
        if fingerprint not in (None, found.fingerprint):
            raise errors.ArtifactError(
                f"{path} is the vocabulary of another run ({found.fingerprint[:12]}, and the "
                f"weights were trained with {str(fingerprint)[:12]})",
                remedy="train once more with this vocabulary, or put the former one back",
            )
        return found

    def __len__(self) -> int:
        return int(self._model.GetPieceSize())

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Numbers of the pieces of each text; special tokens can't be written in a text."""
        return self._model.EncodeAsIds(list(texts)) if texts else []

    def decode(self, rows: Sequence[Sequence[int]]) -> list[str]:
        """Texts of rows of numbers; special tokens are left out."""
        kept = [[n for n in row if n > NOISED and not self._model.IsControl(n)] for row in rows]
        return [" ".join(text.split()) for text in self._model.DecodeIds(kept)] if kept else []

    def tag(self, language: str) -> int:
        """The token that asks for a language.

        Raises:
            InputError: no text of that language was trained on.
        """
        number = int(self._model.PieceToId(tag(language)))
        if number == UNKNOWN:
            raise errors.InputError(
                f"the vocabulary has no language {language}",
                remedy=f"prepare the data with train.{language}",
            )
        return number

    def source(self, texts: Sequence[str], language: str) -> list[list[int]]:
        """Rows that the model takes: the tag of the language to make, the text, its end."""
        first = self.tag(language)
        return [[first, *row, END] for row in self.encode(texts)]

    @property
    def pieces(self) -> list[str]:
        """All pieces in the order of their numbers."""
        return [self._model.IdToPiece(number) for number in range(len(self))]


def train_vocabulary(texts: Iterable[str], languages: Sequence[str], options: Options) -> bytes:
    """Learn the pieces that all languages share, or fewer where a small text makes no more.

    The model as a file's content. Text is taken as it is: NFKC, sentencepiece's default, would
    make half-width what Chinese writes full-width, and a score would miss it.

    Raises:
        ConfigError: so few pieces can't be made of these texts.
    """
    given = list(texts)
    try:
        return _trained(given, languages, options)
    except RuntimeError as error:
        takes = _pieces_taken(str(error))
        if takes is None or takes > options.vocabulary:
            raise errors.ConfigError(
                f"{options.vocabulary:,} pieces can't be made of this text: "
                f"{str(error).splitlines()[0].strip()}",
                remedy=f"--set vocabulary={takes}" if takes else "give more text",
            ) from error
    return _trained(given, languages, attrs.evolve(options, vocabulary=takes))


def _trained(texts: Sequence[str], languages: Sequence[str], options: Options) -> bytes:
    import sentencepiece

    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.Train(
        sentence_iterator=iter(texts), model_writer=written, vocab_size=options.vocabulary,
        model_type=options.vocabulary_kind, character_coverage=_COVERAGE,
        normalization_rule_name="identity", num_threads=1, minloglevel=2,
        unk_id=UNKNOWN, bos_id=1, eos_id=END, pad_id=PAD,
        control_symbols=[NAMES[GAP], NAMES[NOISED], *(tag(code) for code in languages)],
    )  # fmt: skip
    return written.getvalue()


def _pieces_taken(said: str) -> int | None:
    """A number of pieces that sentencepiece takes, where it says one as it refuses another."""
    found = re.search(r"(?:<=|\d+ vs)\s*(\d+)", said)
    return int(found[1]) if found else None


def write_vocabulary(content: bytes, path: Path) -> None:
    """Write the file whole."""
    with console.whole_file(path) as partial:
        partial.write_bytes(content)
