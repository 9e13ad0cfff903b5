"""All rules on one environment."""

from __future__ import annotations

from typing import Final

from deepseek_observe.advise.advice import Advice, Kind, ranked
from deepseek_observe.advise.environment import debugging, interfaces, processes, values
from deepseek_observe.advise.environment.rule import Case, Rule

RULES: Final[tuple[Rule, ...]] = (
    *interfaces.RULES, *values.RULES, *debugging.RULES, *processes.RULES
)  # fmt: skip


def lint(case: Case) -> tuple[Advice, ...]:
    """What is wrong with an environment, and what is missing: warnings first.

    A variable that is warned of is not told once more as one to unset.
    """
    found = [
        Advice(
            rule=rule.name,
            kind=rule.kind,
            what=hit.what,
            why=hit.why,
            source=hit.source or rule.source,
            variable=hit.variable,
            paste=hit.paste,
        )
        for rule in RULES
        for hit in rule.check(case)
    ]
    warned = {one.variable for one in found if one.kind is Kind.WARNING and one.paste}
    return ranked(
        [one for one in found if one.kind is not Kind.UNSET or one.variable not in warned]
    )
