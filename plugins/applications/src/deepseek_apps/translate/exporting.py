"""Exports a training, and verifies that every file makes the tokens that the training makes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import attrs

from deepseek_apps.translate.answering import FACTS, MODEL, Steps, facts_of
from deepseek_apps.translate.deployed import Deployed
from deepseek_apps.translate.prepared import VOCABULARY
from deepseek_apps.translate.run_folder import Run
from deepseek_apps.translate.tasks import Row
from deepseek_apps.translate.training import WEIGHTS, load_model, load_texts
from deepseek_core import errors

_STEPPED: Final = 50
"""Texts that the ONNX files are held against; CTranslate2 is against all of the part."""


@attrs.frozen(kw_only=True)
class Exported:
    """Files of an export, and how many texts were found to be translated token by token alike."""

    files: tuple[Path, ...]
    verified: int


def export_run(run: Run, target: Path, threads: int) -> Exported:
    """Write all files into a folder.

    Raises:
        InputError: a file makes other tokens than the training; says of which text.
        ArtifactError: the training is not finished, or files are of another run.
    """
    from deepseek_apps.translate.to_ctranslate2 import convert
    from deepseek_apps.translate.to_onnx import export_files

    data, vocabulary = load_texts(run)
    model = load_model(run, run.folder / WEIGHTS)
    convert(model, vocabulary.pieces, target / MODEL)
    encoder, step = export_files(model, target)
    shutil.copyfile(run.data / VOCABULARY, target / VOCABULARY)
    (target / FACTS).write_text(json.dumps(facts_of(run), indent=1), encoding="utf-8")
    texts = list(dict.fromkeys(pair[0] for pair in data.validation))
    sources = vocabulary.source(texts, run.options.target_language)
    texts, sources = _within(texts, sources, run.options.longest)
    expected = _eager(model, sources, run.options.longest)
    deployed = Deployed(target / MODEL, vocabulary, threads)
    check_alike(texts, expected, deployed.translate(sources, run.options.longest), MODEL)
    few = slice(0, _STEPPED)
    found = _stepped(target, sources[few], run.options.longest, threads)
    check_alike(texts[few], expected[few], found, step.name)
    files = (
        *sorted((target / MODEL).iterdir()),
        encoder,
        step,
        target / VOCABULARY,
        target / FACTS,
    )
    return Exported(files=files, verified=len(texts))


def check_alike(
    texts: Sequence[str], expected: Sequence[Row], found: Sequence[Row], what: str
) -> None:
    """Refuse an export that translates a text otherwise than the training.

    Raises:
        InputError: it does; says which text and from which token on.
    """
    for text, one, other in zip(texts, expected, found, strict=True):
        if one != other:
            pairs = zip(one, other, strict=False)
            place = next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
            raise errors.InputError(
                f"{what} translates {text!r} otherwise than the training, from token {place + 1} "
                "on, so it was not exported",
                remedy="export another seed, and report this text with the versions of torch and "
                "ctranslate2",
            )


def _within(
    texts: Sequence[str], sources: Sequence[Row], longest: int
) -> tuple[list[str], list[Row]]:
    kept = [n for n, row in enumerate(sources) if len(row) <= longest + 2]
    return [texts[n] for n in kept], [sources[n] for n in kept]


def _eager(model: Any, sources: Sequence[Row], most: int) -> list[Row]:
    from deepseek_apps.translate.decoding import greedy_in_batches

    return greedy_in_batches(model, sources, most)


def _stepped(target: Path, sources: Sequence[Row], most: int, threads: int) -> list[Row]:
    from deepseek_core import Session

    with Session(threads=threads) as session:
        steps = Steps(session, target)
        return [steps.translate(row, most) for row in sources]
