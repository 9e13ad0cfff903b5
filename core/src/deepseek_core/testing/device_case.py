"""A stage with inputs and right answers, as device rules use it."""

from __future__ import annotations

from collections.abc import Mapping

import attrs
import numpy as np

from deepseek_core.contracts.artifact import Artifact
from deepseek_core.contracts.stage import Array, Operation, Stage
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

    @classmethod
    def of_operator(
        cls,
        name: str,
        inputs: Mapping[str, Array],
        expected: Mapping[str, Array],
        *,
        version: int = 18,
        rtol: float = 0.0,
        atol: float = 0.0,
    ) -> DeviceCase:
        """Make a case of one operator: inputs in its order, items along axis 0 of every tensor.

        `name` is the operator's qualified name (`Relu`, `com.acme::Foo`), `version` its opset.
        """
        domain, _, short = name.rpartition("::")
        given, made = map(_batched, (inputs, expected))
        operation = Operation(
            name=short, domain=domain, version=version, inputs=given, outputs=made
        )
        stage = Stage(
            name=short.lower(),
            kind=short.lower(),
            operations=[operation],
            inputs=given,
            outputs=made,
            artifact=Artifact.from_bytes(b"", format="none"),
        )
        return cls(stage=stage, inputs=inputs, expected=expected, rtol=rtol, atol=atol)

    def check(self, outputs: Mapping[str, Array]) -> None:
        """Compare outputs by name, dtype, shape and value."""
        for name, right in self.expected.items():
            assert name in outputs, f"output {name!r} is missing"
            assert outputs[name].dtype == right.dtype, name
            assert outputs[name].shape == right.shape, name
            np.testing.assert_allclose(outputs[name], right, rtol=self.rtol, atol=self.atol)

    @property
    def count(self) -> int | None:
        """Items of the batch; None where inputs or outputs have no batch axis."""
        specs = self._specs()
        if any(specs[name].batch_axis is None for name in (*self.inputs, *self.expected)):
            return None
        first = next(iter(self.inputs))
        return int(self.inputs[first].shape[specs[first].batch_axis or 0])

    @property
    def any_batch(self) -> bool:
        """Whether the stage leaves the number of items open."""
        for name in (*self.inputs, *self.expected):
            spec = self._specs()[name]
            if spec.batch_axis is None:
                return False
            if spec.shape is not None and isinstance(spec.shape[spec.batch_axis], int):
                return False
        return True

    def items(self) -> list[DeviceCase]:
        """The same for each item alone; none where inputs or outputs have no batch axis."""
        return [self._taken([number]) for number in range(self.count or 0)]

    def repeated(self, count: int) -> DeviceCase:
        """The same with so many items: its own, one after the other, again and again."""
        own = self.count
        assert own, "no item to repeat"
        return self._taken([(count + number) % own for number in range(count)])

    def emptied(self) -> DeviceCase | None:
        """The same with a batch of no items; None where inputs or outputs have no batch."""
        return None if self.count is None else self._taken([])

    def _specs(self) -> dict[str, TensorSpec]:
        return {spec.name: spec for spec in (*self.stage.inputs, *self.stage.outputs)}

    def _taken(self, numbers: list[int]) -> DeviceCase:
        specs = self._specs()

        def of(arrays: Mapping[str, Array]) -> dict[str, Array]:
            return {n: a.take(numbers, axis=specs[n].batch_axis) for n, a in arrays.items()}

        return attrs.evolve(self, inputs=of(self.inputs), expected=of(self.expected))


def _batched(arrays: Mapping[str, Array]) -> list[TensorSpec]:
    return [
        TensorSpec(name=name, dtype=str(array.dtype), shape=("N", *array.shape[1:]), batch_axis=0)
        for name, array in arrays.items()
    ]
