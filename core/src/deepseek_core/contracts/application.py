"""Applications: whole jobs, from a user's data to files that answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from deepseek_core.contracts.units import as_names, check_locator, check_name

if TYPE_CHECKING:  # a plugin that offers an application loads none of them
    from deepseek_core.contracts.artifact import Artifact
    from deepseek_core.contracts.data_card import DataCard
    from deepseek_core.contracts.evaluation import Evaluation


@attrs.frozen(kw_only=True)
class ApplicationSpec:
    """A job that `ds-sdk app NAME` does; `factory` names `(**options) -> Application`.

    `tasks` are what it decides ("click", "translation"), `data` says in one line what format a
    user's data have. `options` names an attrs class with the options, their types and defaults;
    a field's metadata `help` is one line about it.
    """

    name: str = attrs.field(validator=check_name)
    factory: str = attrs.field(validator=check_locator)
    tasks: tuple[str, ...] = attrs.field(converter=as_names)
    data: str
    summary: str = ""
    options: str | None = attrs.field(default=None, validator=check_locator)
    requires: tuple[str, ...] = attrs.field(default=(), converter=as_names)
    priority: int = 0


def _quiet(_done: int, _of: int, _text: str) -> None:
    """Report no progress."""


@attrs.frozen(kw_only=True, eq=False)
class ApplicationContext:
    """What a step of an application may use.

    `folder` is the work folder of the job, the one place that it writes to (beside the target of
    an export): `data/` for what `prepare` leaves, `seed-N/` for a training. `card` is what
    `prepare` returned, None while that runs. `progress(done, of, text)` may raise, to stop the
    step; `threads` are those that it may use.
    """

    folder: Path
    card: DataCard | None = None
    threads: int = 1
    progress: Callable[[int, int, str], None] = _quiet

    @property
    def data(self) -> Path:
        """Where `prepare` leaves what the other steps read."""
        return self.folder / "data"

    def seed(self, seed: int) -> Path:
        """Where the training with that seed lives."""
        return self.folder / f"seed-{seed}"


class Application(ABC):
    """One job; made with its options: `factory(**options)`.

    Its steps share nothing but the work folder: each may run in a process of its own.
    """

    @abstractmethod
    def prepare(self, source: Path, context: ApplicationContext) -> DataCard:
        """Read and check a user's data, split them, and write `context.data`.

        The folder is a new one that is moved to its place when it returned, and gone where it
        raised: no path in it may be absolute. Equal data and options give an equal card.

        Raises:
            InputError: data that it can't use; says which file and line, and what to do.
        """

    @abstractmethod
    def train(self, seed: int, context: ApplicationContext) -> None:
        """Leave a trained model in `context.seed(seed)`; goes on where it was stopped.

        Raises:
            InputError: the data can't be trained on.
            Interrupted: it was stopped; the next call goes on.
        """

    @abstractmethod
    def evaluate(self, seeds: Sequence[int], context: ApplicationContext) -> Evaluation:
        """Judge the trained models and the baselines beside them on the test part.

        Raises:
            InputError: a seed that was not trained, or files of another run.
        """

    @abstractmethod
    def export(self, seed: int, target: Path, context: ApplicationContext) -> Sequence[Artifact]:
        """Write files into `target`, an empty folder, that `ds-sdk run` and other tools load.

        It is moved to its place afterwards: no path in the files may be absolute.

        Raises:
            InputError: a seed that was not trained, or files of another run.
        """

    @abstractmethod
    def run(
        self, target: Path, inputs: Sequence[Path], session: Any
    ) -> Iterable[Mapping[str, Any]]:
        """Answer inputs with the exported files in `target`: one row for each item, in order.

        `session` is a `deepseek_core.Session`, which places and runs the models. Rows have values
        as JSON has them. No work folder is needed.

        Raises:
            InputError: an input that it can't read; says which.
        """
