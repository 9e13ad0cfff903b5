"""Which of two quantized models is shipped: the plain one, unless the other leads beyond chance."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs

from deepseek_core import compression

Lead = Callable[[Any, Any], compression.Interval | None]


@attrs.frozen(kw_only=True)
class Choice:
    """Figures of a `metric` by name, and the name of the model that is `shipped`.

    `lead` is by how much the second is ahead of the first, where that was compared.
    """

    shipped: str
    figures: Mapping[str, float]
    metric: compression.Metric = attrs.field(factory=compression.Metric)
    lead: compression.Interval | None = None

    @property
    def ahead(self) -> float:
        """By how much the second leads the first: points of a share, else in the metric's unit."""
        first, second = self.figures.values()
        return (second - first) * self.metric.per_unit

    def __str__(self) -> str:
        figures = ", ".join(f"{name} {self.metric.text(f)}" for name, f in self.figures.items())
        return f"{self.shipped} is shipped: {figures} ({self._why()})"

    def _why(self) -> str:
        second = list(self.figures)[1]
        if self.shipped == second:
            return f"+{self.metric.difference(self.ahead)}"
        if self.ahead <= 0 or self.lead is None:
            return self.metric.difference(self.ahead)
        lead = self.metric.difference(self.ahead, self.lead.low, self.lead.high)
        return f"a lead of {lead} may be chance"


def choose(
    candidates: Mapping[str, Any],
    evaluate: Callable[[Any], float],
    metric: compression.Metric,
    lead: Lead | None = None,
) -> Choice:
    """Evaluate two; ship the second if it is better, by more than chance where `lead` tells.

    Its interval of 95 % then lies above 0. A smaller lead on the samples that choose says nothing
    of other samples, and the first is simpler (as in the rule of one standard error: Breiman,
    Friedman, Olshen and Stone 1984).
    """
    first, second = candidates
    figures = {name: float(evaluate(model)) for name, model in candidates.items()}
    better, by = figures[second] > figures[first], None
    if better and lead is not None:
        by = lead(candidates[second], candidates[first])
        better = by is None or by.low > 0
    return Choice(shipped=second if better else first, figures=figures, metric=metric, lead=by)
