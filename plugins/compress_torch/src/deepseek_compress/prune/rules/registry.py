"""Where rules are looked up: by aten operator, or by function of the torch API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from deepseek_compress.prune.run import Run


@attrs.frozen(kw_only=True)
class Call:
    """One call of an operator: arguments as they came, and what it returned."""

    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    out: Any

    def get(self, position: int, name: str, default: Any = None) -> Any:
        """An argument by position or name."""
        if position < len(self.args):
            return self.args[position]
        return self.kwargs.get(name, default)


Rule = Callable[[Run, Call], None]
ATEN: dict[str, Rule] = {}
FUNCTIONS: dict[str, Rule] = {}


def aten(*names: str) -> Callable[[Rule], Rule]:
    """Register a rule for aten operators, by the name without overload."""

    def register(rule: Rule) -> Rule:
        ATEN.update(dict.fromkeys(names, rule))
        return rule

    return register


def function(*names: str) -> Callable[[Rule], Rule]:
    """Register a rule for functions of `torch` and `torch.nn.functional`, by name."""

    def register(rule: Rule) -> Rule:
        FUNCTIONS.update(dict.fromkeys(names, rule))
        return rule

    return register
