"""Constant: a tensor that the file holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from deepseek_onnx.batching.calls import Call, Rule
from deepseek_onnx.batching.contents import as_content
from deepseek_onnx.batching.faults import Contradiction
from deepseek_onnx.batching.states import LARGEST_CONTENT, Fixed, Tensor

_NUMBERS: Final = {"value_int": "i", "value_float": "f"}
_LISTS: Final = {"value_ints": "ints", "value_floats": "floats"}


def constant(call: Call) -> Tensor:
    """The value, in whichever attribute it is."""
    for name in (given.name for given in call.node.attribute):
        attribute = call.attribute(name)
        if attribute is None:
            continue
        if name == "value":
            return Fixed(tuple(attribute.t.dims), None, attribute.t)
        if name == "sparse_value":
            return Fixed(tuple(attribute.sparse_tensor.dims))
        if name == "value_string":
            return Fixed(())
        if name == "value_strings":
            return Fixed((len(attribute.strings),))
        if name in _NUMBERS:
            return _known(np.asarray(getattr(attribute, _NUMBERS[name])))
        if name in _LISTS:
            return _known(np.asarray(getattr(attribute, _LISTS[name])))
    raise Contradiction("lacks its value")


def _known(array: NDArray[Any]) -> Fixed:
    known = as_content(array) if array.size <= LARGEST_CONTENT else None
    return Fixed(array.shape, known)


RULES: Final[Mapping[str, Rule]] = {"Constant": constant}
