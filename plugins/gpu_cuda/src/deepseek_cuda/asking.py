"""Whether any device present runs a model that is one stage, and if not, what each says."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from deepseek_core import Operation, Support, errors

Supporters = Callable[[Operation], dict[str, Support]]
"""Asks the devices present about one operation: device id -> support."""


def ask(supporters: Supporters, operations: Iterable[Operation], what: str) -> None:
    """Return if a device takes every operation.

    Raises:
        NoDevice: none does; with the first reason of each.
    """
    refusals: dict[str, str] = {}
    able: set[str] | None = None
    for operation in operations:
        answers = supporters(operation)
        for device_id, support in answers.items():
            if not support:
                refusals.setdefault(device_id, f"{operation.qualified_name}: {support.reason}")
        takes = {device_id for device_id, support in answers.items() if support}
        able = takes if able is None else able & takes
        if not able:
            told = "; ".join(f"{device}: {reason}" for device, reason in refusals.items())
            raise errors.NoDevice(
                f"no device runs {what}" + (f": {told}" if told else ""),
                refusals=refusals,
                remedy="ds-sdk doctor (it says what a GPU here lacks)",
            )
