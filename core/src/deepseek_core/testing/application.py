"""What every application promises, as tests that a plugin inherits."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final, NoReturn

import attrs
import pytest

from deepseek_core.contracts.application import Application, ApplicationContext
from deepseek_core.contracts.artifact import Artifact
from deepseek_core.contracts.data_card import DataCard
from deepseek_core.contracts.errors import (
    DeepSeekError,
    InputError,
    Interrupted,
    NoDevice,
)
from deepseek_core.contracts.evaluation import Evaluation
from deepseek_core.discovery.registry import Registered
from deepseek_core.runtime.applications import open_application
from deepseek_core.runtime.session import Session
from deepseek_core.testing.subject import registry_of
from deepseek_core.testing.traces import TraceRules

_RESERVED: Final = ("list",)
_SEED: Final = 0


@attrs.frozen(kw_only=True)
class Job:
    """One job that was done from its data to its files, with what was seen on the way."""

    source: Path
    context: ApplicationContext
    card: DataCard
    evaluation: Evaluation
    artifacts: tuple[Artifact, ...]
    target: Path
    source_before: str
    data_before: str
    """Digests before any step, and of the prepared data before the training."""


_DONE: Final[dict[type, Job]] = {}
"""Class with rules -> one job, which several of its rules look at."""


class ApplicationConformance(TraceRules):
    """Inherit it as `Test...`, set `plugin` and `name`, and give small data.

    `options` are the application's; choose them so that a training takes seconds.
    `deterministic` is false for one whose prepared data differ although data and options are equal.
    """

    kind = "application"
    options: ClassVar[Mapping[str, Any]] = {}
    deterministic: ClassVar[bool] = True

    def source(self, folder: Path) -> Path:
        """Write small data of the documented format into the folder, and give their path."""
        raise NotImplementedError("give small data: def source(self, folder)")

    def inputs(self, folder: Path) -> Sequence[Path]:
        """Write inputs that the exported files answer, and give their paths."""
        raise NotImplementedError("give inputs to answer: def inputs(self, folder)")

    def unfit(self, folder: Path) -> Sequence[Path]:
        """Paths of data that it must refuse: damaged ones, one class, a file that is missing."""
        raise NotImplementedError("give data to refuse: def unfit(self, folder)")

    def use(self, spec: Registered[Any], folder: Path) -> None:
        """Do a job from its data to its files."""
        self._done(self._application(spec), folder)

    @pytest.fixture
    def application(self, spec: Registered[Any]) -> Application:
        """The application, with the options of this class."""
        return self._application(spec)

    @pytest.fixture
    def job(self, application: Application, tmp_path_factory: pytest.TempPathFactory) -> Job:
        """A job that was done once for all rules."""
        if type(self) not in _DONE:
            _DONE[type(self)] = self._done(application, tmp_path_factory.mktemp("job"))
        return _DONE[type(self)]

    def _application(self, spec: Registered[Any]) -> Application:
        name, registry = spec.record.name, registry_of(self.plugin)
        return open_application(name, self.options, registry=registry).application

    def _done(self, application: Application, folder: Path) -> Job:
        source = self._source(folder)
        before = digest_of(source)
        context, card = self._prepared(application, source, folder / "work")
        data = digest_of(context.data)
        self._train(application, context)
        evaluation = application.evaluate([_SEED], context)
        artifacts, target = _exported(application, context, folder / "files")
        return Job(
            source=source, context=context, card=card, evaluation=evaluation,
            artifacts=artifacts, target=target, source_before=before, data_before=data,
        )  # fmt: skip

    def _source(self, folder: Path) -> Path:
        (folder / "source").mkdir()
        return self.source(folder / "source")

    def _prepared(
        self, application: Application, source: Path, folder: Path
    ) -> tuple[ApplicationContext, DataCard]:
        """Prepare as `ds-sdk app` does: in a folder that is moved to its place afterwards."""
        staging = folder.with_name(f"{folder.name}-staging")
        (staging / "data").mkdir(parents=True)
        card = application.prepare(source, ApplicationContext(folder=staging))
        staging.rename(folder)
        return ApplicationContext(folder=folder, card=card), card

    def _train(self, application: Application, context: ApplicationContext) -> None:
        context.seed(_SEED).mkdir(exist_ok=True)
        application.train(_SEED, context)

    def test_it_says_what_it_does(self, spec: Registered[Any]) -> None:
        """What it decides and what data it takes; no name that `ds-sdk app` needs itself."""
        record = spec.record
        assert record.tasks, "tasks says what it decides"
        assert record.data.strip(), "data says in a line what format it takes"
        assert record.name not in _RESERVED, f"ds-sdk app {record.name} is a command"

    def test_preparing_leaves_the_users_data_as_they_were(self, job: Job) -> None:
        """Nor does any later step touch them."""
        assert digest_of(job.source) == job.source_before

    def test_equal_data_are_prepared_alike(
        self, application: Application, job: Job, tmp_path: Path
    ) -> None:
        """Equal cards, split and files, in whatever folder."""
        if not self.deterministic:
            pytest.skip("deterministic = False")
        again, card = self._prepared(application, job.source, tmp_path / "work")
        assert card == job.card
        assert digest_of(again.data) == job.data_before

    def test_a_data_card_survives_a_file(self, job: Job) -> None:
        """It is kept beside the data as JSON."""
        assert DataCard.from_json(json.loads(json.dumps(job.card.to_json()))) == job.card

    def test_unfit_data_are_refused(self, application: Application, tmp_path: Path) -> None:
        """By `InputError`, which says which data; they are left as they were."""
        for number, source in enumerate(self.unfit(tmp_path)):
            staging = tmp_path / f"staging-{number}"
            (staging / "data").mkdir(parents=True)
            before = digest_of(source)
            with pytest.raises(InputError) as refused:
                application.prepare(source, ApplicationContext(folder=staging))
            assert refused.value.message.strip()
            assert digest_of(source) == before

    def test_training_leaves_the_data_as_they_were(self, job: Job) -> None:
        """So do the other steps: a change would make every training a stale one."""
        assert digest_of(job.context.data) == job.data_before

    def test_a_training_goes_on(self, application: Application, job: Job, tmp_path: Path) -> None:
        """What `progress` raises comes through, and the next call ends what it began."""
        context, _ = self._prepared(application, job.source, tmp_path / "work")
        asked: list[int] = []

        def stop(_done: int, _of: int, _text: str) -> NoReturn:
            asked.append(1)
            raise Interrupted("stopped by the test")

        try:
            self._train(application, attrs.evolve(context, progress=stop))
        except Interrupted:
            assert asked
        else:
            assert not asked, "it went on although progress raised"
        self._train(application, context)
        assert application.evaluate([_SEED], context).scores

    def test_a_seed_that_was_not_trained_is_refused(
        self, application: Application, job: Job, tmp_path: Path
    ) -> None:
        """By an error of the SDK, by evaluating and by exporting."""
        (tmp_path / "files").mkdir()
        with pytest.raises(DeepSeekError):
            application.evaluate([_SEED, 77], job.context)
        with pytest.raises(DeepSeekError):
            application.export(77, tmp_path / "files", job.context)

    def test_an_evaluation_survives_a_file(self, job: Job) -> None:
        """The figures are kept as JSON and read back."""
        kept = json.loads(json.dumps(job.evaluation.to_json()))
        assert Evaluation.from_json(kept).to_json() == kept

    def test_a_difference_to_a_baseline_is_told(self, job: Job) -> None:
        """Paired, with an interval: two scores side by side show none."""
        kinds = {score.model: score.kind for score in job.evaluation.scores}
        pairs = [{kinds[d.one], kinds[d.other]} for d in job.evaluation.differences]
        assert {"ours", "baseline"} in pairs

    def test_exported_files_are_there(self, job: Job) -> None:
        """What it names as artifacts lies there, and no file names the work folder."""
        assert job.artifacts
        place = str(job.context.folder).encode()
        for path in filter(Path.is_file, job.target.rglob("*")):
            assert place not in path.read_bytes(), f"{path.name} names the work folder"

    def test_exported_files_answer_alone(
        self, application: Application, job: Job, tmp_path: Path
    ) -> None:
        """Elsewhere, without the work folder; equal inputs get equal answers, as JSON has them."""
        target = tmp_path / "files"
        shutil.copytree(job.target, target)
        (tmp_path / "given").mkdir()
        inputs = self.inputs(tmp_path / "given")
        before = [digest_of(path) for path in inputs]
        first, second = (_answers(application, target, inputs) for _ in range(2))
        assert first, "no row for any input"
        assert first == second
        assert json.loads(json.dumps(first, allow_nan=False)) == first
        assert [digest_of(path) for path in inputs] == before

    def test_an_input_that_is_missing_is_refused(
        self, application: Application, job: Job, tmp_path: Path
    ) -> None:
        """By an error of the SDK."""
        with pytest.raises(DeepSeekError):
            _answers(application, job.target, [tmp_path / "missing"])


def digest_of(path: Path) -> str:
    """Digest a file, or all files below a folder; there may be none."""
    found = hashlib.sha256()
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    for each in files:
        if each.is_file():
            found.update(f"{each.relative_to(path.parent).as_posix()}\0".encode())
            found.update(each.read_bytes())
    return found.hexdigest()


def _exported(
    application: Application, context: ApplicationContext, target: Path
) -> tuple[tuple[Artifact, ...], Path]:
    """Export as `ds-sdk app` does: into a folder that is moved to its place afterwards."""
    staging = target.with_name(f"{target.name}-staging")
    staging.mkdir()
    made = tuple(application.export(_SEED, staging, context))
    for artifact in made:
        inside = artifact.path is not None and artifact.path.is_relative_to(staging)
        assert inside, f"the artifact {artifact.path} is not in the folder to export to"
        assert artifact.path is not None
        assert artifact.path.is_file(), f"there is no {artifact.path.name}"
    staging.rename(target)
    return made, target


def _answers(
    application: Application, target: Path, inputs: Sequence[Path]
) -> list[Mapping[str, Any]]:
    try:
        with Session(threads=1) as session:
            return list(application.run(target, inputs, session))
    except NoDevice as error:
        pytest.skip(f"nothing here runs the exported files: {error}")
