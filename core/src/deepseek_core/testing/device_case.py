"""A stage with inputs and right answers, as device rules use it."""

from __future__ import annotations

from collections.abc import Mapping

import attrs
import numpy as np

from deepseek_core.contracts.graph import Array, Stage
from deepseek_core.contracts.tensor import BATCH


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

    def emptied(self) -> DeviceCase | None:
        """The same with a batch of no items; None where inputs or outputs have no batch."""
        specs = {spec.name: spec for spec in (*self.stage.inputs, *self.stage.outputs)}
        arrays = {**self.inputs, **self.expected}
        if not all(BATCH in specs[name].shape for name in arrays):
            return None
        empty = {
            name: array.take([], axis=specs[name].shape.index(BATCH))
            for name, array in arrays.items()
        }
        return attrs.evolve(
            self,
            inputs={name: empty[name] for name in self.inputs},
            expected={name: empty[name] for name in self.expected},
        )
