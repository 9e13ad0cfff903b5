"""Scores are sacrebleu's, with all references, the right tokenizer and a signature."""

from __future__ import annotations

import pytest
import sacrebleu

from deepseek_apps.translate.memory import Memory
from deepseek_apps.translate.scoring import Scorer, tokenizer_of
from deepseek_core import errors

GERMAN = [
    "Ein Mann schläft auf dem Sofa .",
    "Zwei Hunde rennen über eine Wiese .",
    "Sie liest ein Buch .",
]
MADE = ["Ein Mann schläft auf einem Sofa .", "Zwei Hunde rennen .", "Sie liest ein Buch ."]


def test_a_score_is_the_one_that_sacrebleu_itself_gives() -> None:
    scores = Scorer([[text] for text in GERMAN], "de").score(MADE)
    assert scores.bleu == sacrebleu.corpus_bleu(MADE, [GERMAN]).score
    assert scores.chrf == sacrebleu.corpus_chrf(MADE, [GERMAN]).score
    assert "tok:13a" in scores.bleu_signature and "version:" in scores.bleu_signature


def test_rows_sum_up_to_the_score_of_all() -> None:
    scorer = Scorer([[text] for text in GERMAN], "de")
    rows = scorer.statistics(MADE)
    assert len(rows) == 3
    assert scorer.bleu_of(rows) == pytest.approx(scorer.score(MADE).bleu)
    assert scorer.bleu_of(rows[[2, 2]]) == pytest.approx(100)


@pytest.mark.parametrize(
    ("language", "name"),
    [("zh", "zh"), ("zh-TW", "zh"), ("cmn", "zh"), ("ja", "char"), ("de", "13a"), ("pt-BR", "13a")],
)
def test_chinese_is_cut_into_characters(language: str, name: str) -> None:
    assert tokenizer_of(language) == name


def test_a_whole_chinese_sentence_is_not_one_word() -> None:
    references = [["他昨天去了北京看他的朋友。"]]
    made = ["他昨天去了上海看他的朋友。"]
    assert (
        Scorer(references, "zh").score(made).bleu > 50 > Scorer(references, "de").score(made).bleu
    )


def test_any_of_several_references_counts_where_others_have_one() -> None:
    scorer = Scorer(
        [["the cat sat on the mat", "a cat was sitting there"], ["hello my dear friend"]], "en"
    )
    one = scorer.score(["the cat sat on the mat", "hello my dear friend"])
    other = scorer.score(["a cat was sitting there", "hello my dear friend"])
    assert one.bleu == other.bleu == pytest.approx(100)


@pytest.mark.parametrize("references", [[], [[]], [["a"], []]])
def test_a_text_without_a_reference_is_refused(references: list[list[str]]) -> None:
    with pytest.raises(errors.InputError, match="without a reference"):
        Scorer(references, "de")


def test_a_memory_finds_the_most_similar_text() -> None:
    memory = Memory([("a red car", "ein rotes Auto"), ("a blue bird", "ein blauer Vogel"),
                     ("the bird sings", "der Vogel singt")])  # fmt: skip
    assert memory.translate("A blue bird.") == "ein blauer Vogel"
    assert memory.translate("sings") == "der Vogel singt"
    assert memory.translate("xyz") == "ein rotes Auto"


def test_a_memory_of_chinese_compares_characters() -> None:
    memory = Memory([("我喜欢猫", "I like cats"), ("他在北京", "He is in Beijing")])
    assert memory.translate("他住在北京") == "He is in Beijing"
