"""Which examples make which update: batches of like length, cut by target tokens.

The whole plan hangs on the seed alone, so that a run that goes on takes the updates that are left.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias

import numpy as np

from deepseek_apps.translate.options import Options
from deepseek_apps.translate.tasks import Task, shares_of

Example: TypeAlias = tuple[int, int]
"""Numbers of a task and of an example of it."""
POOL: Final = 2048
"""Examples that are sorted by length at once: few enough that batches stay various."""


def plan(tasks: Sequence[Task], options: Options, seed: int) -> list[list[Example]]:
    """The examples of each update.

    `finish` of the updates at the end are of the first task alone.
    """
    rng = np.random.default_rng([seed, 1])
    shares = shares_of([len(task) for task in tasks], options)
    alone = np.eye(len(tasks))[0]
    turning = round(options.updates * (1 - options.finish))
    orders = [_passes(len(task), rng) for task in tasks]
    batches: list[list[Example]] = []
    while len(batches) < options.updates:
        drawn = rng.choice(len(tasks), POOL, p=shares if len(batches) < turning else alone)
        pool = [(int(task), next(orders[task])) for task in drawn]
        made = cut(pool, tasks, options.batch_tokens)
        end = turning if len(batches) < turning else options.updates
        batches += [made[n] for n in rng.permutation(len(made))][: end - len(batches)]
    return batches


def _passes(length: int, rng: np.random.Generator) -> Iterator[int]:
    """Each example once, in random order, again and again."""
    while True:
        yield from map(int, rng.permutation(length))


def cut(pool: Sequence[Example], tasks: Sequence[Task], most: int) -> list[list[Example]]:
    """Batches of at most so many target tokens, padding included; of sources twice as many.

    An example that is longer makes a batch of its own.
    """

    def lengths(example: Example) -> tuple[int, int]:
        task, number = tasks[example[0]], example[1]
        return len(task.targets[number]) + 1, task.source_length(number)

    batches: list[list[Example]] = []
    widest = (0, 0)
    for example in sorted(pool, key=lambda one: (*lengths(one), one)):
        target, source = lengths(example)
        grown = max(widest[0], target), max(widest[1], source)
        count = len(batches[-1]) + 1 if batches else 1
        if not batches or count * grown[0] > most or count * grown[1] > 2 * most:
            batches.append([])
            grown = target, source
        batches[-1].append(example)
        widest = grown
    return batches
