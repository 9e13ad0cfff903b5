"""What a run gives back: tensors by name, and what ran where."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import attrs

from deepseek_core.contracts.graph import Array


@attrs.frozen(kw_only=True, eq=False)
class Result(Mapping[str, Array]):
    """Output arrays by name; `ran_on` maps each stage to its device, `seconds` is wall time."""

    outputs: Mapping[str, Array] = attrs.field(repr=False)
    ran_on: Mapping[str, str]
    seconds: float
    batch: int
    sequence: int = 0

    def __getitem__(self, name: str) -> Array:
        return self.outputs[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.outputs)

    def __len__(self) -> int:
        return len(self.outputs)
