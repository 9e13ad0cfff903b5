"""The ways to join by name, as an option gives them."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Final

from deepseek_core import errors
from deepseek_fusion.join.attention import AttentionJoin
from deepseek_fusion.join.concatenation import Concatenation
from deepseek_fusion.join.contract import Join
from deepseek_fusion.join.gate import GatedJoin, GateOverLate
from deepseek_fusion.join.late import LateFusion
from deepseek_fusion.join.shape import JoinShape

JOINS: Final[dict[str, type[Join]]] = {
    "gate": GatedJoin,
    "gate_over_late": GateOverLate,
    "attention": AttentionJoin,
    "concatenation": Concatenation,
    "late": LateFusion,
}


def make_join(name: str, shape: JoinShape) -> Join:
    """Make the join of a name.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in JOINS:
        close = get_close_matches(name, JOINS, n=1)
        told = f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(JOINS)}"
        raise errors.ConfigError(f"there is no join {name!r}", remedy=told)
    kind = JOINS[name]
    return kind(shape)
