"""The whole job on real sessions: stopped, gone on with, judged, exported, and asked."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import NoReturn

import attrs
import numpy as np
import pytest

from deepseek_apps.ctr.evaluating import OURS, shuffled
from deepseek_apps.ctr.features.map import fit_features
from deepseek_apps.ctr.fitted import is_trained, read_stack
from deepseek_apps.ctr.job import Ctr
from deepseek_core import Session, applications, console, errors

SESSIONS = Path(__file__).parents[3] / "examples" / "applications" / "ctr" / "shoppers.csv"
ROWS = 1_000
OPTIONS = {
    "target": "Revenue",
    "categories": "OperatingSystems,Browser,Region,TrafficType",
    "models": "dcn,trees",
    "folds": 3,
    "epochs": 6,
    "batch": 128,
    "rate": 0.003,
    "hidden": "16",
    "width": 4,
    "tuning": "none",
}


def sessions(path: Path, rows: slice) -> Path:
    """A file of these rows of the sessions."""
    header, *lines = SESSIONS.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([header, *lines[rows]]) + "\n", encoding="utf-8")
    return path


@attrs.frozen(kw_only=True)
class Done:
    """A job that was stopped once in its training, and done."""

    application: Ctr
    context: applications.ApplicationContext
    card: applications.DataCard
    evaluation: applications.Evaluation
    target: Path
    was_trained_when_stopped: bool


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder = tmp_path_factory.mktemp("job")
    application = Ctr(**OPTIONS)
    source = sessions(folder / "sessions.csv", slice(0, ROWS))
    card = application.prepare(source, applications.ApplicationContext(folder=folder))
    context = applications.ApplicationContext(folder=folder, card=card)

    def stop(_done: int, _of: int, _text: str) -> NoReturn:
        raise errors.Interrupted("stopped by the test")

    with pytest.raises(errors.Interrupted):
        application.train(0, attrs.evolve(context, progress=stop))
    was_trained = is_trained(context.seed(0))
    application.train(0, context)
    evaluation = application.evaluate([0], context)
    (folder / "files").mkdir()
    application.export(0, folder / "files", context)
    return Done(
        application=application, context=context, card=card, evaluation=evaluation,
        target=folder / "files", was_trained_when_stopped=was_trained,
    )  # fmt: skip


def test_a_training_that_was_stopped_goes_on_where_it_was(job) -> None:
    """The second process takes the steps that the first has not taken."""
    assert not job.was_trained_when_stopped
    report = json.loads((job.context.seed(0) / "dcn" / "recipe.train.json").read_text())
    assert report["resumed"] is not None, report


def test_ours_is_far_above_chance_and_told_beside_three_baselines(job) -> None:
    """The small job learns: its AUC's interval lies far above a half."""
    scores = {(s.model, s.measure.name): s for s in job.evaluation.scores}
    assert scores[OURS, "AUC"].interval.low > 0.75
    assert len({s.model for s in job.evaluation.scores if s.kind == "baseline"}) == 3
    assert all(s.interval.low <= s.interval.value <= s.interval.high for s in scores.values())
    assert any("shuffled labels" in note for note in job.evaluation.notes)


def test_a_second_training_is_done_at_once(job) -> None:
    """What is trained is left as it is."""
    stack = job.context.seed(0) / "stack.json"
    before = stack.stat().st_mtime_ns
    job.application.train(0, job.context)
    assert stack.stat().st_mtime_ns == before


def test_answers_are_those_of_the_trained_model(job, tmp_path) -> None:
    """Through a session of the SDK, from the exported file alone, to 1e-5."""
    from deepseek_apps.ctr.data.typing import inputs_like

    stack = read_stack(job.context.seed(0))
    source = sessions(tmp_path / "new.csv", slice(-40, None))
    expected = stack.probabilities(inputs_like(console.read_csv(source), stack.features.columns))
    with Session(threads=1) as session:
        rows = list(job.application.run(job.target, [source], session))
    assert [row["row"] for row in rows] == list(range(1, 41))
    np.testing.assert_allclose([row["probability"] for row in rows], expected, atol=1e-5)


def test_rows_with_holes_are_answered(job, tmp_path) -> None:
    """An unknown category, empty cells, columns in another order, and one too many."""
    lines = SESSIONS.read_text(encoding="utf-8").splitlines()[:3]
    header, first, second = (line.split(";") for line in lines)
    first[header.index("Month")] = "Smarch"
    second[header.index("PageValues")] = ""
    path = tmp_path / "odd.csv"
    rows = ([*line[::-1], extra] for line, extra in ((header, "note"), (first, "a"), (second, "b")))
    path.write_text("\n".join(";".join(row) for row in rows) + "\n", encoding="utf-8")
    with Session(threads=1) as session:
        found = [row["probability"] for row in job.application.run(job.target, [path], session)]
    assert len(found) == 2
    assert all(0 < one < 1 for one in found)


def test_a_column_that_is_missing_is_named(job, tmp_path) -> None:
    """So is text where numbers were."""
    path = tmp_path / "few.csv"
    path.write_text("Month;Weekend\nFeb;TRUE\n", encoding="utf-8")
    with Session(threads=1) as session, pytest.raises(errors.InputError, match="Administrative"):
        list(job.application.run(job.target, [path], session))
    lines = SESSIONS.read_text(encoding="utf-8").splitlines()[:2]
    path.write_text("\n".join((lines[0], "x" + lines[1])) + "\n", encoding="utf-8")
    with Session(threads=1) as session, pytest.raises(errors.InputError, match="no numbers"):
        list(job.application.run(job.target, [path], session))


@pytest.mark.parametrize("file", ["features.json", "dcn.npz"])
def test_files_of_another_run_are_refused(job, tmp_path, file) -> None:
    """A vocabulary, or a network, whose ids are others."""
    context = copied(job, tmp_path)
    path = context.seed(0) / file
    if file == "features.json":
        given = read_stack(context.seed(0)).features
        other = fit_features_of(job, given)
        path.write_text(other.to_json(), encoding="utf-8")
    else:
        with np.load(path) as held:
            arrays = {name: held[name] for name in held.files}
        arrays["table.weight"] = arrays["table.weight"][:, 1:]
        np.savez(path, **arrays)
    with pytest.raises(errors.ArtifactError, match="another run"):
        job.application.evaluate([0], context)
    (tmp_path / "files").mkdir()
    with pytest.raises(errors.ArtifactError, match="another run"):
        job.application.export(0, tmp_path / "files", context)
    assert list((tmp_path / "files").iterdir()) == []


def test_a_training_on_another_split_is_refused(job) -> None:
    """Its test rows may be among those that it was trained on."""
    other = attrs.evolve(job.context, card=attrs.evolve(job.card, split_hash="0" * 64))
    with pytest.raises(errors.ArtifactError, match="another split"):
        job.application.evaluate([0], other)


def test_a_damaged_file_of_a_training_is_refused(job, tmp_path) -> None:
    """By its name."""
    context = copied(job, tmp_path)
    path = context.seed(0) / "stack.json"
    kept = json.loads(path.read_text())
    path.write_text(json.dumps({**kept, "combination": 3}))
    with pytest.raises(errors.ArtifactError, match=r"stack\.json"):
        job.application.evaluate([0], context)


def test_shuffled_labels_give_chance(job) -> None:
    """Were a row's own target in its features, or a test row in the training, they would not."""
    data, parts = job.application.loaded(job.context)
    found = shuffled(parts, job.application.folds_of(data, 0))
    assert not found.leaks
    assert abs(found.found.value - 0.5) < 0.12


def copied(job, tmp_path: Path) -> applications.ApplicationContext:
    """The work folder of the job, elsewhere."""
    shutil.copytree(job.context.folder, tmp_path / "work")
    return attrs.evolve(job.context, folder=tmp_path / "work")


def fit_features_of(job, like):
    """A feature map of the same columns, fitted on other rows."""
    from deepseek_apps.ctr.data.preparing import load_data

    test = load_data(job.context.data).of("test")
    other = fit_features(test.inputs, num_bins=20, min_count=5)
    assert other.columns == like.columns
    return other
