"""The check that shuffled labels give chance: where they do not, the answer leaks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import attrs
import numpy as np

from deepseek_apps.shared.intervals import over_seeds
from deepseek_core import compression, errors

_ROUNDS: Final = 5


@attrs.frozen(kw_only=True)
class Chance:
    """What a model scores when its training labels were shuffled; `expected` is chance."""

    measure: str
    found: compression.Interval
    expected: float

    @property
    def leaks(self) -> bool:
        """Whether it scores above chance all the same."""
        return self.found.low > self.expected

    @property
    def sentence(self) -> str:
        """What it says of the data."""
        told = f"{self.found.value:.3f} ({self.found.low:.3f} to {self.found.high:.3f})"
        if self.leaks:
            return (
                f"with shuffled labels {self.measure} is still {told}, chance is "
                f"{self.expected:.3f}: something of the test part is in what the model is given"
            )
        return f"with shuffled labels {self.measure} is {told}; chance is {self.expected:.3f}"


def shuffled_labels(
    score: Callable[[Any], float],
    labels: Sequence[Any],
    *,
    measure: str,
    expected: float,
    rounds: int = _ROUNDS,
    seed: int = 0,
) -> Chance:
    """Train on shuffled labels some times: `score(labels)` trains, and scores on true ones.

    Raises:
        InputError: fewer than 2 rounds, labels of one class, or a score that is not finite.
    """
    given = np.asarray(labels)
    if rounds < 2 or len(np.unique(given)) < 2:
        raise errors.InputError(
            f"{rounds} rounds over {len(np.unique(given))} classes show nothing",
            remedy="give 2 of each or more",
        )
    rng = np.random.default_rng(seed)
    scores = [float(score(given[rng.permutation(len(given))])) for _ in range(rounds)]
    return Chance(measure=measure, found=over_seeds(scores), expected=expected)
