"""State of a stream as named tensors: what each is called, its shape, what it begins as.

Nothing here needs torch: a stream of an exported model runs with ONNX Runtime alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Final

import attrs
import numpy as np

from deepseek_core import errors

BATCH: Final = "batch"
"""The symbol of a state's first axis: one entry a stream."""
DTYPES: Final = ("float32", "int64", "bool")
"""What a state may be made of."""
LARGEST: Final = 2**28
"""Numbers in one tensor of one stream's state: more is taken for damage."""


def _sizes(values: Iterable[int]) -> tuple[int, ...]:
    return tuple(values)


@attrs.frozen(kw_only=True)
class StateSpec:
    """One tensor that a stream carries from chunk to chunk.

    `name` begins with the encoder's family, so that the state of another model is refused by
    name. `shape` is that of one stream; the tensor has a batch axis before it. Every entry
    begins as `init`.
    """

    name: str = attrs.field()
    shape: tuple[int, ...] = attrs.field(converter=_sizes)
    dtype: str = attrs.field(default="float32")
    init: float = attrs.field(default=0.0)

    @name.validator
    def _is_named(self, _field: attrs.Attribute[str], value: object) -> None:
        if not isinstance(value, str) or not value.isidentifier():
            raise errors.ConfigError(f"a state's name must be an identifier, got {value!r}")

    @shape.validator
    def _has_sizes(self, _field: attrs.Attribute[Any], value: tuple[object, ...]) -> None:
        if not all(isinstance(size, int) and size >= 0 for size in value):
            raise errors.ConfigError(
                f"state {self.name!r}: sizes must be whole numbers from 0 on, got {value}"
            )
        if math.prod(self.shape) > LARGEST:
            raise errors.ConfigError(
                f"state {self.name!r} of {value} would have more than {LARGEST:,} numbers"
            )

    @dtype.validator
    def _is_known(self, _field: attrs.Attribute[str], value: object) -> None:
        if value not in DTYPES:
            raise errors.ConfigError(
                f"state {self.name!r}: dtype must be one of {', '.join(DTYPES)}, got {value!r}"
            )

    @init.validator
    def _is_finite(self, _field: attrs.Attribute[float], value: object) -> None:
        if not isinstance(value, int | float) or not math.isfinite(value):
            raise errors.ConfigError(f"state {self.name!r}: init must be finite, got {value!r}")

    def full_shape(self, batch: int) -> tuple[int, ...]:
        """Shape for so many streams side by side."""
        return (batch, *self.shape)

    def begin(self, batch: int) -> np.ndarray[Any, Any]:
        """Make the array that streams begin with."""
        return np.full(self.full_shape(batch), self.init, dtype=self.dtype)

    def as_json(self) -> dict[str, Any]:
        """Describe it as `{name, shape, dtype, init}`, the batch axis by its symbol."""
        return {
            "name": self.name,
            "shape": [BATCH, *self.shape],
            "dtype": self.dtype,
            "init": self.init,
        }


def check_names(specs: Iterable[StateSpec], given: Iterable[str]) -> None:
    """Check that a state has the tensors of this encoder, no fewer and no others.

    Raises:
        InputError: names are missing or of another model; says which.
    """
    wanted, names = {spec.name for spec in specs}, set(given)
    if wanted == names:
        return
    missing, foreign = sorted(wanted - names), sorted(names - wanted)
    parts = [f"{word} {', '.join(some)}" for word, some in
             (("lacks", missing), ("has foreign", foreign)) if some]  # fmt: skip
    raise errors.InputError(
        f"the state is not of this encoder: it {' and '.join(parts)}",
        remedy="pass the state that this same encoder returned, or None to begin",
    )


def check_shape(spec: StateSpec, shape: Iterable[int], batch: int) -> None:
    """Check the shape of one tensor of a state.

    Raises:
        TensorMismatch: it is of another batch size or of another configuration.
    """
    have, want = tuple(shape), spec.full_shape(batch)
    if have == want:
        return
    if have[1:] == want[1:] and len(have) == len(want):
        raise errors.TensorMismatch(
            f"state {spec.name!r} has a batch of {have[0]}, the input one of {batch}",
            remedy="keep one state for each set of streams, or select its rows",
        )
    raise errors.TensorMismatch(
        f"state {spec.name!r}: expected {list(want)}, given {list(have)}",
        remedy="pass the state that this same encoder returned, or None to begin",
    )


def specs_by_name(specs: Iterable[StateSpec]) -> Mapping[str, StateSpec]:
    """Map names to specs, in order.

    Raises:
        ConfigError: two states have one name.
    """
    found: dict[str, StateSpec] = {}
    for spec in specs:
        if spec.name in found:
            raise errors.ConfigError(f"two states are called {spec.name!r}")
        found[spec.name] = spec
    return found
