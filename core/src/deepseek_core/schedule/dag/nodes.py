"""Devices, tasks and edges of a task graph: plain records."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

import attrs

_NO_DEVIATION: Final[Mapping[str, float]] = MappingProxyType({})


@attrs.frozen(kw_only=True)
class DagDevice:
    """A place to run tasks: `type` sets the costs, `mem` is the index of its memory node.

    `mem_bytes` is its capacity; None means unlimited.
    """

    id: str
    type: str
    mem: int = 0
    mem_bytes: float | None = None


@attrs.frozen(kw_only=True)
class DagTask:
    """A unit of work: device type -> cost, or None where that type can't run it.

    `deviation` maps a device type to the standard deviation of its cost. Tasks of one
    `colocate` key run on the same device. `mem_bytes` stay there for the whole schedule. In a
    stream one that is `stateful` does every batch on one device.
    """

    id: str
    cost: Mapping[str, float | None]
    name: str = ""
    deviation: Mapping[str, float] = _NO_DEVIATION
    mem_bytes: float = 0.0
    colocate: str | None = None
    stateful: bool = False


class DagEdge(NamedTuple):
    """`target` starts after `source` ended and its `nbytes` arrived."""

    source: str
    target: str
    nbytes: float
