"""The events: a table of all, and each with its fields."""

from __future__ import annotations

import inspect

import contracts

from deepseek_core import events


def page() -> str:
    """What there is at a glance, then one section each."""
    rows = [f"| [`{v.__name__}`](#{_anchor(v)}) | {_first(v)} |" for v in types() if _is_event(v)]
    table = "\n".join(["| event | tells |", "|---|---|", *rows])
    return "\n\n".join([table, *map(contracts.section, types())])


def types() -> list[type]:
    """`Event`, all that are one, and what goes with them, engine by engine."""
    return [getattr(events, name) for name in events.__dir__()]


def _is_event(item: type) -> bool:
    return issubclass(item, events.Event)


def _anchor(item: type) -> str:
    return f"{item.__module__}.{item.__name__}"


def _first(item: type) -> str:
    return " ".join((inspect.getdoc(item) or "").split("\n\n")[0].split())
