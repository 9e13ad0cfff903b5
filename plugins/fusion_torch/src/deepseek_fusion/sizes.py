"""Checks of sizes in configurations."""

from __future__ import annotations

import itertools
from typing import Any

import attrs

from deepseek_core import errors


def _is_count(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _place(instance: object, field: attrs.Attribute[Any]) -> str:
    return f"{type(instance).__name__}.{field.name}"


def count(instance: object, field: attrs.Attribute[Any], value: object) -> None:
    """Validate a whole number from 1 on.

    Raises:
        ConfigError: it is none; says whose.
    """
    if not _is_count(value, 1):
        raise errors.ConfigError(
            f"{_place(instance, field)} must be a whole number from 1 on, got {value!r}"
        )


def count_or_none(instance: object, field: attrs.Attribute[Any], value: object) -> None:
    """Validate a whole number from 0 on, where 0 stands for none.

    Raises:
        ConfigError: it is none; says whose.
    """
    if not _is_count(value, 0):
        raise errors.ConfigError(
            f"{_place(instance, field)} must be a whole number from 0 on, got {value!r}"
        )


def rising(instance: object, field: attrs.Attribute[Any], value: object) -> None:
    """Validate whole numbers from 1 on, each more than the one before; none are as good.

    Raises:
        ConfigError: they are not; says whose.
    """
    if value == ():
        return
    counts(instance, field, value)
    if not isinstance(value, tuple) or any(a >= b for a, b in itertools.pairwise(value)):
        raise errors.ConfigError(f"{_place(instance, field)} must rise, got {value!r}")


def counts(instance: object, field: attrs.Attribute[Any], value: object) -> None:
    """Validate one or more whole numbers from 1 on.

    Raises:
        ConfigError: there are none, or one is none; says whose.
    """
    if not isinstance(value, tuple) or not value or not all(_is_count(one, 1) for one in value):
        raise errors.ConfigError(
            f"{_place(instance, field)} must be whole numbers from 1 on, got {value!r}"
        )


def entries(values: Any) -> Any:
    """Give a list as a tuple, so that a configuration can't be changed; all else as it is."""
    return tuple(values) if isinstance(values, list | tuple) else values


def share(instance: object, field: attrs.Attribute[Any], value: object) -> None:
    """Validate a share of what is dropped, from 0 to below 1.

    Raises:
        ConfigError: it is none; says whose.
    """
    if not isinstance(value, int | float) or not 0 <= value < 1:
        raise errors.ConfigError(
            f"{_place(instance, field)} must be from 0 to below 1, got {value!r}"
        )
