"""A whole job, small: it learns to write words in capitals, and its files answer as it learned."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from deepseek_apps.translate.job import Translate
from deepseek_apps.translate.prepared import VOCABULARY
from deepseek_apps.translate.training import read_result
from deepseek_core import Session, applications, errors

WORDS = ["ka", "lo", "mi", "ne", "pu", "ra", "si", "to"]
OPTIONS = {
    "source_language": "aa", "target_language": "bb", "tasks": "main,denoise",
    "vocabulary": 44, "width": 64, "inner": 128, "layers": 1, "updates": 360, "batch_tokens": 200,
    "warmup": 50, "longest": 24, "dropout": 0.0, "rate": 4e-3, "finish": 0.6,
}  # fmt: skip


def upper(text: str) -> str:
    return " ".join(word.upper() for word in text.split())


@attrs.frozen(kw_only=True)
class Done:
    """A job of which each step was done, and its exported files."""

    job: Translate
    context: applications.ApplicationContext
    target: Path
    card: applications.DataCard


def pairs_file(folder: Path) -> Path:
    rng = random.Random(0)
    texts = {" ".join(rng.choice(WORDS) for _ in range(rng.randint(3, 4))) for _ in range(600)}
    path = folder / "pairs.tsv"
    path.write_text("".join(f"{text}\t{upper(text)}\tCC0\n" for text in sorted(texts)))
    return path


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    root = tmp_path_factory.mktemp("job")
    job = Translate(**OPTIONS)
    work, target = root / "work", root / "export"
    work.mkdir()
    target.mkdir()
    context = applications.ApplicationContext(folder=work)
    card = job.prepare(pairs_file(root), context)
    with pytest.raises(errors.Interrupted):
        job.train(0, attrs.evolve(context, progress=killed_before_the_choice))
    job.train(0, context)
    job.export(0, target, context)
    return Done(job=job, context=context, target=target, card=card)


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    with Session(threads=1) as opened:
        yield opened


def killed_before_the_choice(_done: int, _of: int, text: str) -> None:
    """The trainer has nothing left to do then, and the choice of a checkpoint has all."""
    if text.startswith("translating"):
        raise errors.Interrupted("Ctrl-C")


def answered(done: Done, session: Session, text: str, **options: object) -> list[str]:
    path = done.target.parent / "in.txt"
    path.write_text(text, encoding="utf-8")
    rows = Translate(**options).run(done.target, [path], session)
    return [str(row["translation"]) for row in rows]


def test_it_learns_and_beats_the_translation_memory(done: Done) -> None:
    judged = done.job.evaluate([0], done.context)
    bleu = {
        score.kind: score.interval.value for score in judged.scores if score.measure.name == "BLEU"
    }
    assert bleu["ours"] > 40
    assert judged.differences[0].outcome == "better"
    assert any("tok:13a" in note for note in judged.notes)
    assert min(done.card.parts.values()) >= 40


def test_session_and_ctranslate2_answer_alike_and_keep_the_lines(
    done: Done, session: Session
) -> None:
    text = "ka lo pu\n\nne mi ne ka\nmi ka lo\n"
    found = answered(done, session, text)
    assert found[1] == ""
    assert found == answered(done, session, text, engine="ctranslate2")
    rounded = answered(done, session, text, engine="ctranslate2", compute="int8")
    assert sum(one == other for one, other in zip(found, rounded, strict=True)) >= 3
    assert found == answered(done, session, text.replace("\n", "\r\n"))
    expected = [upper(line) for line in text.split("\n")[:-1]]
    assert sum(one == other for one, other in zip(found, expected, strict=True)) >= 3


def test_a_finished_training_is_left_as_it_is(done: Done) -> None:
    """It was stopped once, see the fixture, and went on from its last checkpoint."""
    before = read_result(done.context.seed(0))
    steps = sorted(map(int, before.validation))
    assert steps == list(range(steps[0], 361, 36))
    assert before.kept == max(steps, key=lambda step: (before.validation[str(step)], step))
    assert steps[0] == max(36, before.kept - 2 * 36)
    done.job.train(0, done.context)
    assert read_result(done.context.seed(0)) == before
    assert before.cpu_s > 0


def test_other_options_do_not_go_on_with_a_training(done: Done) -> None:
    other = Translate(**{**OPTIONS, "rate": 1e-3})
    with pytest.raises(errors.ConfigError, match="a training of other options"):
        other.train(0, done.context)


def test_a_vocabulary_of_another_run_is_refused_wherever_it_is_read(
    done: Done, session: Session, tmp_path: Path
) -> None:
    target = tmp_path / "export"
    shutil.copytree(done.target, target)
    job = Translate(**{**OPTIONS, "vocabulary": 40})
    other = applications.ApplicationContext(folder=tmp_path / "other")
    other.folder.mkdir()
    job.prepare(pairs_file(tmp_path), other)
    shutil.copy(other.data / VOCABULARY, target / VOCABULARY)
    (tmp_path / "in.txt").write_text("ka lo")
    with pytest.raises(errors.ArtifactError, match="of another run"):
        list(done.job.run(target, [tmp_path / "in.txt"], session))
    kept = (done.context.data / VOCABULARY).read_bytes()
    shutil.copy(other.data / VOCABULARY, done.context.data / VOCABULARY)
    try:
        with pytest.raises(errors.ArtifactError, match="of another run"):
            done.job.evaluate([0], done.context)
    finally:
        (done.context.data / VOCABULARY).write_bytes(kept)


@pytest.mark.parametrize(
    ("text", "told"),
    [("", "no text to translate"), ("\n\n", "no text"), ("ka " * 10_000, "characters|10,000 words"),
     ("ka " * 5_000, "line 1 has 5,000 words"), ("a\x00b", r"U\+0000")],
)  # fmt: skip
def test_what_can_t_be_translated_is_named_before_anything_is(
    done: Done, session: Session, text: str, told: str
) -> None:
    with pytest.raises(errors.InputError, match=told):
        answered(done, session, text)


def test_a_script_that_was_not_trained_on_is_told_as_unknown(done: Done, session: Session) -> None:
    path = done.target.parent / "in.txt"
    path.write_text("Привет\nka lo\n", encoding="utf-8")
    shares = [row["unknown"] for row in done.job.run(done.target, [path], session)]
    assert shares[0] > 0.4
    assert shares[1] == 0


def test_nothing_is_left_of_data_that_were_refused(tmp_path: Path) -> None:
    context = applications.ApplicationContext(folder=tmp_path)
    (tmp_path / "two.tsv").write_text("a\tb\nc\td\n")
    with pytest.raises(errors.InputError):
        Translate(**OPTIONS).prepare(tmp_path / "two.tsv", context)
    assert [path.name for path in tmp_path.iterdir()] == ["two.tsv"]


def test_a_seed_that_was_not_trained_and_a_folder_that_is_no_export_are_named(
    done: Done, session: Session, tmp_path: Path
) -> None:
    with pytest.raises(errors.ArtifactError, match="train that seed first"):
        done.job.evaluate([7], done.context)
    (tmp_path / "in.txt").write_text("ka")
    with pytest.raises(errors.ArtifactError, match="no export of a translator"):
        list(done.job.run(tmp_path, [tmp_path / "in.txt"], session))


def test_weights_that_are_damaged_are_named(done: Done, tmp_path: Path) -> None:
    work = tmp_path / "work"
    shutil.copytree(done.context.folder, work)
    (work / "seed-0" / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(errors.ArtifactError, match="can't be loaded"):
        done.job.evaluate([0], attrs.evolve(done.context, folder=work))


def test_what_an_export_says_of_its_state_is_what_its_file_takes(done: Done) -> None:
    facts = json.loads((done.target / "translate.json").read_text())
    assert facts["state"][0]["shape"] == ["batch", 2, 4, 0, 16]
