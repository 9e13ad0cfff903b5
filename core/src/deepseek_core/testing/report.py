"""What a check of a plugin found: records, and their JSON."""

from __future__ import annotations

import platform
from collections import Counter
from typing import Any, Final, Literal, get_args

import attrs

Outcome = Literal["passed", "failed", "crashed", "hung", "skipped", "not implemented"]
OUTCOMES: Final[tuple[Outcome, ...]] = get_args(Outcome)
GENERAL: Final = "plugin"
"""The group of the rules for all plugins."""

BAD: Final = frozenset({"failed", "crashed", "hung"})


@attrs.frozen(kw_only=True)
class Verdict:
    """One rule: the group and the class that it belongs to, and how it went.

    `title` says what the rule asks, `text` why it did not pass.
    """

    group: str
    subject: str
    rule: str
    title: str = ""
    outcome: Outcome
    text: str = ""
    seconds: float = 0.0

    @property
    def sentence(self) -> str:
        """The rule in words: `test_a_refusal_has_a_reason` -> `a refusal has a reason`."""
        return self.rule.removeprefix("test_").replace("_", " ")


def _verdicts(values: Any) -> tuple[Verdict, ...]:
    return tuple(values)


@attrs.frozen(kw_only=True)
class Report:
    """All verdicts on one plugin, with the versions that they hold for."""

    plugin: str
    dist: str
    version: str
    core: str
    verdicts: tuple[Verdict, ...] = attrs.field(converter=_verdicts)
    python: str = attrs.field(factory=platform.python_version)
    system: str = attrs.field(factory=lambda: f"{platform.system()} {platform.machine()}")

    @property
    def passed(self) -> bool:
        """Whether no rule failed, crashed or hung, and at least one passed."""
        counts = self.counts
        return counts["passed"] > 0 and not any(counts[outcome] for outcome in BAD)

    @property
    def counts(self) -> dict[str, int]:
        """Outcome -> number of rules."""
        found = Counter(verdict.outcome for verdict in self.verdicts)
        return {outcome: found[outcome] for outcome in OUTCOMES}

    def groups(self) -> dict[tuple[str, str], list[Verdict]]:
        """Verdicts by group and class, in the order in which they ran."""
        groups: dict[tuple[str, str], list[Verdict]] = {}
        for verdict in self.verdicts:
            groups.setdefault((verdict.group, verdict.subject), []).append(verdict)
        return groups

    def to_json(self) -> dict[str, Any]:
        """Schema 1: these keys; keys may be added, none is renamed or dropped."""
        return {
            "schema": 1,
            "plugin": self.plugin,
            "dist": self.dist,
            "version": self.version,
            "core": self.core,
            "python": self.python,
            "system": self.system,
            "passed": self.passed,
            "counts": self.counts,
            "rules": [attrs.asdict(verdict) for verdict in self.verdicts],
        }
