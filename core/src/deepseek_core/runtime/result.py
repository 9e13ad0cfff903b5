"""What a run returns: tensors by name, and what ran where."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import attrs

from deepseek_core.contracts.graph import Graph
from deepseek_core.contracts.stage import Array
from deepseek_core.runtime.residents import on_host


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


def pick(graph: Graph, tensors: Mapping[str, Array]) -> dict[str, Array]:
    """What a run returns of all its tensors: never the caller's own array."""
    found = {name: on_host(tensors[name]) for name in graph.outputs}
    for name in graph.handed_through:
        found[name] = found[name].copy()
    return found
