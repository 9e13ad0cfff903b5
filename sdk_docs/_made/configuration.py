"""The switches of discovery, from the table that the program itself uses."""

from __future__ import annotations

import attrs

from deepseek_core.discovery.switch_table import SWITCHES
from deepseek_core.discovery.switches import Switches


def switches() -> str:
    """A row for each switch under all its names."""
    defaults = {field.name: field.default for field in attrs.fields(Switches)}
    rows = [
        f"| `{s.flag}` | `{s.variable}` | `{s.name}` | {_default(defaults[s.name])} | {s.help} |"
        for s in SWITCHES
    ]
    head = ["| flag | environment | `[plugins]` key | default | what |", "|---|---|---|---|---|"]
    return "\n".join(head + rows)


def _default(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, int | float) else "none"
