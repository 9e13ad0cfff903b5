"""Which fragment goes to which failure domain: pure, equal input gives equal output.

Two fragments of a stripe never share a domain while there are domains enough. Where there are
too few, every domain gets as many as the others, and the fragments of a local group, which
would fall together, lie apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import attrs

from deepseek_core import errors
from deepseek_store.codes import Code


@attrs.frozen(kw_only=True)
class Place:
    """A failure domain: a part of the tier of that number; no name means the whole tier."""

    tier: int
    domain: str = ""


def place(
    code: Code,
    domains: Sequence[Place],
    loads: Mapping[Place, int] | None = None,
    *,
    turn: int = 0,
) -> tuple[Place, ...]:
    """A domain for every fragment of a stripe.

    `loads` are what lies in each already, in any unit: the emptiest are taken first. Among
    equals `turn`, such as the stripe's number, decides, so that no domain gets parities only.

    Raises:
        InputError: no domain, or one that is named twice.
    """
    if not domains or len(set(domains)) != len(domains):
        raise errors.InputError(
            f"{len(domains)} failure domains, {len(set(domains))} different ones",
            remedy="name each domain once",
        )
    turn %= len(domains)
    loads = loads or {}
    turned = [*domains[turn:], *domains[:turn]]
    emptiest = sorted(turned, key=lambda domain: loads.get(domain, 0))[: code.n]
    placed = {
        index: emptiest[number % len(emptiest)] for number, index in enumerate(_by_group(code))
    }
    return tuple(placed[index] for index in range(code.n))


def replacements(
    code: Code, index: int, taken: Mapping[int, Place], candidates: Sequence[Place]
) -> list[Place]:
    """Domains for one fragment when the others lie at `taken`, the best first.

    Best is a domain without a fragment of the stripe, then one with few of them, then one
    with few of its local group.
    """
    group = set(code.members(index))
    crowd = Counter(taken[other] for other in taken if other != index)
    kin = Counter(taken[other] for other in taken if other != index and other in group)
    order = {domain: number for number, domain in enumerate(candidates)}
    return sorted(order, key=lambda domain: (crowd[domain], kin[domain], order[domain]))


def _by_group(code: Code) -> list[int]:
    """All fragments, those of a local group side by side, those without a group last."""
    groups = {code.members(index): None for index in range(code.n) if code.members(index)}
    grouped = [index for members in groups for index in sorted(members)]
    return grouped + sorted(set(range(code.n)) - set(grouped))
