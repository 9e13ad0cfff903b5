"""What an application says of its models."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import attrs

from deepseek_core.contracts.errors import InputError
from deepseek_core.contracts.kept import plain, reading, table_of
from deepseek_core.contracts.scores import (
    Curve,
    Difference,
    Measure,
    Score,
    curve_from_json,
    figure_from_json,
)
from deepseek_core.contracts.units import as_names


def _scores(values: Iterable[Score]) -> tuple[Score, ...]:
    return tuple(values)


def _differences(values: Iterable[Difference]) -> tuple[Difference, ...]:
    return tuple(values)


def _curves(values: Iterable[Curve]) -> tuple[Curve, ...]:
    return tuple(values)


@attrs.frozen(kw_only=True)
class Evaluation:
    """All figures of a job, with the strongest simple baseline beside them.

    The first measure of `scores` is the one that the job is judged by.

    Raises:
        InputError: no score of ours or none of a baseline, two of one model and measure, or a
            difference between models that have no score.
    """

    scores: tuple[Score, ...] = attrs.field(converter=_scores)
    differences: tuple[Difference, ...] = attrs.field(default=(), converter=_differences)
    curves: tuple[Curve, ...] = attrs.field(default=(), converter=_curves)
    notes: tuple[str, ...] = attrs.field(default=(), converter=as_names)

    def __attrs_post_init__(self) -> None:
        kinds = {score.kind for score in self.scores}
        for kind in ("ours", "baseline"):
            if kind not in kinds:
                raise InputError(
                    f"the evaluation has no score of kind {kind!r}",
                    remedy="put ours and the strongest simple baseline side by side",
                )
        self._check_names()

    def _check_names(self) -> None:
        named = [(score.model, score.measure.name) for score in self.scores]
        if len(set(named)) < len(named):
            twice = next(pair for pair in named if named.count(pair) > 1)
            raise InputError(f"{twice[0]!r} has two scores of {twice[1]}", remedy="give one")
        for each in self.differences:
            for model in (each.one, each.other):
                if (model, each.measure.name) not in named:
                    raise InputError(
                        f"a difference names {model!r}, which has no score of {each.measure.name}",
                        remedy="give its score, too",
                    )

    @property
    def measures(self) -> tuple[Measure, ...]:
        """The measures, each once, the main one first."""
        return tuple({score.measure.name: score.measure for score in self.scores}.values())

    def to_json(self) -> dict[str, Any]:
        """Plain values, as a file holds them; an infinite end of an interval is null."""
        return plain(self)

    @classmethod
    def from_json(cls, kept: object) -> Evaluation:
        """What `to_json` gave.

        Raises:
            ArtifactError: it lacks a part, has one too many, or one that does not fit.
        """
        with reading("an evaluation"):
            table = table_of(kept, cls)
            return cls(
                scores=[figure_from_json(Score, row) for row in table["scores"]],
                differences=[figure_from_json(Difference, row) for row in table["differences"]],
                curves=[curve_from_json(row) for row in table["curves"]],
                notes=table["notes"],
            )
