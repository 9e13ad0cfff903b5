"""Environments out of files; the last assignment of a variable holds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import attrs

from deepseek_core import errors
from deepseek_observe.advise.environment.assignments import assignments

_EXPANDED: Final = re.compile(r"\$\{(\w+)(?::?[-=]([^${}]*))?\}|\$(\w+)")


@attrs.frozen(kw_only=True)
class Environment:
    """Variables by name; `twice` maps those that were given other values first to all of them.

    `$A` and `${A:-default}` are expanded as far as the file goes; what needs more keeps its `$`.
    """

    source: str
    values: Mapping[str, str]
    twice: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict)


def parse_environment(text: str, source: str) -> Environment:
    """Read assignments; comments, quotes and continued lines as a shell has them.

    Raises:
        ArtifactError: there is no assignment in it.
    """
    given: dict[str, list[str]] = {}
    seen = False
    for name, assigned in assignments(text):
        seen = True
        if assigned is None:
            given.pop(name, None)
            continue
        value = _expanded(assigned, given)
        if value not in given.setdefault(name, [])[-1:]:
            given[name].append(value)
    if not seen:
        raise errors.ArtifactError(
            f"{source} has no line NAME=VALUE", remedy="give the output of `env`, or a script"
        )
    return Environment(
        source=source,
        values={name: values[-1] for name, values in given.items()},
        twice={name: tuple(values) for name, values in given.items() if len(values) > 1},
    )


def _expanded(value: str, given: Mapping[str, list[str]]) -> str:
    def known(found: re.Match[str]) -> str:
        name = found[1] or found[3]
        if given.get(name):
            return given[name][-1]
        return found[0] if found[2] is None else found[2]

    return _EXPANDED.sub(known, value) if "$" in value else value
