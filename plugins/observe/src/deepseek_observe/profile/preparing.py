"""What of a timeline is looked at: work whose launch it holds, and a CPU as a device."""

from __future__ import annotations

import attrs
import numpy as np

from deepseek_core import errors
from deepseek_observe.profile.breakdown import Window, window_of
from deepseek_observe.timeline.classes import WORK, Class
from deepseek_observe.timeline.record import Timeline

CPU: int = 0
"""The number of the host as a device, where there is no other."""
_EXCHANGES = ("c10d::", "gloo:", "nccl:", "record_param_comms", "mpi:")


def prepared(timeline: Timeline) -> Timeline:
    """The same, without works of devices whose launch lies before it; or the host as a device.

    A trace that begins in the middle of a run holds works that were queued before: to count them
    would count a step that is not there. They are left out if any launch is known.
    """
    if not timeline.device_numbers:
        return _of_host(timeline)
    if not (timeline.launches >= 0).any():
        return timeline
    works = np.isin(timeline.classes, [int(one) for one in WORK])
    gone = works & (timeline.launches < 0)
    if not gone.any():
        return timeline
    left_out = {**timeline.left_out, "works that were launched before the trace": int(gone.sum())}
    return attrs.evolve(timeline.take(np.flatnonzero(~gone)), left_out=left_out)


def is_plan(timeline: Timeline) -> bool:
    """Whether it is of a plan that ran: tasks on devices, as `ds-sdk run --trace` writes them."""
    return bool(timeline.facts.get("is_plan"))


def _of_host(timeline: Timeline) -> Timeline:
    """Operations of the framework as works of a CPU, each its own launch."""
    mine = timeline.classes == Class.OPERATION
    exchanges = np.array([text.startswith(_EXCHANGES) for text in timeline.texts], bool)
    is_exchange = exchanges[timeline.names] if len(timeline) else np.zeros(0, bool)
    mine |= (timeline.classes == Class.RANGE) & is_exchange
    rows = np.arange(len(timeline))
    return attrs.evolve(
        timeline,
        devices=np.where(mine, CPU, timeline.devices),
        classes=np.where(
            mine, np.where(is_exchange, Class.COMMUNICATION, Class.COMPUTE), timeline.classes
        ).astype(np.int64),
        launches=np.where(mine, rows, timeline.launches),
        facts={**timeline.facts, "devices": {CPU: "CPU"}, "is_cpu": True},
    )


def window_named(timeline: Timeline, name: str) -> Window:
    """From the first to the last range whose name is this, or begins so.

    Raises:
        ConfigError: there is none.
    """
    ranges = timeline.where(Class.RANGE)
    texts = timeline.texts
    same = np.array([text == name for text in texts], bool)
    alike = np.array([text.startswith(name) for text in texts], bool)
    for fits in (same, alike):
        rows = ranges[fits[timeline.names[ranges]]]
        if len(rows):
            return Window(
                begin_ns=int(timeline.starts[rows].min()), end_ns=int(timeline.ends[rows].max())
            )
    counts = np.bincount(timeline.names[ranges], minlength=len(texts))
    most = [texts[n] for n in np.argsort(-counts, kind="stable")[:5].tolist() if counts[n]]
    raise errors.ConfigError(
        f"{timeline.source} has no range {name!r}",
        remedy=f"give one of its ranges, such as {', '.join(map(repr, most))}"
        if most
        else "mark ranges: torch.profiler.record_function, or nvtx.range_push",
    )


def windows(timeline: Timeline, name: str | None) -> dict[int, Window]:
    """The window of each device: that of a named range, or from its first to its last work.

    Raises:
        ConfigError: no such range.
        InputError: no device has any work.
    """
    named = window_named(timeline, name) if name is not None else None
    devices = timeline.device_numbers
    if is_plan(timeline):  # one clock, one job: a device that has nothing to do any more is idle
        named = named or window_of(timeline, *devices)
    found = {device: window_of(timeline, device) for device in devices}
    kept = {device: named or window for device, window in found.items() if window is not None}
    if not kept:
        raise errors.InputError(
            f"{timeline.source} holds no work of a device",
            remedy="record it too: activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]",
        )
    return kept
