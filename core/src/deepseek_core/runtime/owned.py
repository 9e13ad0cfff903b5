"""Arrays of one side only: a device writes into no input, and keeps no output.

What a device holds on to is seen by the number of references, where a copy costs less than a wrong
answer: one that fills the same buffer in each run would change answers that callers have already.
Memory that a device keeps outside of Python is not seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from sys import getrefcount
from typing import Any, Final

import numpy as np

_ndarray: Final = np.ndarray


def locked(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The same inputs, as views that can't be written to."""
    return {name: _locked(value) for name, value in inputs.items()}


def _locked(value: Any) -> Any:
    if type(value) is not _ndarray or not value.flags.writeable:
        return value
    view = value.view()
    view.flags.writeable = False
    return view


def owned(outputs: Mapping[str, Any], names: Sequence[str]) -> Mapping[str, Any]:
    """These outputs; of those that somebody else holds, too, a copy.

    The caller has one name for them, and none for what is in them.
    """
    if type(outputs) is not dict or getrefcount(outputs) > _ALONE:
        return {name: _copy(outputs[name]) for name in names}
    for name in names:
        value = outputs[name]
        if type(value) is _ndarray:
            base = value.base
            if getrefcount(value) > _ALONE or (
                base is not None and (getrefcount(base) > _ALONE or type(base) in _NESTED)
            ):
                value = base = None  # they count as holders
                return _copied(outputs, names)
    return outputs


def _copied(outputs: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """What is held by others is copied; a copy too many does no harm."""
    made = {}
    for name in names:
        value = outputs[name]
        is_held = type(value) is _ndarray and (getrefcount(value) > _ALONE or _lies_in_held(value))
        made[name] = _copy(value) if is_held else value
    return made


def _copy(value: Any) -> Any:
    return value.copy() if type(value) is _ndarray else value


def _lies_in_held(value: Any) -> bool:
    """Whether anybody but the array itself holds what its numbers lie in."""
    holder = value
    while True:
        base = holder.obj if type(holder) is memoryview else getattr(holder, "base", None)
        if base is None:
            return False
        if getrefcount(base) > _ALONE:
            return True
        holder = base


def _references_of_what_is_held_once() -> int:
    """What `getrefcount` says of a local variable that one other thing holds."""
    holder = [object()]
    value = holder[0]
    return getrefcount(value)


_ALONE: Final = _references_of_what_is_held_once()
_NESTED: Final = (_ndarray, memoryview)  # what may lie in something else again
