"""The job from drawn parts to answers: what it learns, what it refuses, what each row says."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="the network is one of torch")
pytest.importorskip("onnxscript", reason="torch exports by it")
pytest.importorskip("PIL", reason="pictures are read by Pillow")

from PIL import Image

from deepseek_apps.defects.job import Defects
from deepseek_core import Session, applications, errors

OPTIONS: dict[str, Any] = {
    "size": 48, "width": 8, "steps": 120, "batch": 12, "folds": 3, "precision": "fp32",
    "learning_rate": 4e-3,
}  # fmt: skip


class Done:
    """A job that was done once for all tests of this file: its folders and its evaluation."""

    def __init__(self, source: Path, folder: Path) -> None:
        self.source, self.context = source, applications.ApplicationContext(folder=folder / "work")
        self.target = folder / "export"
        self.target.mkdir()
        job = Defects(**OPTIONS)
        job.prepare(source, self.context)
        job.train(0, self.context)
        self.evaluation = job.evaluate([0], self.context)
        self.artifacts = job.export(0, self.target, self.context)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Done:
    folder = tmp_path_factory.mktemp("inspection")
    parts = request.getfixturevalue("parts")
    return Done(parts(folder / "source", good=36, spot=18, line=18), folder)


def figure(done: Done, model: str, measure: str) -> float:
    (score,) = [s for s in done.evaluation.scores if s.model == model and s.measure.name == measure]
    return float(score.interval.value)


def answers(done: Done, inputs: list[Path], **options: Any) -> list[dict[str, Any]]:
    with Session(threads=1, devices=["cpu"]) as session:
        rows = Defects(**OPTIONS, **options).run(done.target, inputs, session)
        return [dict(row) for row in rows]


def test_it_finds_drawn_defects_their_classes_and_their_places(done: Done) -> None:
    ours = "plain convolutions"
    assert figure(done, ours, "AUROC") > 0.9
    assert figure(done, ours, "macro-F1") > 0.7
    assert figure(done, ours, "AUROC of pixels") > 0.9


def test_baselines_stand_beside_it_and_shuffled_labels_give_chance(done: Done) -> None:
    assert figure(done, "most frequent class", "AUROC") == 0.5
    names = {score.model for score in done.evaluation.scores}
    assert {"logistic regression on statistics", "Gaussian of good pictures"} < names
    assert len(done.evaluation.differences) == 2
    assert any("with shuffled labels AUROC is" in note for note in done.evaluation.notes)


def test_the_export_says_which_precision_ships_and_why(done: Done) -> None:
    kept = json.loads((done.target / "inspection.json").read_text(encoding="utf-8"))
    choice = kept["precision"]
    assert set(choice["ms"]) == {"fp32", "int8"}
    faster = choice["ms"]["int8"] <= 0.9 * choice["ms"]["fp32"]
    kept_well = choice["auroc"]["int8"] >= choice["auroc"]["fp32"] - 0.005
    assert (choice["shipped"] == "int8") == (faster and kept_well)
    assert choice["why"]


def test_a_smaller_network_ships_only_where_it_is_faster_and_as_good(
    done: Done, tmp_path: Path
) -> None:
    context = applications.ApplicationContext(folder=done.context.folder)
    Defects(**OPTIONS, macs="/2", int8="never").export(0, tmp_path, context)
    choice = json.loads((tmp_path / "inspection.json").read_text(encoding="utf-8"))["precision"]
    assert set(choice["ms"]) == {"fp32", "smaller fp32", "smaller int8"}
    assert next(r for r in choice["budget"] if r["name"] == "macs")["outcome"] == "holds"
    fit = [
        name
        for name in ("smaller fp32", "smaller int8")
        if choice["ms"][name] <= 0.9 * choice["ms"]["fp32"]
        and choice["auroc"][name] >= choice["auroc"]["fp32"] - 0.005
    ]
    assert choice["shipped"] == (min(fit, key=choice["ms"].get) if fit else "fp32")
    assert set(choice["test"]) == {"fp32", choice["shipped"]}
    with Session(threads=1, devices=["cpu"]) as session:
        rows = list(Defects(**OPTIONS).run(tmp_path, [done.source / "spot"], session))
    assert sum(bool(row["defect"]) for row in rows) >= 12


def test_a_row_says_what_where_and_how_fast(done: Done) -> None:
    rows = answers(done, [done.source / "spot", done.source / "good"])
    found = [row for row in rows if row["defect"] and "/spot/" in row["file"]]
    assert len(found) >= 14
    assert sum(row["class"] == "spot" for row in found) >= 12
    for row in found:
        top, left, bottom, right = row["where"]
        assert 0 <= top < bottom <= 48
        assert 0 <= left < right <= 48
        assert row["seconds"] > 0
    alarms = [row for row in rows if row["defect"] and "/good/" in row["file"]]
    assert len(alarms) <= 12
    assert all(row["where"] is None for row in rows if not row["defect"])


def test_a_run_may_have_a_deadline_of_its_own(done: Done) -> None:
    spots = [done.source / "spot"]
    assert all(row["late"] for row in answers(done, spots, deadline_ms=0.01))
    assert not any(row["late"] for row in answers(done, spots, deadline_ms=60_000.0))
    option = {each.name: each.at_run for each in applications.offers()["defects"].options()}
    assert {name for name, at_run in option.items() if at_run} == {"deadline_ms", "maps", "timed"}


def test_the_place_is_told_in_pixels_of_a_larger_picture(done: Done, tmp_path: Path) -> None:
    inside = 0
    for number in range(8):
        with Image.open(done.source / "spot" / f"{number:03d}.png") as picture:
            picture.resize((192, 192)).save(tmp_path / f"{number}.png")
        with Image.open(done.source / "masks" / "spot" / f"{number:03d}.png") as mask:
            top, left = np.argwhere(np.asarray(mask)).mean(0) * 4
        (row,) = answers(done, [tmp_path / f"{number}.png"])
        if row["defect"]:
            a, b, c, d = row["where"]
            inside += a - 16 <= top <= c + 16 and b - 16 <= left <= d + 16
    assert inside >= 6


def test_maps_are_written_where_they_are_asked_for(done: Done, tmp_path: Path) -> None:
    (row,) = answers(done, [done.source / "spot" / "000.png"], maps=str(tmp_path / "maps"))
    with Image.open(row["map"]) as found:
        assert found.size == (12, 12)


def test_a_part_that_cannot_be_looked_at_is_no_good_one(done: Done, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.png"
    damaged.write_bytes((done.source / "good" / "000.png").read_bytes()[:60])
    rows = answers(done, [damaged, done.source / "good" / "001.png"])
    assert [row["defect"] is None for row in rows] == [True, False]
    assert "damaged.png" in rows[0]["error"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(errors.InputError, match=r"no pictures in"):
        answers(done, [tmp_path / "empty"])


def test_formats_and_sizes_that_differ_are_answered(done: Done, tmp_path: Path) -> None:
    with Image.open(done.source / "spot" / "000.png") as picture:
        levels = np.asarray(picture)
        picture.convert("RGBA").save(tmp_path / "rgba.png")
        picture.convert("RGB").save(tmp_path / "rgb.bmp")
        picture.resize((31, 77)).save(tmp_path / "size.png")
    Image.fromarray(levels.astype(np.uint16) << 8).save(tmp_path / "deep.png")
    rows = {Path(row["file"]).stem: row for row in answers(done, [tmp_path])}
    (plain,) = answers(done, [done.source / "spot" / "000.png"])
    for name in ("rgba", "rgb", "deep"):
        assert rows[name]["score"] == pytest.approx(plain["score"], abs=1e-3)
    assert 0 <= rows["size"]["score"] <= 1


def test_a_training_that_ended_is_done_at_once_and_is_bound_to_its_options(done: Done) -> None:
    Defects(**OPTIONS).train(0, done.context)
    other = Defects(**{**OPTIONS, "width": 12})
    with pytest.raises(errors.InputError, match=r"was trained with other options"):
        other.train(0, done.context)
    with pytest.raises(errors.InputError, match=r"was trained with other options"):
        other.evaluate([0], done.context)


def test_classes_of_another_run_are_refused(
    done: Done, parts: Callable[..., Path], tmp_path: Path
) -> None:
    source = parts(tmp_path / "source", good=9, scratch=6, spot=6)
    context = applications.ApplicationContext(folder=tmp_path / "work")
    job = Defects(**OPTIONS)
    job.prepare(source, context)
    shutil.copytree(done.context.seed(0), context.seed(0))
    with pytest.raises(errors.InputError, match=r"seed-0 was trained with other classes: .*'line'"):
        job.evaluate([0], context)


@pytest.mark.parametrize("damage", ["cut", "other", "missing"])
def test_damaged_weights_are_told(done: Done, tmp_path: Path, damage: str) -> None:
    context = applications.ApplicationContext(folder=tmp_path / "work")
    shutil.copytree(done.context.folder, context.folder)
    file = context.seed(0) / "weights.safetensors"
    content = file.read_bytes()
    file.unlink()
    if damage != "missing":
        file.write_bytes(content[: len(content) // 2] if damage == "cut" else b"\x00" * 64)
    with pytest.raises(errors.InputError, match=r"weights.safetensors holds no weights"):
        Defects(**OPTIONS).evaluate([0], context)


def test_a_damaged_export_is_told(done: Done, tmp_path: Path) -> None:
    shutil.copytree(done.target, tmp_path / "export")
    (tmp_path / "export" / "inspection.json").write_text('{"schema": 1}', encoding="utf-8")
    with Session(threads=1) as session, pytest.raises(errors.InputError, match=r"can't be read"):
        list(Defects(**OPTIONS).run(tmp_path / "export", [done.source / "good"], session))
