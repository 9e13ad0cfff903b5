"""Devices, tasks and edges of a task graph: plain records."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

import attrs

Id = str | int | float
"""What a user calls a task or a device; it comes back as it was given."""

_NOTHING: Final[Mapping[str, float]] = MappingProxyType({})


@attrs.frozen(kw_only=True)
class DagDevice:
    """A place to run tasks: `type` sets the costs, `mem` is the index of its memory node.

    `mem_bytes` is its capacity; None means unlimited. Devices of one `pool` share one capacity,
    as the slots of a device do.
    """

    id: Id
    type: str
    mem: int = 0
    mem_bytes: float | None = None
    pool: str | None = None


@attrs.frozen(kw_only=True)
class DagTask:
    """A unit of work: device type -> cost, or None where that type can't run it.

    `deviation` maps a device type to the standard deviation of its cost. Tasks of one
    `colocate` key run on the same device. `mem_bytes` stay there for the whole schedule;
    `mem_by_type` has them for the types where they differ. In a stream one that is `stateful` does
    every batch on one device.
    """

    id: Id
    cost: Mapping[str, float | None]
    name: str = ""
    deviation: Mapping[str, float] = _NOTHING
    mem_bytes: float = 0.0
    mem_by_type: Mapping[str, float] = _NOTHING
    colocate: str | None = None
    stateful: bool = False

    def needs(self, kind: str) -> float:
        """Bytes that stay on a device of a type."""
        return self.mem_by_type.get(kind, self.mem_bytes)


class DagEdge(NamedTuple):
    """`target` starts after `source` ended and its `nbytes` arrived."""

    source: Id
    target: Id
    nbytes: float
