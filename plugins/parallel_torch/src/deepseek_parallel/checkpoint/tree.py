"""A state as tensors by name and the values around them.

A state is nested dictionaries, lists and tuples. `{"state": {0: {"exp_avg": T, "step": 3}}}` has
the tensor `state.0.exp_avg`; its *skeleton* is the same with `{"__tensor__": "state.0.exp_avg"}`
in the tensor's place. Skeletons hold nothing that needs code to be read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import torch

from deepseek_core import errors

TENSOR: Final = "__tensor__"
_PLAIN: Final = (bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device)
_KEYS: Final = (bool, int, float, str)


def flatten(state: Any, path: str = "") -> tuple[dict[str, torch.Tensor], Any]:
    """The tensors of a state by name, and its skeleton.

    Raises:
        InputError: something in it is not a tensor, number, text or container of them.
    """
    tensors: dict[str, torch.Tensor] = {}
    return tensors, _skeleton(state, path, tensors)


def reference(skeleton: Any) -> str | None:
    """The name of the tensor that stands here; None where none does."""
    is_one = isinstance(skeleton, dict) and set(skeleton) == {TENSOR}
    return skeleton[TENSOR] if is_one else None


def merged(one: Any, other: Any) -> Any:
    """What two ranks have together; where both have a value, that of the first."""
    if isinstance(one, dict) and isinstance(other, dict) and reference(one) is None:
        both = {key: merged(one[key], other[key]) for key in one if key in other}
        return {**other, **one, **both}
    return one


def joined(path: str, key: Any) -> str:
    """The name of what lies at a key below a path."""
    return f"{path}.{key}" if path else str(key)


def _skeleton(value: Any, path: str, tensors: dict[str, torch.Tensor]) -> Any:
    if isinstance(value, torch.Tensor):
        if path in tensors:
            raise errors.InputError(f"two tensors of the state would be named {path!r}")
        if value.is_meta or value.layout != torch.strided or value.is_quantized:
            what = "on no device (meta)" if value.is_meta else f"{value.layout}, {value.dtype}"
            raise _refused(path, f"is a tensor that is {what}")
        tensors[path] = value
        return {TENSOR: path}
    if isinstance(value, Mapping):
        bad = next((key for key in value if type(key) not in _KEYS), None)
        if bad is not None:
            raise _refused(path, f"has a key of type {type(bad).__name__}")
        return {key: _skeleton(one, joined(path, key), tensors) for key, one in value.items()}
    if isinstance(value, list | tuple):
        made = [_skeleton(one, joined(path, n), tensors) for n, one in enumerate(value)]
        return tuple(made) if isinstance(value, tuple) else made
    if isinstance(value, np.generic):
        value = value.item()
    if type(value) not in _PLAIN:
        raise _refused(path, f"is of type {type(value).__name__}")
    return value


def _refused(path: str, what: str) -> errors.InputError:
    return errors.InputError(
        f"{path or 'the state'} {what}, which can't be saved without code to read it",
        remedy="save tensors, numbers, text, and dictionaries or lists of them",
    )
