"""One piece of advice: what, why, from where."""

from __future__ import annotations

from enum import Enum

import attrs


class Kind(Enum):
    """What an advice asks for, in the order in which they are told."""

    WARNING = "warning"
    UNSET = "unset"
    SET = "set"
    PAIRING = "pairing"
    FACT = "fact"


@attrs.frozen(kw_only=True)
class Advice:
    """`what` in a sentence, `why`, its `source`, and lines to `paste` where there are some.

    `rule` names the rule that spoke; `variable` the setting that it is about.
    """

    rule: str
    kind: Kind
    what: str
    why: str
    source: str
    variable: str | None = None
    paste: tuple[str, ...] = ()


_ORDER = {kind: place for place, kind in enumerate(Kind)}


def ranked(advice: list[Advice]) -> tuple[Advice, ...]:
    """Warnings, then what to unset, to set, pairings and facts; else in their order."""
    return tuple(sorted(advice, key=lambda one: _ORDER[one.kind]))
