"""Outputs of a model as it nests them: their tensors, and others in the same nest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any


def leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Each tensor or array of an output, in order, with the name or place that it has there."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from leaves(part, _joined(name, key))
    elif isinstance(value, list | tuple):
        keys = getattr(value, "_fields", range(len(value)))
        for key, part in zip(keys, value, strict=True):
            yield from leaves(part, _joined(name, key))
    elif value is not None:
        yield name, value


def _joined(name: str, key: object) -> str:
    return f"{name}_{key}" if name else str(key)


def nested(like: Any, values: Iterable[Any]) -> Any:
    """The values in a nest as `like` has it, its own mappings and tuples as plain ones."""
    return _filled(like, iter(values))


def _filled(like: Any, values: Iterator[Any]) -> Any:
    if isinstance(like, Mapping):
        return {key: _filled(part, values) for key, part in like.items()}
    if isinstance(like, list | tuple):
        return tuple(_filled(part, values) for part in like)
    return None if like is None else next(values)
