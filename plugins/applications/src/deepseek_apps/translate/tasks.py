"""What a model learns at once, and how often each task is drawn.

Sources: Johnson et al. 2017 (a tag names the language); Arivazhagan et al. 2019 (temperature).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

import attrs
import numpy as np

from deepseek_apps.translate.options import Options
from deepseek_apps.translate.prepared import Prepared
from deepseek_apps.translate.special import END, NOISED
from deepseek_apps.translate.vocabulary import Vocabulary

Row: TypeAlias = list[int]
MAIN: Final = "main"


@attrs.frozen(kw_only=True, eq=False)
class Task:
    """Texts to learn from: rows of pieces without tag and end; `tag` asks for the target.

    A task that `is_noised` has its own target, with noise, as the source.
    """

    name: str
    tag: int
    sources: Sequence[Row]
    targets: Sequence[Row]
    is_noised: bool = False

    def __len__(self) -> int:
        return len(self.sources)

    def source(self, number: int, rng: np.random.Generator) -> Row:
        """What the model is given; noise is drawn again each time."""
        if not self.is_noised:
            return [self.tag, *self.sources[number], END]
        from deepseek_apps.translate.noise import noised

        return [self.tag, NOISED, *noised(self.sources[number], rng), END]

    def source_length(self, number: int) -> int:
        """The most tokens that its source can have."""
        return len(self.sources[number]) + 2 + self.is_noised


def make_tasks(data: Prepared, vocabulary: Vocabulary, options: Options) -> list[Task]:
    """The tasks that the options ask for; the main one is the first."""
    sources, targets = ([pair[side] for pair in data.train] for side in (0, 1))
    left, right = vocabulary.encode(sources), vocabulary.encode(targets)
    asked = options.task_names
    tasks = [_task(MAIN, vocabulary.tag(options.target_language), left, right, options)]
    if "reverse" in asked:
        tasks.append(
            _task("reverse", vocabulary.tag(options.source_language), right, left, options)
        )
    if "languages" in asked:
        for code, pairs in sorted(data.others.items()):
            rows = [vocabulary.encode([pair[side] for pair in pairs]) for side in (0, 1)]
            tasks.append(_task(code, vocabulary.tag(code), rows[0], rows[1], options))
    if "denoise" in asked:
        more = right + vocabulary.encode(data.monolingual)
        task = _task("denoise", vocabulary.tag(options.target_language), more, more, options)
        tasks.append(attrs.evolve(task, is_noised=True))
    return [task for task in tasks if len(task)]


def _task(
    name: str, tag: int, sources: Sequence[Row], targets: Sequence[Row], options: Options
) -> Task:
    """A task of the rows that are neither empty nor too long."""
    most = options.longest
    kept = [
        (source, target)
        for source, target in zip(sources, targets, strict=True)
        if 0 < len(source) <= most and 0 < len(target) <= most
    ]
    return Task(
        name=name, tag=tag, sources=[pair[0] for pair in kept], targets=[pair[1] for pair in kept]
    )


def shares_of(sizes: Sequence[int], options: Options) -> np.ndarray:
    """How often each task is drawn; the first at least `main_share` of the time, if others are."""
    shares = np.asarray(sizes, float) ** (1 / options.temperature)
    shares /= shares.sum()
    if len(shares) > 1 and shares[0] < options.main_share:
        shares[1:] *= (1 - options.main_share) / shares[1:].sum()
        shares[0] = options.main_share
    return shares
