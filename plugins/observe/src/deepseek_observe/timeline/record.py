"""`Timeline`: what happened on devices and host, a row for each thing, in columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from deepseek_observe.timeline.classes import HOST, Class

Column = NDArray[np.int64]


def distinct(column: Column) -> Column:
    """The different values, in order; `np.unique` of that alone imports what is for masks."""
    in_order = np.sort(column)
    first = np.ones(len(in_order), bool)
    np.not_equal(in_order[1:], in_order[:-1], out=first[1:])
    return in_order[first]


@attrs.frozen(kw_only=True, eq=False)
class Timeline:
    """Rows in order of their start; every column is int64 [N].

    `starts` and `ends` are nanoseconds, `origin_ns` is where the trace's own clock stood at 0.
    `devices` is a number, or HOST; `streams` one of a device's streams, or a thread of the host.
    `classes` holds `Class`, `names` a place in `texts`. `correlations` ties a launch to its work,
    0 is none; `launches` is the row of the launch, -1 where it is not in the trace. `nbytes` is
    what a copy or a fill moved, or each rank sent in an exchange; -1 where it is unknown.
    `facts` are what the trace says of itself: rank, world_size, device names and the like.
    `left_out` counts what was read and is no row, by the reason.
    """

    starts: Column
    ends: Column
    devices: Column
    streams: Column
    classes: Column
    names: Column
    correlations: Column
    launches: Column
    nbytes: Column
    texts: Sequence[str]
    source: str
    origin_ns: int = 0
    facts: Mapping[str, Any] = attrs.field(factory=dict)
    left_out: Mapping[str, int] = attrs.field(factory=dict)

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def durations(self) -> Column:
        """Nanoseconds of each row."""
        return self.ends - self.starts

    def where(self, *classes: Class, device: int | None = None) -> Column:
        """Rows of these classes, of one device if it is given."""
        found = np.isin(self.classes, [int(one) for one in classes])
        if device is not None:
            found &= self.devices == device
        return np.flatnonzero(found)

    def text(self, row: int) -> str:
        """The name of a row."""
        return str(self.texts[self.names[row]])

    @property
    def device_numbers(self) -> tuple[int, ...]:
        """Devices that have rows."""
        return tuple(int(one) for one in distinct(self.devices) if one != HOST)

    def take(self, rows: Column) -> Timeline:
        """The same with these rows alone, in their order; launches that are left out become -1."""
        place = np.full(len(self) + 1, -1, np.int64)
        place[rows] = np.arange(len(rows))
        columns = {name: getattr(self, name)[rows] for name in COLUMNS}
        columns["launches"] = place[columns["launches"]]
        return attrs.evolve(self, **columns)


COLUMNS = (
    "starts", "ends", "devices", "streams", "classes", "names", "correlations", "launches", "nbytes"
)  # fmt: skip
