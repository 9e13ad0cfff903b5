"""Timelines made by hand, and the traces that the tests read."""

from pathlib import Path

import numpy as np

from deepseek_observe.reading.columns import Columns
from deepseek_observe.timeline.classes import HOST, Class

TRACES = Path(__file__).parent.parent / "data" / "profiles"


def timeline(*rows, facts=None):
    """Of (class, start, end, device, stream, correlation, name); device rows find their launch."""
    made = Columns()
    made.add(
        starts=[row[1] for row in rows],
        ends=[row[2] for row in rows],
        devices=[row[3] for row in rows],
        streams=[row[4] for row in rows],
        classes=[int(row[0]) for row in rows],
        names=made.numbers(row[6] for row in rows),
        correlations=[row[5] for row in rows],
        nbytes=np.full(len(rows), -1),
    )
    return made.timeline(source="made", facts=facts or {}, left_out={}, origin_ns=0)


def work(start, end, *, call=None, correlation=0, stream=7, found=Class.COMPUTE, name="k"):
    """A work of device 0, and its launch by thread 1 if `call` says when."""
    rows = [(found, start, end, 0, stream, correlation, name)]
    if call is not None:
        rows.append((Class.LAUNCH, call, call + 5, HOST, 1, correlation, "cudaLaunchKernel"))
    return rows


def host(found, start, end, name):
    """Something that thread 1 did."""
    return [(found, start, end, HOST, 1, 0, name)]
