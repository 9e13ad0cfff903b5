"""Parallel text of a user: a folder of line-aligned files, or one table of pairs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, TypeAlias

import attrs

from deepseek_apps.translate.options import Options
from deepseek_apps.translate.text import read_columns, read_lines
from deepseek_core import errors

Pair: TypeAlias = tuple[str, str]
_PARTS: Final = {
    "train": ("train",),
    "validation": ("validation", "val", "valid", "dev"),
    "test": ("test",),
}
RATIO: Final = 9.0
"""A side of more than this many times the characters of the other is no translation."""


@attrs.frozen(kw_only=True)
class Corpus:
    """Pairs of (source, target) by part, and of the training part by other language.

    `validation` and `test` are empty where the user gave none. `monolingual` is more text of the
    target language. `warnings` tell what was left out and why.
    """

    train: tuple[Pair, ...]
    validation: tuple[Pair, ...] = ()
    test: tuple[Pair, ...] = ()
    others: Mapping[str, tuple[Pair, ...]] = attrs.field(factory=dict)
    monolingual: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def read_corpus(source: Path, options: Options) -> Corpus:
    """Read a folder with `train.en`, `train.de`, ..., or a table with the pairs in two columns.

    Raises:
        InputError: nothing that fits, files of unlike length, an encoding, or no pair left.
    """
    corpus = _of_folder(source, options) if source.is_dir() else _of_table(source)
    if not corpus.train:
        raise errors.InputError(
            f"{source} has no pair of texts to train on",
            remedy="give pairs with text on both sides",
        )
    return corpus


def _of_table(path: Path) -> Corpus:
    warnings: list[str] = []
    pairs = _kept(read_columns(path), path.name, warnings)
    return Corpus(train=pairs, warnings=tuple(warnings))


def _of_folder(folder: Path, options: Options) -> Corpus:
    warnings: list[str] = []
    parts = {part: _part(folder, names, options, warnings) for part, names in _PARTS.items()}
    if not parts["train"]:
        raise errors.InputError(
            f"{folder} has no train.{options.source_language} with train.{options.target_language}",
            remedy="name the files so (.gz may follow), or set source and target: "
            "--set source_language=en --set target_language=de",
        )
    more = _find(folder, ("mono",), options.target_language)
    return Corpus(
        train=parts["train"],
        validation=parts["validation"],
        test=parts["test"],
        others=_others(folder, options, warnings) if "languages" in options.task_names else {},
        monolingual=tuple(text for text in read_lines(more) if text) if more else (),
        warnings=tuple(warnings),
    )


def _part(
    folder: Path, names: tuple[str, ...], options: Options, warnings: list[str]
) -> tuple[Pair, ...]:
    first, second = (
        _find(folder, names, code) for code in (options.source_language, options.target_language)
    )
    if first is None or second is None:
        lone = first or second
        if lone is not None:
            raise errors.InputError(
                f"{lone.name} has no file of the other language beside it",
                remedy=f"give {names[0]}.{options.source_language} and "
                f"{names[0]}.{options.target_language}",
            )
        return ()
    return aligned(first, second, warnings)


def _others(folder: Path, options: Options, warnings: list[str]) -> dict[str, tuple[Pair, ...]]:
    first = _find(folder, ("train",), options.source_language)
    assert first is not None
    found = {}
    for path in sorted(folder.glob("train.*")):
        code = path.name.removeprefix("train.").removesuffix(".gz")
        if code not in (options.source_language, options.target_language) and "." not in code:
            found[code] = aligned(first, path, warnings)
    return found


def _find(folder: Path, names: tuple[str, ...], code: str) -> Path | None:
    for name in names:
        for path in (folder / f"{name}.{code}", folder / f"{name}.{code}.gz"):
            if path.is_file():
                return path
    return None


def aligned(first: Path, second: Path, warnings: list[str]) -> tuple[Pair, ...]:
    """Pairs of the lines of two files; what is no pair is left out, with a warning.

    Raises:
        InputError: they have unlike numbers of lines, or can't be read.
    """
    left, right = read_lines(first), read_lines(second)
    if len(left) != len(right):
        raise errors.InputError(
            f"{first} has {len(left):,} lines and {second} has {len(right):,}",
            remedy="line N of both must be one pair: export them together once more",
        )
    return _kept(zip(left, right, strict=True), f"{first.name} and {second.name}", warnings)


def _kept(pairs: Iterable[Pair], where: str, warnings: list[str]) -> tuple[Pair, ...]:
    kept, empty, uneven = [], 0, 0
    for pair in pairs:
        shorter, longer = sorted(map(len, pair))
        if not shorter:
            empty += 1
        elif longer > RATIO * shorter and longer > 20:
            uneven += 1
        else:
            kept.append(pair)
    if empty:
        warnings.append(f"{where}: {empty:,} pairs with an empty side were left out")
    if uneven:
        warnings.append(
            f"{where}: {uneven:,} pairs were left out, for one side has over {RATIO:g} times the "
            "characters of the other"
        )
    return tuple(kept)
