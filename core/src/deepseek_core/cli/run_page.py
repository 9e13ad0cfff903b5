"""The page of a run: why each stage ran where, what ran when, what waited, what was foreseen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from deepseek_core.cli.charts import (
    Axis,
    Bar,
    Point,
    bar_chart,
    colors_of,
    line_chart,
    scatter,
    timeline,
)
from deepseek_core.cli.html import table, write_html
from deepseek_core.cli.model_options import deadline_verdict
from deepseek_core.contracts.units import counted, format_bytes, format_seconds
from deepseek_core.runtime.plan import Plan
from deepseek_core.runtime.trace import Depth, Span
from deepseek_core.schedule.sentences import GUESS, basis, interval

_MOST_BARS: Final = 4_000
_WHOLE: Final = "whole model, uncut"
_FIXED_SPACE: Final = "\N{NO-BREAK SPACE}"
_MOST_NAMED: Final = 8  # dots with their name beside them
_AIMS: Final = {"offline": "the most items per second", "realtime": "the soonest answer"}
_MEASURES: Final = {
    "period": "time from batch to batch, less is better",
    "makespan": "time of one batch in 9 of 10 cases, less is better",
}
_HEAD: Final = ("part", "device", "time of one batch", "90 % range", "known from", "last run")


def write_run_page(path: Path, plan: Plan) -> None:
    """Write the page; a plan that has not run yet gets no pictures."""
    facts = plan.to_json()
    body = (
        f"<h2>Where it runs, and why</h2>{_why(facts)}{_candidates(facts)}"
        f"<h2>Placements compared</h2>{_placements(facts)}"
    )
    body += f"<h2>Details</h2>{_details(facts)}"
    if plan.spans:
        body += (
            f"<h2>What ran when</h2>{_gantt(plan.spans)}{_occupancy(plan.occupancy())}"
            f"<h2>Tasks that waited for a device</h2>{_queues(plan.depths)}"
            f"<h2>Estimated and measured</h2>{_scatter(facts)}"
        )
    write_html(path, f"Plan of {plan.graph.name}", f"{_request(facts)}{body}")


def _request(facts: dict[str, Any]) -> str:
    """What was asked for."""
    batch_axis = facts["batch_axis"]
    items = f", {counted(facts['batch'], 'item')} in a batch" if batch_axis["batched"] else ""
    aim = f"Planned for {_AIMS[facts['latency']]}{items}; {batch_axis['text']}."
    return f'<p class="soft">{escape(aim)}</p>'


def _why(facts: dict[str, Any]) -> str:
    sentences = [*facts["why"], f"Plan: {facts['summary']}"]
    if facts["whole"] is not None:
        sentences.insert(-1, f"{_WHOLE}: {facts['whole']['why']}")
    sentences += deadline_verdict(facts["deadline_s"], facts["meets_deadline"])
    sentences += facts["notices"]
    return "".join(f"<p>{escape(sentence)}</p>" for sentence in sentences)


def _parts(facts: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], bool]]:
    """Name, candidate and whether it was chosen: of each stage, then of all as one."""
    for stage in facts["stages"]:
        for candidate in stage["candidates"]:
            yield stage["name"], candidate, candidate["device"] == stage["device"]
    used = set(facts["placement"].values())
    for candidate in (facts["whole"] or {}).get("candidates", ()):
        yield _WHOLE, candidate, facts["whole"]["chosen"] and candidate["device"] in used


def _candidates(facts: dict[str, Any]) -> str:
    parts = list(_parts(facts))
    rows = [(name, candidate["device"], *_costs(candidate)) for name, candidate, _ in parts]
    chosen = [number for number, (_, _, is_chosen) in enumerate(parts) if is_chosen]
    note = "In bold: chosen. Times are medians; transfers between devices are included."
    return f'{table(_HEAD, rows, chosen=chosen, name="Candidates")}<p class="soft">{note}</p>'


def _placements(facts: dict[str, Any]) -> str:
    """The plan beside the best other one and each device alone, by what decided."""
    rows = [(f"this plan: {_where(facts['placement'])}", facts["value_s"])]
    if facts["runner_up"]:
        other = facts["runner_up"]
        rows.append((f"best alternative: {_where(other['placement'])}", other["value_s"]))
    plan = facts["value_s"]
    alone = [(f"{device} alone", seconds) for device, seconds in facts["single_device_s"].items()]
    rows += [row for row in alone if len(set(facts["placement"].values())) > 1 or row[1] != plan]
    bound = facts["lower_bound_s"]
    if bound is not None:
        rows.append(("no placement can be faster than", bound))
    told = [(what, seconds, format_seconds(seconds)) for what, seconds in rows]
    measure = _MEASURES[facts["objective"]]
    return bar_chart(told, name="Placements compared", head=("placement", measure), chosen=[0])


def _details(facts: dict[str, Any]) -> str:
    """How it was decided, what moves, and where sizes turn the choice."""
    moved = facts["transfers"]
    rows = [
        ("found by", facts["rule"]),
        ("proven best for these costs", "yes" if facts["optimal"] else "no"),
        ("copies of a batch", f"{moved['to_device']} to devices, {moved['to_host']} to the host, "
                              f"{format_bytes(moved['nbytes'])}"),
    ]  # fmt: skip
    if facts["measured_value_s"] is not None:
        rows.append(("the last run's costs give", format_seconds(facts["measured_value_s"])))
    for route in facts["routes"] if len(facts["routes"]) > 1 else ():
        rows.append((f"{route['share']:.0%} of the batches", _where(route["devices"])))
    for turn in facts["crossovers"]:
        told = f"{turn['below']} costs less below {turn['batch']} items a batch, {turn['above']} "
        rows.append((turn["stage"], f"{told}from there on"))
    return table(("what", "value"), rows, name="Details")


def _where(devices: dict[str, str]) -> str:
    if len(set(devices.values())) == 1:
        return f"all on {next(iter(devices.values()))}"
    return ", ".join(f"{stage} on {device}" for stage, device in devices.items())


def _costs(candidate: dict[str, Any]) -> tuple[str, ...]:
    if candidate["refusal"]:
        return "-", "-", f"can't run it: {candidate['refusal']}", ""
    known = basis(candidate["source"], candidate["samples"])
    about = "about " if known == GUESS else ""
    moved, seen = candidate["moved_bytes"], candidate["measured_s"]
    return (
        f"{about}{format_seconds(candidate['seconds'])}".replace(" ", _FIXED_SPACE),
        interval(candidate["interval_s"]).replace(" ", _FIXED_SPACE),
        f"{known}; moves {format_bytes(moved)}" if moved else known,
        "" if seen is None else format_seconds(seen),
    )


def _gantt(spans: Sequence[Span]) -> str:
    """A lane for each task that a device can run at the same time, a bar for each task."""
    lanes = sorted({(s.device_id, s.slot) for s in spans})
    start_s = min(s.start_s for s in spans)
    whole_s = max(s.end_s for s in spans) - start_s or 1.0
    shown = sorted(spans, key=lambda s: -s.seconds)[:_MOST_BARS]
    bars = [
        Bar(
            lane=lanes.index((s.device_id, s.slot)),
            start=s.start_s - start_s,
            end=s.end_s - start_s,
            group=s.stage,
            tip=f"{s.stage}, batch {s.sequence}: {format_seconds(s.seconds)}",
        )
        for s in shown
    ]
    left_out = len(spans) - len(shown)
    note = f" The {left_out} shortest tasks are not drawn." if left_out else ""
    told = f"One row for each task that a device can run at the same time.{note}"
    return f'<p class="soft">{told}</p>' + timeline(
        bars,
        lanes=[f"{device} slot {slot}" for device, slot in lanes],
        span=(0.0, whole_s),
        name=f"What ran when: {len(shown)} tasks in {format_seconds(whole_s)}",
        x=Axis(title="time since the first task began", shown=format_seconds),
        colors=colors_of(s.stage for s in spans),
    )


def _occupancy(shares: dict[str, float]) -> str:
    rows = [(device, share, f"{share:.0%}") for device, share in shares.items()]
    return bar_chart(rows, name="How busy each device was", head=("device", "busy"))


def _queues(depths: Sequence[Depth]) -> str:
    charts = []
    for device in sorted({d.device_id for d in depths}):
        mine = [d for d in depths if d.device_id == device]
        points = [(x - mine[0].at_s, y) for a, b in pairwise(mine) for x, y in _step(a, b)]
        chart = line_chart(
            points,
            name=f"Tasks that waited for {device}",
            x=Axis(title="time since the first task waited", shown=format_seconds),
            y=Axis(title="tasks waiting, most:", shown="{:.0f}".format),
        )
        charts.append(f"<div><h3>{escape(device)}</h3>{chart}</div>")
    return f'<div class="charts">{"".join(charts)}</div>' if charts else _soft("nothing waited")


def _step(a: Depth, b: Depth) -> tuple[tuple[float, float], ...]:
    """A depth holds until the next one is noted."""
    return (a.at_s, float(a.waiting)), (b.at_s, float(a.waiting)), (b.at_s, float(b.waiting))


def _scatter(facts: dict[str, Any]) -> str:
    """Measured over estimated seconds of each part, both on a logarithmic scale."""
    found = [
        (candidate["seconds"], candidate["measured_s"], f"{name} on {candidate['device']}")
        for name, candidate, _ in _parts(facts)
        if not candidate["refusal"] and candidate["measured_s"]
    ]
    points = [
        Point(
            x=x, y=y, name=name if len(found) < _MOST_NAMED else "", tip=f"{name}: {_times(x, y)}"
        )
        for x, y, name in found
    ]
    chart = scatter(
        points,
        name="Measured against estimated time of each part",
        x=Axis(title="estimated time of one batch", shown=format_seconds),
        y=Axis(title="measured, up to", shown=format_seconds),
        logarithmic=True,
    )
    told = "A dot on the line took as long as estimated, one above it longer; logarithmic scales."
    return _soft(told) + chart if points else chart


def _times(estimated_s: float, measured_s: float) -> str:
    return f"{format_seconds(estimated_s)} estimated, {format_seconds(measured_s)} measured"


def _soft(text: str) -> str:
    return f'<p class="soft">{escape(text)}</p>'
