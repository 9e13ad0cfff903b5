"""Plans for tests: every so many units of each group, or a random part."""

from __future__ import annotations

import random

from deepseek_compress.prune.plan import PrunePlan
from deepseek_compress.prune.pruner import Pruner


def every(pruner: Pruner, step: int) -> PrunePlan:
    """Remove one unit of `step` in each group that may shrink; never all."""
    groups = [group for group in pruner.structure.groups if not group.reason]
    return pruner.plan({group.name: range(0, len(group.units) - 1, step) for group in groups})


def at_random(pruner: Pruner, seed: int) -> PrunePlan:
    """Remove any number of any units, but of each block one stays."""
    rng, remove = random.Random(seed), {}
    for group in pruner.structure.groups:
        gone = [
            unit
            for block in group.blocks
            for unit in rng.sample(block.units, rng.randrange(len(block.units)))
        ]
        remove[group.name] = sorted(group.units.index(unit) for unit in gone)
    return pruner.plan(remove)
