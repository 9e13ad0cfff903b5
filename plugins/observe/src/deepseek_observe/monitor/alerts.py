"""What a person should look at: rules over a sample, each with its threshold. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import attrs

from deepseek_core import errors
from deepseek_observe.monitor.families import MEMORY, TEMPERATURE, UP, Series
from deepseek_observe.monitor.sample import Alert


@attrs.frozen(kw_only=True)
class Rule:
    """On while a drawn value of the family is above the threshold, or below where `is_floor`.

    `text` gets the value. Series with a label of `but` are left alone.
    """

    name: str
    family: str
    threshold: float
    text: str
    is_floor: bool = False
    but: frozenset[str] = frozenset()

    def holds(self, value: float) -> bool:
        """Whether the value is worth an alert."""
        return value < self.threshold if self.is_floor else value > self.threshold


RULES: Final = (
    Rule(name="lost", family=UP, threshold=1, is_floor=True, text="the device does not answer"),
    Rule(name="temperature", family=TEMPERATURE, threshold=87, text="{value:.0f} °C"),
    Rule(name="memory", family=MEMORY, threshold=0.97, text="{value:.1%} of the memory is used"),
    Rule(
        name="ecc", family="deepseek_device_ecc_uncorrected_total", threshold=0,
        text="new memory errors that ECC could not correct",
    ),
    Rule(
        name="throttled", family="deepseek_device_throttled", threshold=0.5,
        text="the clocks are held down",
        but=frozenset({"power cap"}),  # at full load most cards are at theirs
    ),
    Rule(
        name="disk", family="deepseek_filesystem_used_ratio", threshold=0.95,
        text="{value:.1%} of the file system is used",
    ),
    Rule(
        name="deadline", family="deepseek_deadline_misses_total", threshold=0,
        text="{value:.2g} deadlines are missed per second",
    ),
    Rule(
        name="imbalance", family="deepseek_training_imbalance_ratio", threshold=0.2,
        text="the slowest rank is {value:.0%} above the mean",
    ),
    Rule(
        name="source", family="deepseek_source_up", threshold=1, is_floor=True,
        text="the source does not answer",
    ),
)  # fmt: skip
_BY_NAME: Final = {rule.name: rule for rule in RULES}


def rules_with(changed: Iterable[str]) -> tuple[Rule, ...]:
    """The rules with thresholds from words like `temperature=90`.

    Raises:
        ConfigError: no such rule, or no number.
    """
    rules = dict(_BY_NAME)
    for word in changed:
        name, _, number = word.partition("=")
        if name not in rules:
            raise errors.ConfigError(
                f"no alert {name!r}; there are {', '.join(rules)}",
                remedy="ds-sdk monitor --alert temperature=90",
            )
        try:
            rules[name] = attrs.evolve(rules[name], threshold=_number(number))
        except ValueError:
            raise errors.ConfigError(
                f"--alert {word}: {number!r} is not a number",
                remedy=f"ds-sdk monitor --alert {name}={_BY_NAME[name].threshold:g}",
            ) from None
    return tuple(rules.values())


def _number(text: str) -> float:
    value = float(text)
    if math.isnan(value):
        raise ValueError
    return value


def alerts(
    rules: Iterable[Rule], drawn: Mapping[Series, float], before: Iterable[Alert], now_s: float
) -> tuple[Alert, ...]:
    """Find the alerts that are on now; one that was on already keeps its beginning."""
    since = {(one.name, one.subject): one.since_s for one in before}
    by_family: dict[str, list[Rule]] = {}
    for rule in rules:
        by_family.setdefault(rule.family, []).append(rule)
    return tuple(
        Alert(name=name, subject=subject, text=text, since_s=since.get((name, subject), now_s))
        for name, subject, text in _on(by_family, drawn)
    )


def _on(
    rules: Mapping[str, list[Rule]], drawn: Mapping[Series, float]
) -> Iterator[tuple[str, str, str]]:
    for (family, labels), value in drawn.items():
        for rule in rules.get(family, ()):
            if rule.holds(value) and rule.but.isdisjoint(labels):
                yield rule.name, _subject(family, labels), rule.text.format(value=value)


def _subject(family: str, labels: tuple[str, ...]) -> str:
    if family == "deepseek_device_throttled":
        return f"{labels[0]}: {labels[2]}"
    return labels[0]
