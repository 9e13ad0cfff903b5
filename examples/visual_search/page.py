"""The demo's page: one HTML file with pictures, placement, figures and timeline inside."""

from __future__ import annotations

import base64
import html
import struct
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from dataset import Crops
from deepseek_core import console

SHOWN_QUERIES: Final = 24
TIMELINE_S: Final = 0.25
_KNOWN: Final = {
    "measured": "measured", "model": "measured at other batch sizes", "prior": "a guess",
}  # fmt: skip
PICTURES: Final = """<style>
.grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,22rem),1fr));gap:.9rem}
.row{display:flex;gap:5px;background:var(--box);border-radius:8px;padding:.6rem}
.row figure{margin:0;flex:1 1 3.1rem;max-width:4.4rem}.row figure.q{margin-right:.4rem}
figure img{width:100%;image-rendering:pixelated;border-radius:3px;display:block;
box-shadow:0 0 0 2px var(--line)}
figure.good img{box-shadow:0 0 0 2px var(--good)}figure.bad img{box-shadow:0 0 0 2px var(--bad)}
figcaption{font-size:11px;line-height:1.25;color:var(--soft);margin-top:3px;text-align:center}
</style>"""


def write_page(
    path: Path,
    report: dict[str, Any],
    *,
    gallery: Crops,
    queries: Crops,
    indices: npt.NDArray[np.int64],
    spans: Sequence[Any],
) -> None:
    """Write the page; `indices` [queries, neighbors] are places in the gallery."""
    int8 = report["int8"]
    body = "\n".join(
        [
            _head(report),
            "<h2>Where it runs, and why</h2>",
            _why(int8),
            _candidates(int8),
            "<h2>Every placement, measured side by side</h2>",
            _comparison(int8),
            "<h2>A quarter of a second of the run</h2>",
            _timeline(spans),
            "<h2>Queries beside their nearest neighbors</h2>",
            _neighbors(gallery, queries, indices),
            _foot(report),
        ]
    )
    console.write_html(path, "Visual search on this machine", PICTURES + body)


def _head(report: dict[str, Any]) -> str:
    int8, fp32 = report["int8"], report["fp32"]
    found, used = _usable(report), len(set(int8["placement"].values()))
    tiles = [
        ("pictures per second, whole run", f"{int8['items_per_s']:,.0f}"),
        (f"right class, int8, of {int8['queries']:,} queries", f"{int8['top1']:.1%}"),
        ("right class, fp32", f"{fp32['top1']:.1%}"),
        (f"devices found, {used} used", str(found)),
    ]
    cards = "".join(f"<div><b>{v}</b><span>{html.escape(k)}</span></div>" for k, v in tiles)
    return (
        '<p class="soft">Defects on printed-circuit boards that were never seen, '
        f'found among known ones.</p><div class="figures">{cards}</div>'
    )


def _usable(report: dict[str, Any]) -> int:
    return sum(device["status"] == "available" for device in report["devices"])


def _why(facts: dict[str, Any]) -> str:
    sentences = [*facts["why"], facts["summary"]]
    return "".join(f"<p>{html.escape(s)}</p>" for s in sentences)


def _candidates(facts: dict[str, Any]) -> str:
    parts = [
        (stage["name"], c, c["device"] == stage["device"])
        for stage in facts["stages"]
        for c in stage["candidates"]
    ]
    whole = facts["whole"] or {"candidates": ()}
    used = set(facts["placement"].values())
    for c in whole["candidates"]:
        parts.append(("whole model, uncut", c, whole["chosen"] and c["device"] in used))
    head = "part", "device", "time of one batch", "90 % range", "known from", "in this run"
    rows = [(name, c["device"], *_costs(c)) for name, c, _ in parts]
    chosen = [number for number, (_, _, is_chosen) in enumerate(parts) if is_chosen]
    return console.table(head, rows, chosen=chosen, name="Candidates")


def _costs(candidate: dict[str, Any]) -> tuple[str, ...]:
    if candidate["refusal"]:
        return "-", "-", f"can't run it: {candidate['refusal']}", ""
    low, high = candidate["interval_s"]
    seen, samples = candidate["measured_s"], candidate["samples"]
    return (
        _ms(candidate["seconds"]),
        f"{_ms(low)} to {_ms(high)}",
        _KNOWN[candidate["source"]] + (f", {samples} samples" if samples else ""),
        _ms(seen) if seen is not None else "",
    )


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.2f} ms"


def _comparison(facts: dict[str, Any]) -> str:
    ranked = sorted(facts["comparison"], key=lambda r: -float(r["items_per_s"]))
    rows = [
        (
            ", ".join(f"{s} on {d}" for s, d in row["placement"].items()),
            row["items_per_s"],
            f"{row['items_per_s']:,.0f}",
        )
        for row in ranked
    ]
    chosen = [number for number, row in enumerate(ranked) if row["label"] == "chosen"]
    chart = console.bar_chart(
        rows, name="Placements compared", head=("placement", "pictures/s"), chosen=chosen
    )
    told = [f"{device} alone can't run it: {why}" for device, why in facts["refusals"].items()]
    lines = "".join(f'<p class="soft">{html.escape(line)}</p>' for line in told)
    return f"{chart}{lines}<p>{html.escape(facts['verdict'])}</p>"


def _timeline(spans: Sequence[Any]) -> str:
    """One lane for each slot of each device, one bar for each task."""
    if not spans:
        return ""
    start_s = spans[len(spans) // 2].start_s
    end_s = start_s + TIMELINE_S
    shown = [s for s in spans if s.end_s > start_s and s.start_s < end_s]
    lanes = sorted({(s.device_id, s.slot) for s in shown})
    bars = [
        console.Bar(
            lane=lanes.index((s.device_id, s.slot)),
            start=max(start_s, s.start_s),
            end=min(end_s, s.end_s),
            group=s.stage,
            tip=f"{s.stage}, batch {s.sequence}: {_ms(s.seconds)}",
        )
        for s in shown
    ]
    return console.timeline(
        bars,
        lanes=[f"{device} slot {slot}" for device, slot in lanes],
        span=(start_s, end_s),
        name="What ran when, in a quarter of a second from the middle of the run",
        x=console.Axis(title="time, from the middle of the run on", shown=console.format_seconds),
    )


def _neighbors(gallery: Crops, queries: Crops, indices: npt.NDArray[np.int64]) -> str:
    rows = []
    for query in np.linspace(0, len(queries) - 1, SHOWN_QUERIES).astype(int):
        label = queries.labels[query]
        cells = [_figure(queries.images[query], queries.class_names[label], "q")]
        for place in indices[query]:
            verdict = "good" if gallery.labels[place] == label else "bad"
            name = gallery.class_names[gallery.labels[place]]
            cells.append(_figure(gallery.images[place], name, verdict))
        rows.append(f'<div class="row">{"".join(cells)}</div>')
    note = (
        "The query, then its neighbors, nearest first. Green: the query's class; red: another. "
        "Picked evenly, not by hand."
    )
    return f'<p class="soft">{note}</p><div class="grid">{"".join(rows)}</div>'


def _figure(image: npt.NDArray[np.uint8], caption: str, kind: str) -> str:
    data = base64.b64encode(_png(image)).decode()
    text = html.escape(caption)
    return (
        f'<figure class="{kind}"><img alt="{text}" src="data:image/png;base64,{data}">'
        f"<figcaption>{text}</figcaption></figure>"
    )


def _png(image: npt.NDArray[np.uint8]) -> bytes:
    """A grayscale picture [H, W] as PNG (ISO/IEC 15948), one bit a pixel."""
    height, width = image.shape
    lines = np.packbits(image > 127, axis=1)
    raw = b"".join(b"\0" + line.tobytes() for line in lines)
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(raw, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _foot(report: dict[str, Any]) -> str:
    devices = _listed(f"{d['id']} ({d['name']}, {d['evidence']})" for d in report["devices"])
    return (
        f'<p class="soft" style="margin-top:2rem">Devices: {devices}. A figure of a cpu-runtime '
        "or an emulator says nothing about boards. Pictures: DeepPCB (Tang et al. 2019, MIT; "
        "for research, please cite). Network: EfficientNet-Lite0 with ImageNet weights "
        "(Apache-2.0).</p>"
    )


def _listed(names: Iterable[str]) -> str:
    return html.escape("; ".join(names))
