"""The job: from pictures of good and bad parts to a file that inspects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepseek_apps.defects.options import Options
from deepseek_core import applications

if TYPE_CHECKING:
    from deepseek_core import Artifact, Session


class Defects(applications.Application):
    """Inspection by pictures; its options are those of `Options`."""

    def __init__(self, **options: Any) -> None:
        self._options = Options(**options)

    def prepare(
        self, source: Path, context: applications.ApplicationContext
    ) -> applications.DataCard:
        """Read a folder `good/`, `CLASS/`, `masks/CLASS/`; see `folder`.

        Raises:
            InputError: a folder that lacks something, or pictures that can't be used.
        """
        from deepseek_apps.defects.preparing import prepare

        return prepare(source, self._options, context)

    def train(self, seed: int, context: applications.ApplicationContext) -> None:
        """Leave the weights of a seed.

        Raises:
            InputError: no prepared data, or a folder with a training of other data or options.
            Interrupted: it was stopped; the next call goes on.
        """
        from deepseek_apps.defects.training import train

        train(seed, self._options, context)

    def evaluate(
        self, seeds: Sequence[int], context: applications.ApplicationContext
    ) -> applications.Evaluation:
        """Judge the trained networks on the test part, thresholds chosen on validation.

        Raises:
            InputError: a seed that was not trained, or with other data.
        """
        from deepseek_apps.defects.evaluating import evaluate

        return evaluate(seeds, self._options, context)

    def export(
        self, seed: int, target: Path, context: applications.ApplicationContext
    ) -> Sequence[Artifact]:
        """Write `model.onnx` and `inspection.json`.

        Raises:
            InputError: a seed that was not trained, or with other data.
        """
        from deepseek_apps.defects.exporting import export

        return export(seed, target, self._options, context)

    def run(
        self, target: Path, inputs: Sequence[Path], session: Session
    ) -> Iterable[Mapping[str, Any]]:
        """Inspect pictures, and those of folders; one row each.

        Raises:
            InputError: no picture, or files of an export that are damaged.
        """
        from deepseek_apps.defects.answering import answer

        options = self._options
        return answer(
            target, inputs, session, maps=Path(options.maps) if options.maps else None,
            timed=options.timed, deadline_ms=options.deadline_ms,
        )  # fmt: skip
