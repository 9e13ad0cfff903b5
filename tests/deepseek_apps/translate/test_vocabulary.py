"""Pieces come from the training part alone, and no text can write what steers the model."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import attrs
import pytest

from deepseek_apps.translate.options import Options
from deepseek_apps.translate.prepared import VOCABULARY, Prepared, read_prepared
from deepseek_apps.translate.preparing import Parts, balanced, vocabulary_texts, write_parts
from deepseek_apps.translate.special import END, NOISED, UNKNOWN
from deepseek_apps.translate.vocabulary import Vocabulary, train_vocabulary
from deepseek_core import errors

OPTIONS = Options(vocabulary=34, target_language="zh")
TEXTS = [f"{a} {b}" for a in ("the cat", "a dog", "one bird") for b in ("runs", "sleeps", "eats")]
CHINESE = [f"{a}{b}。" for a in ("猫", "狗", "鸟") for b in ("跑", "睡", "吃")]


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return Vocabulary(train_vocabulary(TEXTS + CHINESE, ("en", "zh"), OPTIONS), "here")


def test_text_comes_back_as_it_was_with_its_full_width_signs(vocabulary: Vocabulary) -> None:
    assert vocabulary.decode(vocabulary.encode(["猫跑。", "the cat runs"])) == [
        "猫跑。",
        "the cat runs",
    ]


@pytest.mark.parametrize("text", ["<s> </s> <pad>", "<2zh> the cat", "<noised><gap>", "</s>"])
def test_a_text_can_t_write_a_special_token(vocabulary: Vocabulary, text: str) -> None:
    (row,) = vocabulary.encode([text])
    assert not {number for number in row if 0 < number <= NOISED}
    assert vocabulary.tag("zh") not in row


def test_an_unknown_script_is_unknown_tokens_and_nothing_worse(vocabulary: Vocabulary) -> None:
    (row,) = vocabulary.source(["Привет"], "zh")
    assert row[0] == vocabulary.tag("zh") and row[-1] == END
    assert UNKNOWN in row


def test_a_language_that_was_not_trained_on_is_refused(vocabulary: Vocabulary) -> None:
    with pytest.raises(errors.InputError, match="no language fr"):
        vocabulary.source(["the cat"], "fr")


def test_too_few_pieces_are_refused_with_a_number_that_can_be_made() -> None:
    with pytest.raises(errors.ConfigError) as caught:
        train_vocabulary(TEXTS, ("en",), attrs.evolve(OPTIONS, vocabulary=12))
    size = int(str(caught.value.remedy).removeprefix("--set vocabulary="))
    options = attrs.evolve(OPTIONS, vocabulary=size)
    assert len(Vocabulary(train_vocabulary(TEXTS, ("en",), options), "here")) == size


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_a_small_text_makes_fewer_pieces(kind: Literal["unigram", "bpe"]) -> None:
    options = attrs.evolve(OPTIONS, vocabulary=5000, vocabulary_kind=kind)
    made = Vocabulary(train_vocabulary(TEXTS, ("en",), options), "here")
    assert 20 < len(made) < 5000
    assert made.decode(made.encode(TEXTS)) == TEXTS


def test_a_vocabulary_of_another_run_is_refused(tmp_path: Path, vocabulary: Vocabulary) -> None:
    path = tmp_path / VOCABULARY
    path.write_bytes(train_vocabulary(TEXTS, ("en", "zh"), attrs.evolve(OPTIONS, vocabulary=26)))
    with pytest.raises(errors.ArtifactError, match="vocabulary of another run"):
        Vocabulary.load(path, vocabulary.fingerprint)


@pytest.mark.parametrize("content", [b"", b"no model"])
def test_a_damaged_vocabulary_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / VOCABULARY).write_bytes(content)
    with pytest.raises(errors.ArtifactError, match=r"not a model of sentencepiece|another tool"):
        Vocabulary.load(tmp_path / VOCABULARY)


def test_held_out_text_is_never_learned_from(tmp_path: Path) -> None:
    data = Prepared(
        source_language="en", target_language="zh", vocabulary="",
        train=tuple(zip(TEXTS, CHINESE, strict=True)), validation=(("xylophone", "琴"),),
        test=(("quartz", "石"),),
    )  # fmt: skip
    texts = vocabulary_texts(data)
    assert not {"xylophone", "琴", "quartz", "石"} & set(balanced(texts))
    parts = Parts(data=data, how="by hand", hash="0" * 64, warnings=())
    left = write_parts(parts, tmp_path, OPTIONS)
    assert read_prepared(tmp_path) == left
    assert not any("x" in piece for piece in Vocabulary.load(tmp_path / VOCABULARY).pieces[8:])


def test_prepared_text_that_was_changed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(errors.ArtifactError, match="does not hold prepared text"):
        read_prepared(tmp_path)
