"""Figures of models: scores with intervals, paired differences, curves."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf, isfinite
from typing import Any, Final, Literal

import attrs

from deepseek_core.contracts.compression.interval import Interval
from deepseek_core.contracts.compression.metric import Metric
from deepseek_core.contracts.errors import InputError
from deepseek_core.contracts.kept import table_of
from deepseek_core.contracts.units import check_count

KINDS: Final = ("ours", "baseline", "peer", "part")


def _whole_numbers(values: Iterable[int]) -> tuple[int, ...]:
    return tuple(values)


def _figures(values: Iterable[float]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


@attrs.frozen(kw_only=True)
class Measure(Metric):
    """A figure of models and which way is better; see `Metric` for its `unit`.

    AUC and losses are plain numbers (`unit="1"`), accuracy is a share (None).
    """

    higher_is_better: bool = True


@attrs.frozen(kw_only=True)
class Score:
    """One figure of one model on the test part, with its 95 % interval.

    `kind` says what the model is: "ours", a "baseline", a "peer" (another library's) or a "part"
    (of ours: one modality, one task). `basis` says what the interval rests on ("t over 5 seeds").
    `seeds` are those of its trainings, none for what has no chance in it; `cpu_s` are the CPU
    seconds of one training, `parameters` its numbers that were learned.
    """

    model: str
    kind: Literal["ours", "baseline", "peer", "part"] = attrs.field(
        validator=attrs.validators.in_(KINDS)
    )
    measure: Measure
    interval: Interval
    basis: str
    seeds: tuple[int, ...] = attrs.field(default=(), converter=_whole_numbers)
    parameters: int | None = attrs.field(
        default=None, validator=attrs.validators.optional(check_count(0))
    )
    cpu_s: float | None = None
    note: str = ""

    def __attrs_post_init__(self) -> None:
        _check_interval(self.interval, f"{self.measure.name} of {self.model!r}")

    @property
    def text(self) -> str:
        """`0.9277 (0.9201 to 0.9353)`; of one seed it says that there is no interval."""
        if not _is_known(self.interval):
            return f"{self.measure.text(self.interval.value)} (no interval)"
        return self.measure.between(self.interval.value, self.interval.low, self.interval.high)


@attrs.frozen(kw_only=True)
class Difference:
    """By how much `one` model is ahead of the `other`, paired: `one` - `other` on equal items.

    The `interval` is in the measure's own figures (0.02 is two points of a share).
    """

    one: str
    other: str
    measure: Measure
    interval: Interval
    basis: str

    def __attrs_post_init__(self) -> None:
        _check_interval(self.interval, f"{self.one!r} against {self.other!r}")

    @property
    def outcome(self) -> Literal["better", "no gain", "worse"]:
        """What the interval shows; "no gain" where it holds 0."""
        sign = 1 if self.measure.higher_is_better else -1
        low, high = sorted((sign * self.interval.low, sign * self.interval.high))
        if low > 0:
            return "better"
        return "worse" if high < 0 else "no gain"

    @property
    def sentence(self) -> str:
        """What follows from it, for people."""
        if not _is_known(self.interval):
            value = self.measure.difference(self.measure.per_unit * self.interval.value)
            return (
                f"nothing is shown of {self.one} against {self.other}: {self.measure.name} "
                f"{value} without an interval, {self.basis}"
            )
        told = (self.interval.value, self.interval.low, self.interval.high)
        by = self.measure.difference(*(self.measure.per_unit * figure for figure in told))
        words = {
            "better": f"{self.one} is better than {self.other}",
            "no gain": f"no gain of {self.one} over {self.other} is shown",
            "worse": f"{self.one} is worse than {self.other}",
        }
        return f"{words[self.outcome]}: {self.measure.name} {by}, {self.basis}"


@attrs.frozen(kw_only=True)
class Curve:
    """A line to draw: points `x`, `y` of one `model`; those of one `chart` share a picture."""

    chart: str
    model: str
    x_label: str
    y_label: str
    x: tuple[float, ...] = attrs.field(converter=_figures)
    y: tuple[float, ...] = attrs.field(converter=_figures)

    def __attrs_post_init__(self) -> None:
        if len(self.x) != len(self.y) or not all(map(isfinite, (*self.x, *self.y))):
            raise InputError(
                f"curve {self.chart!r} of {self.model!r} has {len(self.x)} x and {len(self.y)} y",
                remedy="give as many finite numbers of each",
            )


def figure_from_json(kind: type[Any], kept: object) -> Any:
    """A score or a difference out of plain values; for `reading`.

    Raises:
        ArtifactError: it lacks a part or has one too many.
    """
    table = table_of(kept, kind)
    measure = Measure(**table_of(table["measure"], Measure))
    return kind(**{**table, "measure": measure, "interval": _interval(table["interval"])})


def curve_from_json(kept: object) -> Curve:
    """A curve out of plain values; for `reading`.

    Raises:
        ArtifactError: it lacks a part or has one too many.
    """
    return Curve(**table_of(kept, Curve))


def _interval(kept: object) -> Interval:
    known = {name: end for name, end in table_of(kept, Interval).items() if end is not None}
    return Interval(**{"low": -inf, "high": inf, **known})


def _is_known(interval: Interval) -> bool:
    return isfinite(interval.low) and isfinite(interval.high)


def _check_interval(interval: Interval, of: str) -> None:
    if not isfinite(interval.value) or not interval.low <= interval.value <= interval.high:
        raise InputError(
            f"{of}: {interval.value} does not lie in {interval.low} to {interval.high}",
            remedy="give a finite figure inside of its interval",
        )
