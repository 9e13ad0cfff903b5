"""What a stage promises of its outputs, as a check of what a device gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from deepseek_core.contracts.stage import Stage
from deepseek_core.contracts.tensor import TensorSpec, axes_alike

_NUMBERS: Final = frozenset(
    {"float16", "bfloat16", "float32", "float64", "complex64", "complex128"}
)

Check = Callable[[Mapping[str, Any], Mapping[str, Any]], bool]
"""Whether the outputs of a run fit its inputs."""


def checks_of(stage: Stage) -> tuple[Check, ...]:
    """What is to be looked at after each run, besides names and dtypes; mostly nothing or little.

    A check raises `AttributeError` or `LookupError` where outputs are no arrays of that rank.
    """
    found: list[Check] = []
    if stage.items_hold and stage.divisible:
        found.append(_items(stage))
    if stage.shapes_hold:
        found.append(_shapes(stage))
    return tuple(found)


def is_finite(stage: Stage, inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> bool:
    """Whether no output holds NaN or infinity, or an input does: that is the caller's own."""
    return _all_finite(stage.outputs, outputs) or not _all_finite(stage.inputs, inputs)


def _all_finite(specs: Sequence[TensorSpec], values: Mapping[str, Any]) -> bool:
    import numpy as np

    return all(
        bool(np.isfinite(values[spec.name]).all())
        for spec in specs
        if spec.name in values and not spec.container and spec.dtype in _NUMBERS
    )


def _items(stage: Stage) -> Check:
    given = [spec for spec in stage.inputs if not spec.optional]
    optional = [spec.name for spec in stage.inputs if spec.optional]
    name, axis = given[0].name, given[0].batch_axis or 0
    made = [(spec.name, spec.batch_axis or 0) for spec in stage.outputs]
    alike = [*axes_alike(given), tuple((spec.name, spec.batch_axis or 0) for spec in given)]

    def fit(inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> bool:
        items = _size(inputs[name], axis)
        for output, at in made:
            if outputs[output].shape[at] != items:
                return items is None or is_one_call(inputs)
        return True

    def is_one_call(inputs: Mapping[str, Any]) -> bool:
        """Whether `Graph.items` counts one call; checked only if something is odd."""
        return (
            any(n in inputs for n in optional)
            or any(len({_size(inputs[n], a) for n, a in places}) > 1 for places in alike)
            or any(0 in _shape_of(inputs[spec.name]) for spec in given)
        )

    return fit


def _shapes(stage: Stage) -> Check:
    def fit(inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> bool:
        sizes: dict[str, set[int | None]] = {}
        for spec in stage.inputs:
            for axis, dim in enumerate(spec.shape or ()):
                if isinstance(dim, str) and spec.name in inputs:
                    sizes.setdefault(dim, set()).add(_size(inputs[spec.name], axis))
        return all(_fits(spec, outputs[spec.name].shape, sizes) for spec in arrays)

    arrays = [spec for spec in stage.outputs if not spec.container and spec.shape is not None]
    return fit


def _fits(spec: TensorSpec, shape: tuple[int, ...], sizes: dict[str, set[int | None]]) -> bool:
    if not spec.has_shape(shape):
        return False
    for dim, size in zip(spec.shape or (), shape, strict=True):
        if isinstance(dim, str):
            known = sizes.setdefault(dim, {size})
            # A symbol that stands for several sizes in the inputs says nothing of an output.
            if size not in known and len(known) == 1 and None not in known:
                return False
    return True


def _size(value: Any, axis: int) -> int | None:
    """The size of an axis of what a caller gave; None of what is not an array to us."""
    shape = _shape_of(value)
    return shape[axis] if axis < len(shape) else None


def _shape_of(value: Any) -> tuple[int, ...]:
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple):
        return shape
    import numpy as np

    return np.shape(value)  # of lists, which a device may take as they are
