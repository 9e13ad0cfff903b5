"""Answers lines of text with exported files, on the devices of a session or by CTranslate2."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import attrs
import numpy as np

from deepseek_apps.translate.options import Options
from deepseek_apps.translate.prepared import VOCABULARY
from deepseek_apps.translate.run_folder import Run
from deepseek_apps.translate.search import beam_search
from deepseek_apps.translate.special import UNKNOWN
from deepseek_apps.translate.tasks import Row
from deepseek_apps.translate.text import read_lines
from deepseek_apps.translate.vocabulary import Vocabulary
from deepseek_core import Session, errors

FACTS: Final = "translate.json"
MODEL: Final = "ctranslate2"
_SCHEMA: Final = 1
_AT_ONCE: Final = 256
"""Lines that CTranslate2 is given at once."""


@attrs.frozen(kw_only=True)
class Line:
    """A line to translate; `row` is what the model takes, empty for an empty line."""

    file: str
    number: int
    text: str
    row: Row


def facts_of(run: Run) -> dict[str, Any]:
    """What an export says of itself; `state` is how the steps are begun."""
    shape = run.shape
    return {
        "schema": _SCHEMA,
        "source_language": run.options.source_language,
        "target_language": run.options.target_language,
        "longest": run.options.longest,
        "vocabulary": run.vocabulary,
        "state": [
            {
                "name": "past", "output": "seen", "init": "empty",
                "shape": ["batch", 2 * shape.decoder_layers, shape.heads, 0,
                          shape.width // shape.heads],
            }
        ],
    }  # fmt: skip


class Steps:
    """Translation by the ONNX files, token by token, placed by a session.

    Legend: `_encoder`, `_step` are plans, `_empty` is the state that a text begins with.
    """

    def __init__(self, session: Session, target: Path) -> None:
        facts = read_facts(target)
        self._encoder = session.plan(session.load(target / "encoder.onnx"))
        self._step = session.plan(session.load(target / "step.onnx"), latency="realtime")
        shape = [1 if size == "batch" else size for size in facts["state"][0]["shape"]]
        self._empty = np.zeros(shape, np.float32)

    def translate(self, row: Row, most: int, beam: int = 1) -> Row:
        """The best hypothesis of a beam, which is greedy with 1."""
        source = np.asarray([row])
        keys = self._encoder.run({"source": source})["keys"]

        def step(tokens: np.ndarray, past: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            given = {
                "token": tokens, "past": past, "source": source.repeat(len(tokens), 0),
                "keys": keys.repeat(len(tokens), 0),
            }  # fmt: skip
            found = self._step.run(given)
            return found["logits"], found["seen"]

        return beam_search(step, lambda past, beams: past[beams], self._empty, most, beam)


def read_facts(target: Path) -> dict[str, Any]:
    """What an export says of itself.

    Raises:
        ArtifactError: it is no export of this application.
    """
    try:
        facts: dict[str, Any] = json.loads((target / FACTS).read_text(encoding="utf-8"))
        if facts["schema"] != _SCHEMA or not isinstance(facts["longest"], int):
            raise ValueError(f"schema {facts['schema']}")
        return facts
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise errors.ArtifactError(
            f"{target} is no export of a translator: {error}",
            remedy="ds-sdk app translate export",
        ) from error


def read_inputs(
    inputs: Sequence[Path], vocabulary: Vocabulary, facts: Mapping[str, Any]
) -> list[Line]:
    """Lines of all files, every one of which can be translated.

    Raises:
        InputError: a file without text, a line that is too long, or as of `read_lines`.
    """
    lines = [line for path in inputs for line in _lines(path, vocabulary, facts)]
    if not any(line.row for line in lines):
        raise errors.InputError(
            f"{', '.join(map(str, inputs)) or 'no file'}: there is no text to translate",
            remedy="give files with a sentence a line",
        )
    return lines


def _lines(path: Path, vocabulary: Vocabulary, facts: Mapping[str, Any]) -> Iterator[Line]:
    texts = read_lines(path)
    rows = vocabulary.source(texts, facts["target_language"])
    for number, (text, row) in enumerate(zip(texts, rows, strict=True), 1):
        if len(row) > facts["longest"] + 2:
            raise errors.InputError(
                f"{path}, line {number} has {len(text.split()):,} words, which make "
                f"{len(row) - 2:,} tokens; the model was trained on up to {facts['longest']}",
                remedy="divide it into sentences, one a line",
            )
        yield Line(file=str(path), number=number, text=text, row=row if text else [])


def answers(
    target: Path, inputs: Sequence[Path], session: Session, options: Options
) -> Iterator[dict[str, Any]]:
    """A row for each line, in order; an empty line has an empty translation.

    `unknown` is the share of a line's tokens that the vocabulary has no piece for: all of it, in
    a script that was not trained on.
    """
    facts = read_facts(target)
    vocabulary = Vocabulary.load(target / VOCABULARY, facts["vocabulary"])
    lines = read_inputs(inputs, vocabulary, facts)
    translate = _engine(target, session, vocabulary, options)
    count = _AT_ONCE if options.engine == MODEL else 1
    for begin in range(0, len(lines), count):
        several = lines[begin : begin + count]
        rows = [line.row for line in several if line.row]
        made = iter(translate(rows, facts["longest"]) if rows else [])
        for line in several:
            found = next(made) if line.row else []
            yield _answer(line, vocabulary.decode([found])[0])


def _engine(target: Path, session: Session, vocabulary: Vocabulary, options: Options) -> Any:
    if options.engine == MODEL:
        from deepseek_apps.translate.deployed import Deployed

        deployed = Deployed(target / MODEL, vocabulary, compute=options.compute)
        return lambda rows, most: deployed.translate(rows, most, beam=options.beam)
    steps = Steps(session, target)
    return lambda rows, most: [steps.translate(row, most, options.beam) for row in rows]


def _answer(line: Line, translation: str) -> dict[str, Any]:
    text = line.row[1:-1]
    unknown = sum(token == UNKNOWN for token in text) / len(text) if text else 0.0
    return {
        "file": line.file, "line": line.number, "source": line.text,
        "translation": translation, "unknown": round(unknown, 3),
    }  # fmt: skip
