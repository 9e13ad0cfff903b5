"""`Profile`: all that is told of one trace; and what several ranks say of each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs

from deepseek_observe.profile.breakdown import Shares, Window
from deepseek_observe.profile.findings import Confidence, Finding, find, measure, verdict
from deepseek_observe.profile.idle import Cause
from deepseek_observe.profile.kernels import Moved, Work, top
from deepseek_observe.profile.lanes import Lane, lanes
from deepseek_observe.profile.preparing import is_plan, prepared, windows
from deepseek_observe.profile.stages import of_stages
from deepseek_observe.timeline.record import Timeline

_UNEVEN: Final = 0.05  # how much longer than the mean a rank computes, to be called slow


@attrs.frozen(kw_only=True)
class DeviceProfile:
    """One device in its window: where its time went, and why it was idle.

    `top` is what it ran most, `copies` and `exchanges` what it moved; `lanes` are for a picture.
    """

    device: int
    name: str
    window: Window
    shares: Shares
    idle: Mapping[Cause, int]
    top: tuple[Work, ...]
    copies: tuple[Moved, ...]
    exchanges: tuple[Moved, ...]
    lanes: tuple[Lane, ...]


@attrs.frozen(kw_only=True)
class Profile:
    """One trace. `verdict` is what bounds it, `findings` are of all devices, the largest first."""

    source: str
    rank: int | None
    verdict: str
    devices: tuple[DeviceProfile, ...]
    findings: tuple[Finding, ...]
    left_out: Mapping[str, int]
    facts: Mapping[str, Any]


def profile(timeline: Timeline, *, window: str | None = None) -> Profile:
    """Say where the time of each device went; `window` names a range of the host to look at.

    Of the same finding on several devices the largest is told.

    Raises:
        ConfigError: no such range.
        InputError: no device has any work.
    """
    used = prepared(timeline)
    names = used.facts.get("devices", {})
    devices: list[DeviceProfile] = []
    findings: list[Finding] = []
    for device, looked_at in windows(used, window).items():
        measured = measure(used, device, looked_at)
        if not is_plan(used):
            findings += find(used, measured)
        devices.append(
            DeviceProfile(
                device=device,
                name=str(names.get(device, f"device {device}")),
                window=looked_at,
                shares=measured.shares,
                idle=measured.gaps.totals,
                top=top(used, device, looked_at),
                copies=measured.copies,
                exchanges=measured.exchanges,
                lanes=lanes(used, device, looked_at),
            )
        )
    if is_plan(used):
        findings += of_stages(used, devices[0].window)
    rank = used.facts.get("rank")
    return Profile(
        source=used.source,
        rank=rank if isinstance(rank, int) else None,
        verdict=verdict([one.shares for one in devices]),
        devices=tuple(devices),
        findings=_largest(findings),
        left_out=used.left_out,
        facts=used.facts,
    )


def _largest(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Keep of each kind and title the one that costs the most."""
    best: dict[tuple[str, str], Finding] = {}
    for one in sorted(findings, key=lambda one: -one.recoverable_ns):
        best.setdefault((one.kind, one.title), one)
    return tuple(best.values())


def changes(now: Profile, before: Profile) -> list[tuple[str, str, int, int]]:
    """Device, part of its time, nanoseconds before and now; devices in the order of both."""
    fields = ("span_ns", "compute_ns", "exposed_communication_ns", "exposed_copy_ns", "idle_ns")
    return [
        (
            new.name,
            field.removesuffix("_ns"),
            getattr(old.shares, field),
            getattr(new.shares, field),
        )
        for old, new in zip(before.devices, now.devices, strict=False)
        for field in fields
    ]


def straggler(profiles: Sequence[Profile]) -> Finding | None:
    """The rank that computes longest, if the others wait for it; traces of one run, by rank.

    A rank that comes late to an exchange makes it long for all others and short for itself.
    """
    if len(profiles) < 2:
        return None
    seconds = [
        sum(one.shares.span_ns - one.shares.communication_ns for one in each.devices)
        / len(each.devices)
        for each in profiles
    ]
    mean = sum(seconds) / len(seconds)
    slowest = max(range(len(profiles)), key=lambda n: seconds[n])
    lost = seconds[slowest] - mean
    if lost < _UNEVEN * mean:
        return None
    span = profiles[slowest].devices[0].shares.span_ns
    who = profiles[slowest].rank
    return Finding(
        kind="straggler",
        title=f"rank {slowest if who is None else who} takes longer than the others",
        device=profiles[slowest].devices[0].device,
        recoverable_ns=int(lost),
        share=lost / span if span else 0.0,
        evidence=tuple(
            f"rank {n if one.rank is None else one.rank}: {value / 1e6:,.4g} ms without exchanges"
            for n, (one, value) in enumerate(zip(profiles, seconds, strict=True))
        ),
        remedy="give it less (ds-sdk train run with balance = true), or see what slows it: its "
        "clocks, its data, its neighbors",
        confidence=Confidence.MEDIUM,
    )
