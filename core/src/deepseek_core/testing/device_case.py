"""A stage with inputs and right answers, as device rules use it."""

from __future__ import annotations

from collections.abc import Mapping

import attrs
import numpy as np

from deepseek_core.contracts.stage import Array, Stage
from deepseek_core.contracts.tensor import TensorSpec


@attrs.frozen(kw_only=True, eq=False)
class DeviceCase:
    """A stage with inputs and the outputs that are right for them.

    `rtol` and `atol` bound the difference; zero for both asks for equal bits.
    """

    stage: Stage
    inputs: Mapping[str, Array]
    expected: Mapping[str, Array]
    rtol: float = 0.0
    atol: float = 0.0

    def check(self, outputs: Mapping[str, Array]) -> None:
        """Compare outputs by name, dtype, shape and value."""
        for name, right in self.expected.items():
            assert name in outputs, f"output {name!r} is missing"
            assert outputs[name].dtype == right.dtype, name
            assert outputs[name].shape == right.shape, name
            np.testing.assert_allclose(outputs[name], right, rtol=self.rtol, atol=self.atol)

    def items(self) -> list[DeviceCase]:
        """The same for each item alone; none where inputs or outputs have no batch axis."""
        specs = {spec.name: spec for spec in (*self.stage.inputs, *self.stage.outputs)}
        arrays = {**self.inputs, **self.expected}
        if any(specs[name].batch_axis is None for name in arrays):
            return []
        first = next(iter(self.inputs))
        count = self.inputs[first].shape[specs[first].batch_axis or 0]
        return [self._taken(specs, [number]) for number in range(count)]

    def _taken(self, specs: Mapping[str, TensorSpec], numbers: list[int]) -> DeviceCase:
        def of(arrays: Mapping[str, Array]) -> dict[str, Array]:
            return {n: a.take(numbers, axis=specs[n].batch_axis) for n, a in arrays.items()}

        return attrs.evolve(self, inputs=of(self.inputs), expected=of(self.expected))

    def emptied(self) -> DeviceCase | None:
        """The same with a batch of no items; None where inputs or outputs have no batch."""
        specs = {spec.name: spec for spec in (*self.stage.inputs, *self.stage.outputs)}
        if any(specs[name].batch_axis is None for name in (*self.inputs, *self.expected)):
            return None
        return self._taken(specs, [])
