"""When a device computed, exchanged and copied, as coarse as a picture can show it."""

from __future__ import annotations

from typing import Final

import attrs
import numpy as np

from deepseek_observe.profile.breakdown import Window, covered
from deepseek_observe.timeline.classes import Class
from deepseek_observe.timeline.intervals import clipped
from deepseek_observe.timeline.record import Timeline

CELLS: Final = 240
KINDS: Final = {
    "compute": (Class.COMPUTE,),
    "communication": (Class.COMMUNICATION,),
    "copy": (Class.COPY, Class.FILL),
}


@attrs.frozen(kw_only=True)
class Lane:
    """For each of the cells of a window, the share in which a device did one kind of work."""

    kind: str
    shares: tuple[float, ...]


def lanes(timeline: Timeline, device: int, window: Window, cells: int = CELLS) -> tuple[Lane, ...]:
    """A lane for each kind that there is."""
    edges = np.linspace(window.begin_ns, window.end_ns, cells + 1)
    found = []
    for kind, classes in KINDS.items():
        inside = clipped(covered(timeline, device, *classes), window.begin_ns, window.end_ns)
        if not len(inside.starts):
            continue
        # Covered time up to each edge: known at the ends of the intervals, straight in between.
        times = np.stack([inside.starts, inside.ends], 1).ravel()
        until = np.stack(
            [np.cumsum(inside.ends - inside.starts) - (inside.ends - inside.starts),
             np.cumsum(inside.ends - inside.starts)], 1
        ).ravel()  # fmt: skip
        at = np.interp(edges, times, until, left=0.0, right=float(inside.total))
        widths = np.maximum(np.diff(edges), 1e-9)
        found.append(Lane(kind=kind, shares=tuple(np.clip(np.diff(at) / widths, 0, 1).tolist())))
    return tuple(found)
