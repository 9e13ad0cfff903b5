"""How the time of a device divides: what computed, exchanged or copied, alone or at once; idle."""

from __future__ import annotations

from typing import Final

import attrs
import numpy as np

from deepseek_observe.timeline.classes import WORK, Class
from deepseek_observe.timeline.intervals import Set, partition, union
from deepseek_observe.timeline.record import Timeline

_SETS: Final = ((Class.COMPUTE,), (Class.COMMUNICATION,), (Class.COPY, Class.FILL))
_COMPUTE, _COMMUNICATION, _COPY = 1, 2, 4  # bits of a state


@attrs.frozen(kw_only=True)
class Window:
    """From `begin_ns` up to `end_ns`, on the clock of the timeline."""

    begin_ns: int
    end_ns: int

    @property
    def span_ns(self) -> int:
        """Nanoseconds from its begin to its end."""
        return self.end_ns - self.begin_ns


@attrs.frozen(kw_only=True)
class Shares:
    """Nanoseconds of a device in a window. The first four add up to `span_ns` exactly.

    `compute_ns` counts all computing, whatever else went on; an exposed exchange or copy had none
    beside it (an exchange and a copy at once are an exchange). `hidden_communication_ns` and
    `hidden_copy_ns` went on beside computing.
    """

    device: int
    span_ns: int
    compute_ns: int
    exposed_communication_ns: int
    exposed_copy_ns: int
    idle_ns: int
    hidden_communication_ns: int
    hidden_copy_ns: int

    @property
    def communication_ns(self) -> int:
        """All exchanges, hidden or not."""
        return self.exposed_communication_ns + self.hidden_communication_ns

    @property
    def overlap(self) -> float | None:
        """The share of the exchanges that computing has hidden; None where there were none."""
        whole = self.communication_ns
        return self.hidden_communication_ns / whole if whole else None


def covered(timeline: Timeline, device: int, *classes: Class) -> Set:
    """When a device was busy with any of these."""
    rows = timeline.where(*classes, device=device)
    return union(timeline.starts[rows], timeline.ends[rows])


def window_of(timeline: Timeline, *devices: int) -> Window | None:
    """From the first to the last work of these devices; None where they have none."""
    rows = timeline.where(*WORK)
    rows = rows[np.isin(timeline.devices[rows], devices)]
    if not len(rows):
        return None
    return Window(begin_ns=int(timeline.starts[rows].min()), end_ns=int(timeline.ends[rows].max()))


def breakdown(timeline: Timeline, device: int, window: Window) -> Shares:
    """Divide the time of a device in a window."""
    sets = [covered(timeline, device, *classes) for classes in _SETS]
    states = partition(sets, window.begin_ns, window.end_ns).tolist()

    def total(bits: int, without: int = 0) -> int:
        return sum(
            length
            for state, length in enumerate(states)
            if state & bits == bits and not state & without
        )

    return Shares(
        device=device,
        span_ns=window.span_ns,
        compute_ns=total(_COMPUTE),
        exposed_communication_ns=total(_COMMUNICATION, _COMPUTE),
        exposed_copy_ns=total(_COPY, _COMPUTE | _COMMUNICATION),
        idle_ns=states[0],
        hidden_communication_ns=total(_COMPUTE | _COMMUNICATION),
        hidden_copy_ns=total(_COMPUTE | _COPY),
    )
