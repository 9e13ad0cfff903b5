"""Which of several quantized models is shipped: the most accurate, and by how much."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs


@attrs.frozen(kw_only=True)
class Choice:
    """Accuracies (0 to 1) by name, and the name of the model that is `shipped`."""

    shipped: str
    accuracies: Mapping[str, float]

    @property
    def ahead(self) -> float:
        """Points by which the shipped one leads the next."""
        others = [value for name, value in self.accuracies.items() if name != self.shipped]
        return 100 * (self.accuracies[self.shipped] - max(others, default=0.0))

    def __str__(self) -> str:
        figures = ", ".join(f"{name} {100 * a:.2f} %" for name, a in self.accuracies.items())
        return f"{self.shipped} is shipped: {figures} ({self.ahead:+.2f} points)"


def choose(candidates: Mapping[str, Any], evaluate: Callable[[Any], float]) -> Choice:
    """Evaluate all; of equals the first is shipped."""
    found = {name: float(evaluate(model)) for name, model in candidates.items()}
    return Choice(shipped=max(found, key=lambda name: found[name]), accuracies=found)
