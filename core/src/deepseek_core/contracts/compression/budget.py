"""Budgets: what a compressed model may cost, and whether it does."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Final, Literal

import attrs

from deepseek_core.contracts.compression.metric import Metric
from deepseek_core.contracts.errors import ConfigError
from deepseek_core.contracts.units import check_count

_NUMBER: Final = re.compile(r"(?:<=\s*)?(/)?\s*(\d+(?:\.\d*)?(?:[eE][+-]?\d+)?)\s*([kKMGT]i?B?|B)?")
_SCALES: Final = {
    "": 1, "B": 1,
    "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12,
    "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40,
    "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40,
}  # fmt: skip
_FIGURE: Final = re.compile(r"([<>]=)?\s*([+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?)\s*(.*)")
_POINTS: Final = ("", "pt", "pts", "point", "points", "%")
_QUANTILES: Final = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99}


@attrs.frozen(kw_only=True)
class Limit:
    """At most so much (`most`), or the original's figure divided by `divisor`; one of the two."""

    divisor: float | None = None
    most: float | None = None

    def __attrs_post_init__(self) -> None:
        given = [value for value in (self.divisor, self.most) if value is not None]
        if len(given) != 1 or not 0 < given[0] < math.inf:
            raise ConfigError("a limit is one number above 0: a divisor or an amount")

    @classmethod
    def parse(cls, value: Any, *, where: str) -> Limit:
        """`"/3.7"` of the original; `700000`, `"0.7M"`, `"4 MiB"` as an amount.

        Raises:
            ConfigError: anything else; `where` is named.
        """
        divisor, number = _part(value)
        if number is None or not 0 < number < math.inf:
            raise ConfigError(
                f"{where} must be a limit, got {value!r}",
                remedy='write "/3.7" for a part of the original, or an amount as 700000 or "4 MiB"',
            )
        return cls(divisor=number) if divisor else cls(most=number)

    def of(self, original: float | None) -> float | None:
        """The largest amount that holds, for an original of that size; None if that is unknown."""
        if self.divisor is None:
            return self.most
        return None if original is None else original / self.divisor

    def __str__(self) -> str:
        return f"/{self.divisor:g}" if self.divisor is not None else f"{self.most:,.0f}"


def _part(value: Any) -> tuple[bool, float | None]:
    """Whether a limit divides, and its number; None where it has none."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return False, float(value)
    found = _NUMBER.fullmatch(value.strip()) if isinstance(value, str) else None
    scale = _SCALES.get(found[3] or "") if found else None
    if found is None or scale is None or (found[1] and found[3]):
        return False, None
    return bool(found[1]), float(found[2]) * scale


@attrs.frozen(kw_only=True)
class LatencyBudget:
    """So many seconds on a device, for a batch, at a quantile of the runs."""

    device: str
    seconds: float
    quantile: float = 0.99
    batch: int = attrs.field(default=1, validator=check_count(1))
    threads: int = attrs.field(default=1, validator=check_count(1))

    def __attrs_post_init__(self) -> None:
        if not 0 < self.seconds < math.inf or self.quantile not in _QUANTILES.values():
            raise ConfigError("a latency budget is a time above 0 at p50, p95 or p99")

    @classmethod
    def parse(cls, table: Any) -> LatencyBudget:
        """`{ device = "cpu", p99_ms = 8.0, batch = 1, threads = 1 }`.

        Raises:
            ConfigError: an unknown key, or not exactly one of p50_ms, p95_ms and p99_ms.
        """
        if not isinstance(table, Mapping):
            raise ConfigError(
                f"budget.latency must be a table, got {table!r}",
                remedy='write it as { device = "cpu", p99_ms = 8.0 }',
            )
        refuse_unknown(table, ("device", "batch", "threads", *_QUANTILES), where="budget.latency")
        times = [key for key in _QUANTILES if key in table]
        if len(times) != 1 or not isinstance(table.get("device"), str):
            raise ConfigError(
                "budget.latency names a device and one of p50_ms, p95_ms and p99_ms",
                remedy='write it as { device = "cpu", p99_ms = 8.0 }',
            )
        wanted_ms = table[times[0]]
        if not isinstance(wanted_ms, int | float) or isinstance(wanted_ms, bool):
            raise ConfigError(f"budget.latency.{times[0]} must be a number, got {wanted_ms!r}")
        counts = {key: table[key] for key in ("batch", "threads") if key in table}
        return cls(
            device=table["device"],
            seconds=wanted_ms / 1e3,
            quantile=_QUANTILES[times[0]],
            **counts,
        )

    def to_table(self) -> dict[str, Any]:
        """A table as `parse` reads it."""
        (time,) = [key for key, quantile in _QUANTILES.items() if quantile == self.quantile]
        found = {"device": self.device, time: self.seconds * 1e3}
        return found | {"batch": self.batch, "threads": self.threads}

    def __str__(self) -> str:
        return f"p{self.quantile * 100:.0f} <= {self.seconds * 1e3:g} ms on {self.device}"


Outcome = Literal["holds", "fails", "not measured"]


@attrs.frozen(kw_only=True)
class BudgetRow:
    """One line of a verdict: what was wanted, what came out, whether it holds.

    `bound` is None where the original's figure is unknown, `got` where the result's is; the
    outcome is `not measured` then. `low` and `high` are the 95 % interval of what came out, where
    it is known; the outcome goes by `got`.
    """

    name: str
    wanted: str
    bound: float | None
    got: float | None
    outcome: Outcome
    low: float | None = None
    high: float | None = None

    def to_json(self) -> dict[str, Any]:
        """All fields by name."""
        return attrs.asdict(self)


_KEYS: Final = ("parameters", "macs", "nbytes", "accuracy_drop", "accuracy", "latency")


@attrs.frozen(kw_only=True)
class Budget:
    """What the result may cost; None: no matter.

    `parameters`, `macs` and `nbytes` (of the shipped file) are limits; `accuracy` is the least
    that the `metric` may be, and `accuracy_drop` what it may be below the original: points
    (hundredths) of a share, else in the metric's unit.
    """

    parameters: Limit | None = None
    macs: Limit | None = None
    nbytes: Limit | None = None
    accuracy_drop: float | None = None
    accuracy: float | None = None
    latency: LatencyBudget | None = None
    metric: Metric = attrs.field(factory=Metric)

    @classmethod
    def parse(cls, table: Any, metric: Metric | None = None) -> Budget:
        """The table `[budget]` of a recipe; `accuracy` may go by the name of its `metric`.

        Raises:
            ConfigError: an unknown key (the nearest one is named) or a value that is no limit.
        """
        if not isinstance(table, Mapping):
            raise ConfigError(
                f"budget must be a table, got {table!r}", remedy="write it as [budget]"
            )
        metric = Metric() if metric is None else metric
        table = _by_own_names(table, metric.name)
        given: dict[str, Any] = {"metric": metric} | {
            key: Limit.parse(table[key], where=f"budget.{key}")
            for key in ("parameters", "macs", "nbytes")
            if key in table
        }
        if "accuracy_drop" in table:
            given["accuracy_drop"] = _points(table["accuracy_drop"], metric)
        if "accuracy" in table:
            given["accuracy"] = _least(table["accuracy"], metric)
        if "latency" in table:
            given["latency"] = LatencyBudget.parse(table["latency"])
        return cls(**given)

    def to_table(self) -> dict[str, Any]:
        """A table as `parse` reads it."""
        limits = {"parameters": self.parameters, "macs": self.macs, "nbytes": self.nbytes}
        table: dict[str, Any] = {
            name: limit.most if limit.divisor is None else f"/{limit.divisor!r}"
            for name, limit in limits.items()
            if limit is not None
        }
        points = {"accuracy_drop": self.accuracy_drop, "accuracy": self.accuracy}
        table |= {name: value for name, value in points.items() if value is not None}
        return table | ({"latency": self.latency.to_table()} if self.latency else {})

    def rows(
        self, original: Mapping[str, float], got: Mapping[str, float]
    ) -> tuple[BudgetRow, ...]:
        """The verdict, line by line.

        Both map `parameters`, `macs`, `nbytes`, `accuracy` and, of the result, `latency_s` to
        figures; one that is missing is not measured.
        """
        limits = (
            ("parameters", self.parameters),
            ("macs", self.macs),
            ("nbytes", self.nbytes),
        )
        found = [
            _row(name, str(limit), limit.of(original.get(name)), got.get(name))
            for name, limit in limits
            if limit is not None
        ]
        if self.accuracy_drop is not None:
            drop = None
            if "accuracy" in got and "accuracy" in original:
                drop = (original["accuracy"] - got["accuracy"]) * self.metric.per_unit
            wanted = f"<= {self.metric.limit(self.accuracy_drop)}"
            found.append(_row("accuracy_drop", wanted, self.accuracy_drop, drop))
        if self.accuracy is not None:
            least = f">= {self.metric.text(self.accuracy)}"
            found.append(_row("accuracy", least, self.accuracy, got.get("accuracy"), sign=-1))
        if self.latency is not None:
            wanted = str(self.latency)
            found.append(_row("latency_s", wanted, self.latency.seconds, got.get("latency_s")))
        return tuple(found)


def _row(
    name: str, wanted: str, bound: float | None, got: float | None, *, sign: int = 1
) -> BudgetRow:
    outcome: Outcome = "not measured"
    if got is not None and bound is not None:
        # A difference of two shares is not exact in binary: a billionth is none.
        outcome = "holds" if sign * got <= sign * bound + 1e-9 * abs(bound) + 1e-12 else "fails"
    return BudgetRow(name=name, wanted=wanted, bound=bound, got=got, outcome=outcome)


def _by_own_names(table: Mapping[str, Any], metric: str) -> dict[str, Any]:
    """The table under the names of `_KEYS`; `recall_drop` is the drop of the metric `recall`."""
    own = {metric: "accuracy", f"{metric}_drop": "accuracy_drop"}
    own = {name: key for name, key in own.items() if name not in _KEYS}
    refuse_unknown(table, (*own, *_KEYS), where="budget")
    for name, key in own.items():
        if name in table and key in table:
            raise ConfigError(f"budget has both {name} and {key}", remedy="give one of the two")
    return {own.get(name, name): value for name, value in table.items()}


def _points(value: Any, metric: Metric) -> float:
    """What a metric may lose: points of a share, else so much of its unit."""
    most = 100.0 if metric.is_share else math.inf
    number = _number(value, "<=", _POINTS if metric.is_share else ("", metric.unit))
    if number is None or not 0 <= number <= most or math.isinf(number):
        how = 'in points, hundredths: 1.0 or "<= 1.0 pt"'
        raise ConfigError(
            f"budget.{metric.name}_drop is {value!r}",
            remedy=f"write it {how if metric.is_share else _like(0.5, metric)}",
        )
    return number


def _least(value: Any, metric: Metric) -> float:
    """The least that a metric may be."""
    if not metric.is_share:
        number = _number(value, ">=", ("", metric.unit))
        if number is None or not math.isfinite(number):
            raise ConfigError(
                f"budget.{metric.name} is {value!r}", remedy=f"write it {_like(30, metric)}"
            )
        return number
    number = _number(value, ">=", ("", "%"))
    if number is not None and isinstance(value, str) and value.rstrip().endswith("%"):
        number /= 100
    if number is None or not 0 <= number <= 1:
        raise ConfigError(
            f"budget.{metric.name} is {value!r}", remedy='write it as 0.92, or as ">= 92 %"'
        )
    return number


def _like(value: float, metric: Metric) -> str:
    return f'in the metric\'s unit: {value:g} or "{metric.text(value)}"'


def _number(value: Any, sign: str, units: tuple[str | None, ...]) -> float | None:
    """A number, or a text of one with that sign before it and one of these units; else None."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    found = _FIGURE.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None or found[1] not in (None, sign) or found[3] not in units:
        return None
    return float(found[2])


def refuse_unknown(table: Mapping[str, Any], known: tuple[str, ...], *, where: str) -> None:
    """Refuse keys that mean nothing, and name the nearest one that does.

    Raises:
        ConfigError: there is one.
    """
    from difflib import get_close_matches

    for key in table:
        if key not in known:
            close = get_close_matches(str(key), known, n=1)
            raise ConfigError(
                f"{where} has no key {key!r}",
                remedy=f"did you mean {close[0]!r}?" if close else f"its keys: {', '.join(known)}",
            )
