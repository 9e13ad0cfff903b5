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

SHOWN_QUERIES: Final = 24
TIMELINE_S: Final = 0.25
_KNOWN: Final = {
    "measured": "measured", "model": "measured at other batch sizes", "prior": "a guess",
}  # fmt: skip
COLORS: Final = ("#2f6fdf", "#d9822b", "#2a9d5c", "#9b51c9", "#c23b52")

STYLE: Final = """
:root { color-scheme: light dark; --ink: #1c2430; --soft: #667085; --line: #d8dde6;
  --card: #f6f8fb; --good: #1f9254; --bad: #d13a3a; --page: #fff }
@media (prefers-color-scheme: dark) { :root { --ink: #e7ebf2; --soft: #98a2b3; --line: #344054;
  --card: #1b222d; --good: #4cc38a; --bad: #f0716a; --page: #12161d } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page);
  max-width: 1080px; margin: 2rem auto; padding: 0 1.25rem }
h1 { font-size: 1.6rem; margin: 0 } h2 { font-size: 1.1rem; margin: 2.2rem 0 .6rem }
p { margin: .3rem 0 } .soft { color: var(--soft) }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(190px, 1fr)); gap: .8rem;
  margin-top: 1.2rem }
.tile { background: var(--card); border-radius: 8px; padding: .8rem 1rem }
.tile b { display: block; font-size: 1.5rem }
.scroll { overflow-x: auto }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th, td { text-align: left; padding: .35rem 1.2rem .35rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top } th { font-weight: 600; color: var(--soft) }
td.n, th.n { text-align: right } tr.chosen td { font-weight: 600 }
.bar { height: 10px; border-radius: 3px; min-width: 2px }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(360px, 1fr)); gap: .9rem }
.row { display: flex; gap: 6px; background: var(--card); border-radius: 8px; padding: .6rem }
figure { margin: 0; width: 54px } figure.q { margin-right: .5rem }
figure img { width: 100%; image-rendering: pixelated; border-radius: 3px; display: block;
  box-shadow: 0 0 0 2px var(--line) }
figure.good img { box-shadow: 0 0 0 2px var(--good) } figure.bad img { box-shadow: 0 0 0 2px
  var(--bad) }
figcaption { font-size: 9.5px; line-height: 1.25; color: var(--soft); margin-top: 3px;
  text-align: center }
svg text { fill: var(--soft); font: 12px system-ui, sans-serif }
"""


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
    text = (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Visual search</title><style>{STYLE}</style>{body}</html>"
    )
    partial = path.with_name(path.name + ".part")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def _head(report: dict[str, Any]) -> str:
    int8, fp32 = report["int8"], report["fp32"]
    tiles = [
        ("pictures per second, whole run", f"{int8['items_per_s']:,.0f}"),
        (f"right class, int8, of {int8['queries']:,} queries", f"{int8['top1']:.1%}"),
        ("right class, fp32", f"{fp32['top1']:.1%}"),
        (f"devices found, {len(set(int8['placement'].values()))} used", str(_usable(report))),
    ]
    cards = "".join(f'<div class="tile"><b>{v}</b>{html.escape(k)}</div>' for k, v in tiles)
    return (
        "<h1>Visual search on this machine</h1>"
        '<p class="soft">Defects on printed-circuit boards that were never seen, '
        f'found among known ones.</p><div class="tiles">{cards}</div>'
    )


def _usable(report: dict[str, Any]) -> int:
    return sum(device["status"] == "available" for device in report["devices"])


def _why(facts: dict[str, Any]) -> str:
    sentences = [*facts["why"], facts["summary"]]
    return "".join(f"<p>{html.escape(s)}</p>" for s in sentences)


def _candidates(facts: dict[str, Any]) -> str:
    rows = []
    for stage in facts["stages"]:
        rows += [
            _row(stage["name"], c, c["device"] == stage["device"]) for c in stage["candidates"]
        ]
    whole = facts["whole"] or {"candidates": ()}
    used = set(facts["placement"].values())
    for c in whole["candidates"]:
        rows.append(_row("whole model, uncut", c, whole["chosen"] and c["device"] in used))
    head = (
        "<tr><th>part</th><th>device</th><th class=n>time of one batch</th>"
        "<th class=n>90 % range</th><th>known from</th><th class=n>in this run</th></tr>"
    )
    return f'<div class="scroll"><table>{head}{"".join(rows)}</table></div>'


def _row(part: str, candidate: dict[str, Any], chosen: bool) -> str:
    mark = ' class="chosen"' if chosen else ""
    return f"<tr{mark}><td>{html.escape(part)}</td>{_costs(candidate)}</tr>"


def _costs(candidate: dict[str, Any]) -> str:
    device = f"<td>{html.escape(candidate['device'])}</td>"
    if candidate["refusal"]:
        refusal = html.escape(f"refused: {candidate['refusal']}")
        return f'{device}<td colspan="4" class="soft">{refusal}</td>'
    low, high = candidate["interval_s"]
    seen, samples = candidate["measured_s"], candidate["samples"]
    known = _KNOWN[candidate["source"]] + (f", {samples} samples" if samples else "")
    return (
        f"{device}<td class=n>{_ms(candidate['seconds'])}</td>"
        f"<td class=n>{_ms(low)} to {_ms(high)}</td>"
        f"<td>{known}</td>"
        f"<td class=n>{_ms(seen) if seen is not None else ''}</td>"
    )


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.2f} ms"


def _comparison(facts: dict[str, Any]) -> str:
    fastest = max(row["items_per_s"] for row in facts["comparison"])
    rows = []
    for row in sorted(facts["comparison"], key=lambda r: -float(r["items_per_s"])):
        where = ", ".join(f"{s} on {d}" for s, d in row["placement"].items())
        chosen = row["label"] == "chosen"
        width = 100 * row["items_per_s"] / fastest
        color = COLORS[0] if chosen else "var(--soft)"
        rows.append(
            f"<tr{' class=chosen' if chosen else ''}><td>{html.escape(where)}</td>"
            f"<td class=n>{row['items_per_s']:,.0f}</td><td style='width:40%'>"
            f"<div class=bar style='width:{width:.1f}%;background:{color}'></div></td></tr>"
        )
    rows += [
        f"<tr><td>{html.escape(d)} alone</td>"
        f'<td colspan="2" class="soft">{html.escape(r)}</td></tr>'
        for d, r in facts["refusals"].items()
    ]
    head = "<tr><th>placement</th><th class=n>pictures/s</th><th></th></tr>"
    table = f'<div class="scroll"><table>{head}{"".join(rows)}</table></div>'
    return f"{table}<p>{html.escape(facts['verdict'])}</p>"


def _timeline(spans: Sequence[Any]) -> str:
    """One lane for each slot of each device, one bar for each task."""
    if not spans:
        return ""
    start_s = spans[len(spans) // 2].start_s
    shown = [s for s in spans if s.end_s > start_s and s.start_s < start_s + TIMELINE_S]
    lanes = sorted({(s.device_id, s.slot) for s in shown})
    stages = list(dict.fromkeys(s.stage for s in spans))
    color = {stage: COLORS[i % len(COLORS)] for i, stage in enumerate(stages)}
    width, left, height = 1040, 190, 26
    scale = (width - left) / TIMELINE_S
    parts = [
        f'<text x="0" y="{lane * height + 17}">{html.escape(d)} slot {slot}</text>'
        for lane, (d, slot) in enumerate(lanes)
    ]
    for s in shown:
        x = left + max(0.0, s.start_s - start_s) * scale
        end = left + min(TIMELINE_S, s.end_s - start_s) * scale
        y = lanes.index((s.device_id, s.slot)) * height + 3
        parts.append(
            f'<rect x="{x:.1f}" y="{y}" width="{max(1.0, end - x - 0.6):.1f}" height="20" rx="2" '
            f'fill="{color[s.stage]}"><title>{html.escape(s.stage)}, batch {s.sequence}: '
            f"{_ms(s.seconds)}</title></rect>"
        )
    legend = " &nbsp; ".join(
        f'<span style="color:{color[s]}">&#9632;</span> {html.escape(s)}' for s in stages
    )
    box = f'viewBox="0 0 {width} {len(lanes) * height + 6}" width="100%"'
    return (
        f'<p class="soft">{legend}</p><div class="scroll"><svg {box}>{"".join(parts)}</svg></div>'
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
