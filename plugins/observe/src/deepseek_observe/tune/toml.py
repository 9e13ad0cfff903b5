"""Nested tables as TOML; the standard library only reads it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import date, datetime, time
from typing import Any, Final

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")


def as_toml(tables: Mapping[str, Any]) -> str:
    """Plain values first, then a table each; what is nested deeper is written inline."""
    plain = {key: value for key, value in tables.items() if not isinstance(value, Mapping)}
    parts = ["".join(f"{_key(key)} = {_value(value)}\n" for key, value in plain.items())]
    for name, content in tables.items():
        if isinstance(content, Mapping):
            rows = "".join(f"{_key(key)} = {_value(value)}\n" for key, value in content.items())
            parts.append(f"[{_key(name)}]\n{rows}")
    return "\n".join(part for part in parts if part)


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _text(name)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Mapping):
        inner = ", ".join(f"{_key(key)} = {_value(one)}" for key, one in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    return repr(value)


def _text(text: str) -> str:
    # TOML's basic strings are JSON's, but for surrogates, which no TOML file holds, and DEL.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
