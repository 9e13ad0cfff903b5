"""The translation job: parallel text in, a small translator that other tools load out."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from deepseek_apps.translate.options import Options
from deepseek_apps.translate.prepared import VOCABULARY, read_prepared
from deepseek_apps.translate.run_folder import Run, begin_run, read_run
from deepseek_apps.translate.shape import Shape
from deepseek_apps.translate.special import SPARE
from deepseek_core import Artifact, Session, applications


class Translate(applications.Application):
    """Transformer with multi-task learning.

    Legend: `options` are the user's.
    """

    def __init__(self, **options: Any) -> None:
        self.options = Options(**options)

    def prepare(
        self, source: Path, context: applications.ApplicationContext
    ) -> applications.DataCard:
        """Read the text, part it, and learn the pieces of the training part.

        Raises:
            InputError: text that can't be used.
            ConfigError: a vocabulary that can't be made of it.
        """
        from deepseek_apps.translate.preparing import read_parts, write_parts

        context.progress(0, 2, "reading")
        parts = read_parts(source, self.options)
        context.progress(1, 2, "learning the vocabulary")
        partial = context.data.with_name(f"{context.data.name}.part")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        try:
            data = write_parts(parts, partial, self.options)
            shutil.rmtree(context.data, ignore_errors=True)
            partial.replace(context.data)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        counts = {name: len(getattr(data, name)) for name in ("train", "validation", "test")}
        return applications.DataCard(
            source=self.options.source or source.name,
            license=self.options.license or "not stated",
            parts=counts, split=parts.how, split_hash=parts.hash, warnings=parts.warnings,
            notes=[*_more(data.others, len(data.monolingual)), *self._fewer(context)],
        )  # fmt: skip

    def _fewer(self, context: applications.ApplicationContext) -> list[str]:
        made, asked = _pieces(context), self.options.vocabulary
        return [f"this text makes {made:,} pieces, not {asked:,}"] if made < asked else []

    def train(self, seed: int, context: applications.ApplicationContext) -> None:
        """Train one seed, or go on where it was stopped.

        Raises:
            Interrupted: it was stopped; the next call goes on.
            ConfigError: the folder holds a training with other options.
        """
        from deepseek_apps.translate.training import train_run

        run = self._run(seed, context)
        begin_run(run)
        train_run(run, context)

    def evaluate(
        self, seeds: Sequence[int], context: applications.ApplicationContext
    ) -> applications.Evaluation:
        """Score the test part, beside a translation memory.

        Raises:
            InputError: a seed that was not trained, or files of another run.
        """
        from deepseek_apps.translate.evaluating import evaluate_runs

        return evaluate_runs([self._trained(seed, context) for seed in seeds], context.threads)

    def export(
        self, seed: int, target: Path, context: applications.ApplicationContext
    ) -> Sequence[Artifact]:
        """Write ONNX files, a model of CTranslate2 and the vocabulary, all verified.

        Raises:
            InputError: a seed that was not trained, or a file that translates otherwise.
        """
        from deepseek_apps.translate.exporting import export_run

        exported = export_run(self._trained(seed, context), target, context.threads)
        context.progress(1, 1, f"{exported.verified:,} texts are translated token by token alike")
        return [Artifact.from_path(path) for path in exported.files]

    def run(
        self, target: Path, inputs: Sequence[Path], session: Session
    ) -> Iterable[Mapping[str, Any]]:
        """Translate files, a sentence a line.

        Raises:
            InputError: a file that can't be read, or a line that is too long.
        """
        from deepseek_apps.translate.answering import answers

        return answers(target, inputs, session, self.options)

    def _run(self, seed: int, context: applications.ApplicationContext) -> Run:
        options = self.options
        shape = Shape(
            vocabulary=_pieces(context), width=options.width, inner=options.inner,
            heads=options.heads, encoder_layers=options.layers, decoder_layers=options.layers,
            positions=options.longest + SPARE,
        )  # fmt: skip
        return Run(
            folder=context.seed(seed), data=context.data, seed=seed, options=options, shape=shape,
            vocabulary=read_prepared(context.data).vocabulary,
        )  # fmt: skip

    def _trained(self, seed: int, context: applications.ApplicationContext) -> Run:
        return read_run(context.seed(seed))


def _pieces(context: applications.ApplicationContext) -> int:
    """How many pieces the vocabulary of prepared data has."""
    from deepseek_apps.translate.vocabulary import Vocabulary

    return len(Vocabulary.load(context.data / VOCABULARY))


def _more(others: Mapping[str, Sequence[object]], monolingual: int) -> list[str]:
    notes = [f"{len(pairs):,} pairs into {code}" for code, pairs in sorted(others.items())]
    if monolingual:
        notes.append(f"{monolingual:,} more texts of the target language")
    return notes
