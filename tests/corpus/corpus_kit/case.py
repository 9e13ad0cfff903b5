"""A model of the corpus: where its file is and what goes into it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import attrs
import numpy as np

Inputs = dict[str, Any]  # arrays by name; lists, dicts and None where an input is no tensor
MakeInputs = Callable[[np.random.Generator, int], Inputs]  # a generator, how many items
HandedOver = Literal["path", "bytes", "model"]


@attrs.frozen(kw_only=True)
class Case:
    """A model, and inputs for it of any number of items.

    `axes` maps inputs to the axis along which their items know nothing of each other. Where it
    is empty there is no such axis: an answer belongs to the whole of its inputs, however long
    they are. `random` says why outputs can't be compared by value.
    """

    name: str
    kind: str
    note: str
    place: Callable[[Path], Path]  # an empty folder -> the model's file
    make_inputs: MakeInputs
    axes: Mapping[str, int] = attrs.field(factory=dict)
    random: str = ""
    handed_over: HandedOver = "path"
    origin: str = "own"  # the package that carries it

    def inputs(self, seed: int, items: int) -> Inputs:
        """The same inputs for the same numbers."""
        return self.make_inputs(np.random.default_rng(seed), items)


@attrs.frozen(kw_only=True)
class Refused:
    """A model, or a call of one, that ONNX Runtime itself refuses.

    `says` is a pattern that its reason matches; without `inputs` it is refused when it is opened.
    """

    name: str
    note: str
    place: Callable[[Path], Path]
    says: str
    inputs: Inputs | None = None
