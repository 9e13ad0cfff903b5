"""A user's parallel text: what is left out is told, and what can't be paired is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from deepseek_apps.translate.options import Options
from deepseek_apps.translate.preparing import read_parts
from deepseek_apps.translate.splitting import with_references
from deepseek_core import errors

WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight"]


def lines(count: int, end: str = "") -> list[str]:
    return [f"{WORDS[n % 8]} {WORDS[n // 8 % 8]} {n} {end}".strip() for n in range(count)]


def folder(where: Path, **files: list[str]) -> Path:
    for name, content in files.items():
        path = where / name.replace("_", ".")
        path.write_text("".join(f"{line}\n" for line in content), encoding="utf-8")
    return where


def test_pairs_of_two_files_are_split_into_three_parts(tmp_path: Path) -> None:
    parts = read_parts(folder(tmp_path, train_en=lines(60), train_de=lines(60, "x")), Options())
    counts = [len(part) for part in (parts.data.train, parts.data.validation, parts.data.test)]
    assert counts == [48, 6, 6]
    assert not parts.warnings


def test_files_of_unlike_length_are_refused_with_both_lengths(tmp_path: Path) -> None:
    source = folder(tmp_path, train_en=lines(30), train_de=lines(29))
    with pytest.raises(errors.InputError, match=r"train.en has 30 lines and .*train.de has 29"):
        read_parts(source, Options())


def test_empty_and_uneven_pairs_are_left_out_and_counted(tmp_path: Path) -> None:
    english = ["", "a" * 5, "b", *lines(30)]
    german = ["leer", "b" * 100, "c" * 9, *lines(30, "x")]
    parts = read_parts(folder(tmp_path, train_en=english, train_de=german), Options())
    assert any("1 pairs with an empty side" in warning for warning in parts.warnings)
    assert any("1 pairs were left out, for one side" in warning for warning in parts.warnings)


def test_a_table_with_attribution_gives_its_first_two_columns(tmp_path: Path) -> None:
    path = tmp_path / "pairs.tsv"
    rows = [
        f"{a}\t{b}\tCC-BY 2.0, by somebody" for a, b in zip(lines(30), lines(30, "x"), strict=True)
    ]
    path.write_text("\n".join(rows), encoding="utf-8")
    assert set(read_parts(path, Options()).data.train) <= set(
        zip(lines(30), lines(30, "x"), strict=True)
    )


def test_a_sentence_in_training_and_test_files_is_warned_of(tmp_path: Path) -> None:
    source = folder(
        tmp_path, train_en=lines(30), train_de=lines(30, "x"), val_en=["v w"], val_de=["w v"],
        test_en=["One one 0!", "new"], test_de=["anders", "neu"],
    )  # fmt: skip
    parts = read_parts(source, Options())
    assert any("1 of 2 test pairs share a sentence" in warning for warning in parts.warnings)


def test_a_test_file_without_a_validation_file_is_refused(tmp_path: Path) -> None:
    source = folder(
        tmp_path, train_en=lines(30), train_de=lines(30), test_en=["a b"], test_de=["b a"]
    )
    with pytest.raises(errors.InputError, match="none for validation"):
        read_parts(source, Options())


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({}, "has no train.en with train.de"),
        ({"train_en": ["a"]}, "no file of the other language"),
        ({"train_en": ["", ""], "train_de": ["", ""]}, "no train.en with train.de|no pair"),
        ({"train_en": lines(9), "train_de": lines(9)}, "at least 10"),
        ({"train_en": ["same"] * 40, "train_de": lines(40)}, "1 groups"),
    ],
)
def test_a_folder_that_can_t_be_trained_on_is_refused(
    tmp_path: Path, files: dict[str, list[str]], told: str
) -> None:
    with pytest.raises(errors.InputError, match=told) as caught:
        read_parts(folder(tmp_path, **files), Options())
    assert caught.value.remedy


def test_text_of_the_held_out_parts_is_taken_out_of_monolingual_text(tmp_path: Path) -> None:
    source = folder(
        tmp_path, train_en=lines(30), train_de=lines(30, "x"), val_en=["v"], val_de=["wert"],
        test_en=["t"], test_de=["probe"], mono_de=["probe", "wert", "neu", "neu", lines(1, "x")[0]],
    )  # fmt: skip
    assert read_parts(source, Options()).data.monolingual == ("neu",)


def test_another_language_without_test_files_would_leak_and_is_refused(tmp_path: Path) -> None:
    source = folder(tmp_path, train_en=lines(30), train_de=lines(30), train_fr=lines(30))
    with pytest.raises(errors.InputError, match="validation and test files of their own"):
        read_parts(source, Options())


def test_all_translations_of_a_source_are_its_references() -> None:
    found = with_references([("Hi.", "嗨。"), ("Run.", "跑。"), ("Hi.", "你好。"), ("Hi.", "嗨。")])
    assert found == [("Hi.", ("嗨。", "你好。")), ("Run.", ("跑。",))]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"target_language": "en"}, "both en"),
        ({"tasks": "reverse"}, "without main"),
        ({"tasks": "main,revers"}, "revers"),
        ({"dropout": 1.0}, "dropout"),
        ({"updates": 0}, "updates"),
        ({"temperature": float("nan")}, "temperature"),
        ({"source_language": "../x"}, "code of a language"),
        ({"compute": "int8"}, "the engine is session"),
        ({"compute": "int4", "engine": "ctranslate2"}, "int4"),
        ({"width": 100, "heads": 3}, None),
    ],
)
def test_options_that_can_t_be_are_refused(options: dict[str, object], told: str | None) -> None:
    if told is None:
        from deepseek_apps.translate.shape import Shape

        with pytest.raises(errors.ConfigError, match="even width of a head"):
            Shape(vocabulary=10, **options)  # type: ignore[arg-type]
        return
    with pytest.raises(errors.ConfigError, match=told) as caught:
        Options(**options)  # type: ignore[arg-type]
    assert caught.value.remedy
