"""Nested tables as TOML, as recipes are written; the standard library only reads it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime, time
from typing import Any, Final

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")


def as_toml(tables: Mapping[str, Any]) -> str:
    """Tables as text that `tomllib` reads back; None is left out.

    Plain values come first. A table, or a list of tables, has a section with its name; what is
    nested deeper is written inline, as in `kwargs = { part = "train" }`.
    """
    plain = {key: value for key, value in tables.items() if not _has_section(value)}
    parts = ["".join(_lines(plain))]
    for name, value in tables.items():
        if isinstance(value, Mapping):
            parts.append("".join([f"[{_key(name)}]\n", *_lines(value)]))
        elif _has_section(value):
            parts += ["".join([f"[[{_key(name)}]]\n", *_lines(table)]) for table in value]
    return "\n".join(part for part in parts if part)


def _has_section(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return bool(value) and all(isinstance(one, Mapping) for one in value)
    return isinstance(value, Mapping)


def _lines(table: Mapping[str, Any]) -> Iterator[str]:
    for key, value in table.items():
        if value is not None:
            yield f"{_key(key)} = {_value(value)}\n"


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _text(name)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        inner = [f"{_key(key)} = {_value(one)}" for key, one in value.items() if one is not None]
        return f"{{ {', '.join(inner)} }}" if inner else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, int | float):
        return repr(value)
    return _text(str(value))


def _text(text: str) -> str:
    # TOML's basic strings are JSON's, but for surrogates, which no TOML file holds, and DEL.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
