"""A model in ONNX Runtime alone: what the SDK's answers are held against."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime as ort

from corpus_kit import ort_values
from corpus_kit.case import Case, Inputs
from corpus_kit.compare import first_difference

_TRIED: Final = (2, 8, 16)  # items that might go together in a server
_FATAL: Final = 4  # the log level: warnings about a file are no part of a test


def open_session(path: Path) -> ort.InferenceSession:
    """A session of one thread, else with default options."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = _FATAL
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


class Reference:
    """A session, and what it says of inputs, of pieces of them, and of items put together."""

    def __init__(self, case: Case, path: Path) -> None:
        self._case = case
        self._session = open_session(path)
        self._odd = ort_values.needed_by(self._session)

    def run(self, inputs: Inputs) -> dict[str, Any]:
        """Outputs by name."""
        names = [value.name for value in self._session.get_outputs()]
        values = (
            ort_values.run(self._session, inputs) if self._odd else self._session.run(names, inputs)
        )
        return dict(zip(names, values, strict=True))

    def run_in_pieces(self, inputs: Inputs, sizes: Sequence[int]) -> dict[str, Any]:
        """Outputs of pieces of so many items each, joined where an output has the items."""
        stops = np.cumsum(sizes)
        bounds = zip(stops - sizes, stops, strict=True)
        parts = [self.run(self._piece(inputs, int(a), int(b))) for a, b in bounds]
        return {name: self._joined(name, [part[name] for part in parts]) for name in parts[0]}

    @cached_property
    def depends_on_items(self) -> bool:
        """Whether an item's bits depend on how many others go with it."""
        return any(self._differs(items) for items in _TRIED)

    def _differs(self, items: int) -> bool:
        inputs = self._case.inputs(0, items)
        alone = self.run_in_pieces(inputs, [1] * items)
        return first_difference(self.run(inputs), alone) is not None

    def _piece(self, inputs: Inputs, start: int, stop: int) -> Inputs:
        axes = self._case.axes
        cuts = {name: (slice(None),) * axis + (slice(start, stop),) for name, axis in axes.items()}
        return {name: v[cuts[name]] if name in cuts else v for name, v in inputs.items()}

    def _joined(self, name: str, parts: list[Any]) -> Any:
        axis = self._output_axes.get(name)
        if axis is None:
            return parts[0]
        if isinstance(parts[0], list):
            return [item for part in parts for item in part]
        return np.concatenate(parts, axis)

    @cached_property
    def _output_axes(self) -> dict[str, int]:
        """Where each output has its items: what is longer for three items than for two."""
        two, three = (self.run(self._case.inputs(0, items)) for items in (2, 3))
        axes = {name: _axis_that_differs(two[name], three[name]) for name in two}
        return {name: axis for name, axis in axes.items() if axis is not None}


def _axis_that_differs(first: Any, other: Any) -> int | None:
    if isinstance(first, list):
        return 0
    sizes = zip(first.shape, other.shape, strict=True)
    return next((axis for axis, (a, b) in enumerate(sizes) if a != b), None)
