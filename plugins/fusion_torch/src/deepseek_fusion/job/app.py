"""The application `trimodal`: five steps over a work folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from deepseek_core import Artifact, Session, applications
from deepseek_fusion.job.options import Options


class Trimodal(applications.Application):
    """Tells classes apart by text, picture and sound; `options` are those of a job."""

    def __init__(self, **options: Any) -> None:
        self.options = Options(**options)

    def prepare(
        self, source: Path, context: applications.ApplicationContext
    ) -> applications.DataCard:
        """Read and check a table and its files, split them, and write arrays."""
        from deepseek_fusion.job.preparing import prepare

        return prepare(source, context, self.options)

    def train(self, seed: int, context: applications.ApplicationContext) -> None:
        """Train the joined model and late fusion; goes on where it was stopped."""
        from deepseek_fusion.job.training import Training

        Training(seed=seed, context=context, options=self.options).run()

    def evaluate(
        self, seeds: Sequence[int], context: applications.ApplicationContext
    ) -> applications.Evaluation:
        """Judge the joined model with all subsets of modalities, beside the baselines."""
        from deepseek_fusion.job.evaluating import Evaluator

        return Evaluator(seeds, context, self.options).run()

    def export(
        self, seed: int, target: Path, context: applications.ApplicationContext
    ) -> Sequence[Artifact]:
        """Write the joined model as ONNX, and what its inputs are."""
        from deepseek_fusion.job.exporting import export

        return export(context.seed(seed), target, context.data)

    def run(
        self, target: Path, inputs: Sequence[Path], session: Session
    ) -> Iterable[Mapping[str, Any]]:
        """Answer tables of the same format; labels in them are left out of account."""
        from deepseek_fusion.job.running import answers

        return answers(target, inputs, session)
