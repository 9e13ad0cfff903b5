"""What `prepare` leaves in the data folder, and reads from it again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import attrs

from deepseek_apps.translate.corpus import Pair
from deepseek_core import errors

VOCABULARY: Final = "vocabulary.model"
_FACTS: Final = "prepared.json"
_SCHEMA: Final = 1


@attrs.frozen(kw_only=True)
class Prepared:
    """Clean text of all parts, with the fingerprint of the vocabulary learned from `train`."""

    source_language: str
    target_language: str
    vocabulary: str
    train: tuple[Pair, ...]
    validation: tuple[Pair, ...]
    test: tuple[Pair, ...]
    others: Mapping[str, tuple[Pair, ...]] = attrs.field(factory=dict)
    monolingual: tuple[str, ...] = ()

    @property
    def languages(self) -> tuple[str, ...]:
        """All that it has a text of, each once."""
        return (self.source_language, self.target_language, *sorted(self.others))


def write_prepared(data: Prepared, folder: Path) -> None:
    """Write one table of each part."""
    for part in ("train", "validation", "test"):
        _write_pairs(folder / f"{part}.tsv", getattr(data, part))
    for code, pairs in data.others.items():
        _write_pairs(folder / f"other-{code}.tsv", pairs)
    _write(folder / "monolingual.txt", data.monolingual)
    facts = {
        "schema": _SCHEMA, "source_language": data.source_language,
        "target_language": data.target_language, "vocabulary": data.vocabulary,
        "others": sorted(data.others),
    }  # fmt: skip
    (folder / _FACTS).write_text(json.dumps(facts, indent=1), encoding="utf-8")


def read_prepared(folder: Path) -> Prepared:
    """Read them.

    Raises:
        ArtifactError: a file is missing or was changed into something else.
    """
    try:
        facts = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
        if facts["schema"] != _SCHEMA:
            raise ValueError(f"schema {facts['schema']} in {_FACTS}")
        return Prepared(
            source_language=facts["source_language"],
            target_language=facts["target_language"],
            vocabulary=facts["vocabulary"],
            train=_read_pairs(folder / "train.tsv"),
            validation=_read_pairs(folder / "validation.tsv"),
            test=_read_pairs(folder / "test.tsv"),
            others={code: _read_pairs(folder / f"other-{code}.tsv") for code in facts["others"]},
            monolingual=tuple(_read(folder / "monolingual.txt")),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise errors.ArtifactError(
            f"{folder} does not hold prepared text: {error}",
            remedy="prepare the data once more",
        ) from error


def _write_pairs(path: Path, pairs: Iterable[Pair]) -> None:
    _write(path, ("\t".join(pair) for pair in pairs))


def _write(path: Path, lines: Iterable[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")


def _read_pairs(path: Path) -> tuple[Pair, ...]:
    pairs = []
    for line in _read(path):
        source, tab, target = line.partition("\t")
        if not tab:
            raise ValueError(f"{path.name} has a line without a tab")
        pairs.append((source, target))
    return tuple(pairs)


def _read(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").split("\n")[:-1]
