"""The page of `ds-sdk profile`: one file with bars, time lines and findings; it needs nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Final

from deepseek_core import console
from deepseek_observe.profile.findings import Finding
from deepseek_observe.profile.kernels import Moved
from deepseek_observe.profile.lanes import Lane
from deepseek_observe.profile.profile import DeviceProfile, Profile, changes

_COLORS: Final = {
    "compute": "hsl(150 45% 50%)",
    "communication": "hsl(215 65% 60%)",
    "copy": "hsl(30 80% 55%)",
}
_WIDTH, _NAMES, _LANE = 1000, 130, 26
_PARTS: Final = (
    ("compute", "compute_ns"),
    ("exposed communication", "exposed_communication_ns"),
    ("exposed copies", "exposed_copy_ns"),
    ("idle", "idle_ns"),
)


def write_page(
    path: Path, profiles: Sequence[Profile], slow: Finding | None, before: Profile | None
) -> None:
    """Write the page whole or not at all.

    Raises:
        WriteError: no space, or no permission.
    """
    body = "".join(_parts(profiles, slow, before))
    console.write_html(path, "Where the time went", body)


def _parts(
    profiles: Sequence[Profile], slow: Finding | None, before: Profile | None
) -> Iterator[str]:
    if slow is not None:
        yield f"<h2>Ranks</h2>{_findings([slow], 'Ranks')}"
    if before is not None:
        yield f"<h2>Compared with {escape(before.source)}</h2>{_difference(profiles[0], before)}"
    for one in profiles:
        rank = "" if one.rank is None else f", rank {one.rank}"
        yield f"<h2>{escape(one.source)}{rank}</h2>"
        yield f"<p>Bound by <b>{escape(one.verdict)}</b>.{_left_out(one)}</p>"
        yield (
            '<p class="soft">What a finding could win is an upper bound: what the device '
            "would be busy less, or idle less, without it, if nothing else moved.</p>"
        )
        yield _findings(one.findings, f"Findings of {one.source}{rank}")
        for device in one.devices:
            yield from _device(device, f"{device.name}{rank} of {one.source}")


def _left_out(one: Profile) -> str:
    told = [f"{count:,} {escape(why)}" for why, count in one.left_out.items()]
    return f" Left out: {'; '.join(told)}." if told else ""


def _findings(findings: Sequence[Finding], name: str) -> str:
    if not findings:
        return "<p>No finding could win .5 % of the time.</p>"
    rows = [
        (
            console.format_seconds(one.recoverable_ns / 1e9), f"{one.share:.1%}",
            f"{one.title} ({one.kind})", "; ".join(one.evidence), one.remedy, one.confidence.value,
        )
        for one in findings
    ]  # fmt: skip
    head = ("up to", "of the time", "what", "evidence", "what to do", "confidence")
    return console.table(head, rows, name=name)


def _device(device: DeviceProfile, name: str) -> Iterator[str]:
    shares = device.shares
    yield f"<h3>{escape(device.name)}</h3>"
    span = shares.span_ns or 1
    bars = [
        (what, getattr(shares, field) / span, f"{getattr(shares, field) / span:.1%}")
        for what, field in _PARTS
    ]
    whole = console.format_seconds(shares.span_ns / 1e9)
    yield console.bar_chart(bars, name=f"Time of {name}", head=("part", f"of {whole}"))
    hidden = [
        f"{console.format_seconds(ns / 1e9)} of {what}"
        for what, ns in (
            ("exchanges", shares.hidden_communication_ns), ("copies", shares.hidden_copy_ns)
        )
        if ns
    ]  # fmt: skip
    if hidden:
        yield f'<p class="soft">Beside computing: {" and ".join(hidden)}.</p>'
    yield _picture(device.lanes, whole, f"Time line of {name}")
    if device.idle:
        idle = sorted(device.idle.items(), key=lambda item: -item[1])
        yield console.bar_chart(
            [(cause.value, ns / span, f"{ns / span:.1%}") for cause, ns in idle],
            name=f"Idle of {name}", head=("idle by its cause", f"of {whole}"),
        )  # fmt: skip
    if device.top:
        rows = [
            (
                work.name, work.kind, f"{work.count:,}",
                *(console.format_seconds(ns / 1e9) for ns in (work.total_ns, work.longest_ns)),
            )
            for work in device.top
        ]  # fmt: skip
        head = ("what ran most", "kind", "count", "total", "longest")
        yield console.table(head, rows, name=f"Top of {name}")
    for what, moved, rate in (
        ("copies", device.copies, "rate"),
        ("exchanges", device.exchanges, "bus bandwidth"),
    ):
        if moved:
            head_ = (what, "count", "total", "bytes", rate)
            yield console.table(head_, _rows(moved), name=f"{what.capitalize()} of {name}")


def _rows(moved: Sequence[Moved]) -> list[tuple[str, ...]]:
    return [
        (
            one.way, f"{one.count:,}", console.format_seconds(one.total_ns / 1e9),
            "-" if one.nbytes is None else console.format_bytes(one.nbytes),
            "-" if one.bytes_per_s is None else f"{one.bytes_per_s / 1e9:.3g} GB/s",
        )
        for one in moved
    ]  # fmt: skip


def _picture(lanes: Sequence[Lane], whole: str, name: str) -> str:
    """A lane for each kind; a cell is as high as its share of time."""
    if not lanes:
        return ""
    drawn = []
    for number, lane in enumerate(lanes):
        top = 4 + number * _LANE
        width = (_WIDTH - _NAMES - 10) / len(lane.shares)
        drawn.append(f'<text class="name" x="6" y="{top + 16}">{escape(lane.kind)}</text>')
        path = "".join(
            f"M{_NAMES + n * width:.1f} {top + 22}v{-22 * share:.1f}h{width:.2f}v{22 * share:.1f}z"
            for n, share in enumerate(lane.shares)
            if share > 0.005
        )
        drawn.append(f'<path d="{path}" fill="{_COLORS[lane.kind]}"/>')
    bottom = 4 + _LANE * len(lanes)
    drawn.append(
        f'<line x1="{_NAMES}" x2="{_WIDTH - 10}" y1="{bottom}" y2="{bottom}"/>'
        f'<text x="{_NAMES}" y="{bottom + 16}">0</text>'
        f'<text x="{_WIDTH - 10}" y="{bottom + 16}" text-anchor="end">{escape(whole)}</text>'
    )
    return console.figure("".join(drawn), (_WIDTH, bottom + 24), name, most=1160)


def _difference(now: Profile, before: Profile) -> str:
    rows = [
        (
            device, part.replace("_", " "),
            *(console.format_seconds(value / 1e9) for value in (was, is_)),
            f"{is_ / was - 1:+.1%}" if was else "-",
        )
        for device, part, was, is_ in changes(now, before)
    ]  # fmt: skip
    return console.table(("device", "part", "before", "now", "change"), rows, name="Difference")
