"""Which of several quantized models is shipped: the best, and by how much."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs

from deepseek_core import compression


@attrs.frozen(kw_only=True)
class Choice:
    """Figures of a `metric` by name, and the name of the model that is `shipped`."""

    shipped: str
    figures: Mapping[str, float]
    metric: compression.Metric = attrs.field(factory=compression.Metric)

    @property
    def ahead(self) -> float:
        """By how much the shipped one leads the next: points of a share, else in its unit."""
        others = [value for name, value in self.figures.items() if name != self.shipped]
        return (self.figures[self.shipped] - max(others)) * self.metric.per_unit if others else 0.0

    def __str__(self) -> str:
        figures = ", ".join(f"{name} {self.metric.text(f)}" for name, f in self.figures.items())
        return f"{self.shipped} is shipped: {figures} (+{self.metric.difference(self.ahead)})"


def choose(
    candidates: Mapping[str, Any],
    evaluate: Callable[[Any], float],
    metric: compression.Metric,
) -> Choice:
    """Evaluate all; of equals the first is shipped."""
    found = {name: float(evaluate(model)) for name, model in candidates.items()}
    return Choice(shipped=max(found, key=lambda name: found[name]), figures=found, metric=metric)
