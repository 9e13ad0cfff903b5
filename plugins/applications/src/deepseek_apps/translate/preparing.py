"""From a user's text to the data folder: split, cut, warned of leaks, with a vocabulary."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import attrs

from deepseek_apps.shared.splits import PARTS, named_split
from deepseek_apps.translate.corpus import Corpus, Pair, read_corpus
from deepseek_apps.translate.options import Options
from deepseek_apps.translate.prepared import VOCABULARY, Prepared, write_prepared
from deepseek_apps.translate.splitting import ids_of, shared, split
from deepseek_apps.translate.vocabulary import Vocabulary, train_vocabulary, write_vocabulary
from deepseek_core import errors

_LEAST: Final = 10
"""Training pairs; fewer can't be learned from, nor be cut in pieces."""
_BALANCED: Final = 20_000
"""Texts of each language, at most, that pieces are learned from."""


@attrs.frozen(kw_only=True)
class Parts:
    """Text of a user in parts; `how` says how they came about, `hash` which these are."""

    data: Prepared
    how: str
    hash: str
    warnings: tuple[str, ...]


def read_parts(source: Path, options: Options) -> Parts:
    """Read a user's text and part it; `data.vocabulary` is still empty.

    Raises:
        InputError: it can't be used.
    """
    corpus, how = _parted(read_corpus(source, options), options)
    train = cut_pairs(corpus.train, options.pairs)
    if len(train) < _LEAST:
        raise errors.InputError(
            f"{source} leaves {len(train)} pairs to train on, and at least {_LEAST} are needed",
            remedy="give more pairs",
        )
    data = Prepared(
        source_language=options.source_language, target_language=options.target_language,
        vocabulary="", train=train, validation=corpus.validation, test=corpus.test,
        others=corpus.others, monolingual=_monolingual(corpus, train, options),
    )  # fmt: skip
    return Parts(data=data, how=how, hash=_hash(data), warnings=(*corpus.warnings, *_leaks(data)))


def _parted(corpus: Corpus, options: Options) -> tuple[Corpus, str]:
    if corpus.test and corpus.validation:
        return corpus, "files of the user for each part"
    if corpus.test or corpus.validation:
        missing = "validation" if corpus.test else "test"
        raise errors.InputError(
            f"there are files for one held-out part, and none for {missing}",
            remedy=f"give {missing}.{options.source_language} and "
            f"{missing}.{options.target_language} too, or neither part",
        )
    if corpus.others:
        raise errors.InputError(
            "other languages beside the training part need validation and test files of their own",
            remedy="give validation.* and test.*, or --set tasks=main,reverse,denoise",
        )
    parted, pairs = split(corpus.train, options.test_share)
    train, validation, test = (tuple(pairs[n] for n in parted.parts[name]) for name in PARTS)
    return attrs.evolve(
        corpus, train=train, validation=validation, test=test
    ), "connected groups of pairs, which share no sentence"


def _hash(data: Prepared) -> str:
    """A digest of the three parts, in which a pair stands once."""
    parts = [dict.fromkeys(part) for part in (data.train, data.validation, data.test)]
    pairs, numbers, begin = [], {}, 0
    for name, part in zip(PARTS, parts, strict=True):
        pairs += [f"{name}\t{known}" for known in ids_of(part)]
        numbers[name] = range(begin, begin := len(pairs))
    return named_split(pairs, numbers).hash


def cut_pairs(pairs: Sequence[Pair], count: int) -> tuple[Pair, ...]:
    """Draw so many of the pairs, with one seed for all trainings."""
    if not 0 < count < len(pairs):
        return tuple(pairs)
    chosen = sorted(random.Random(0).sample(range(len(pairs)), count))  # noqa: S311
    return tuple(pairs[number] for number in chosen)


def _monolingual(corpus: Corpus, train: Sequence[Pair], options: Options) -> tuple[str, ...]:
    """Each text once, without those that a pair has: to learn them twice would weigh them so."""
    if "denoise" not in options.task_names:
        return ()
    known = {pair[1] for part in (train, corpus.validation, corpus.test) for pair in part}
    return tuple(text for text in dict.fromkeys(corpus.monolingual) if text not in known)


def _leaks(data: Prepared) -> list[str]:
    """What is said of text that stands in two parts."""
    warnings = []
    learned = [*data.train, *(pair for pairs in data.others.values() for pair in pairs)]
    for part, held in (("validation", data.validation), ("test", data.test)):
        count = shared(learned, held)
        if count:
            warnings.append(
                f"{count:,} of {len(held):,} {part} pairs share a sentence with the training part: "
                "scores flatter there"
            )
    return warnings


def write_parts(parts: Parts, folder: Path, options: Options) -> Prepared:
    """Learn the vocabulary and write everything into a folder; what stands there then.

    Raises:
        ConfigError: so many pieces can't be made of the text.
    """
    texts = vocabulary_texts(parts.data)
    content = train_vocabulary(balanced(texts), list(texts), options)
    write_vocabulary(content, folder / VOCABULARY)
    known = Vocabulary.load(folder / VOCABULARY)
    data = attrs.evolve(parts.data, vocabulary=known.fingerprint)
    write_prepared(data, folder)
    return data


def vocabulary_texts(data: Prepared) -> dict[str, list[str]]:
    """Texts of the training part by language; no held-out text is among them."""
    texts = {
        data.source_language: [pair[0] for pair in data.train],
        data.target_language: [*(pair[1] for pair in data.train), *data.monolingual],
    }
    for code, pairs in data.others.items():
        texts[data.source_language] += [pair[0] for pair in pairs]
        texts[code] = [pair[1] for pair in pairs]
    return texts


def balanced(texts: Mapping[str, Sequence[str]]) -> list[str]:
    """As many texts of each language: a small one's words would else be cut in crumbs."""
    once = [list(dict.fromkeys(several)) for several in texts.values()]
    most = min(_BALANCED, max(map(len, once)))
    return [text for one in once for text in itertools.islice(itertools.cycle(one), most)]
