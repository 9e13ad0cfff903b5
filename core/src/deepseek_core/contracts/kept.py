"""Records as plain values, and the strict way back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import isfinite
from typing import Any

import attrs

from deepseek_core.contracts.errors import ArtifactError, DeepSeekError


def plain(record: Any) -> dict[str, Any]:
    """The fields of a record as JSON has them: numbers that it lacks are null."""
    fields: dict[str, Any] = attrs.asdict(record, value_serializer=_as_json)
    return fields


def table_of(kept: object, kind: type[Any]) -> dict[str, Any]:
    """A mapping with exactly the fields of the class.

    Raises:
        ArtifactError: it is none, lacks a field, or has one too many.
    """
    names = {field.name for field in attrs.fields(kind)}
    if not isinstance(kept, Mapping):
        raise ArtifactError(f"a {kind.__name__} is a table, got a {type(kept).__name__}")
    if set(kept) != names:
        wrong = sorted(map(str, names ^ set(kept)))
        raise ArtifactError(f"a {kind.__name__} lacks or does not have: {', '.join(wrong)}")
    return dict(kept)


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Make one error of whatever a malformed file does to the block.

    Raises:
        ArtifactError: it can't be read; says why.
    """
    try:
        yield
    except (DeepSeekError, KeyError, TypeError, ValueError, AttributeError) as error:
        why = error.message if isinstance(error, DeepSeekError) else error
        raise ArtifactError(f"{what} can't be read: {why}", remedy="make it again") from error


def _as_json(_record: Any, _field: Any, value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return None if isinstance(value, float) and not isfinite(value) else value
