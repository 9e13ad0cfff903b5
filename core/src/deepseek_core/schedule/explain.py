"""Why a placement was chosen, as records for scripts and as sentences for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from deepseek_core.contracts.device import Concurrency, Estimate
from deepseek_core.contracts.units import format_bytes, format_seconds
from deepseek_core.schedule.placement import makespan_s, routes_period_s
from deepseek_core.schedule.problem import (
    Candidate,
    Crossover,
    Objective,
    Placement,
    Problem,
    StageOptions,
)

Measured = Mapping[tuple[str, str], float]
"""(stage, device) -> median seconds in the last run."""

_WORD = {
    "period": "per batch of the stream",
    "makespan": "for one batch in 9 of 10 cases",
}
_BETTER = {"period": "the rate of", "makespan": "as quick as"}


def as_json(
    problem: Problem,
    placement: Placement,
    measured: Measured,
    crossovers: Sequence[Crossover] = (),
) -> dict[str, Any]:
    """Everything about a placement: candidates, choice, rule, alternatives, crossover sizes."""
    return {
        "objective": placement.objective.value,
        "rule": placement.rule,
        "optimal": placement.optimal,
        "value_s": placement.value_s,
        "placement": dict(placement.devices),
        "routes": [{"devices": dict(d), "share": share} for d, share in placement.routes],
        "lower_bound_s": placement.lower_bound_s,
        "single_device_s": dict(placement.single_device),
        "runner_up": placement.runner_up
        and {"placement": dict(placement.runner_up[0]), "value_s": placement.runner_up[1]},
        "why": [sentence(problem, placement, stage) for stage in problem.stages],
        "summary": summary(placement),
        "measured_value_s": measured_value_s(problem, placement, measured),
        "crossovers": [attrs.asdict(c) for c in crossovers],
        "stages": [
            {
                "name": stage.name,
                "device": placement.devices[stage.name],
                "candidates": [_row(stage, c, measured) for c in stage.candidates],
            }
            for stage in problem.stages
        ],
    }


def _row(stage: StageOptions, candidate: Candidate, measured: Measured) -> dict[str, Any]:
    row: dict[str, Any] = {"device": candidate.device_id, "refusal": candidate.refusal or None}
    if candidate.estimate is not None:
        low, high = candidate.estimate.interval_s
        row |= {
            "seconds": candidate.estimate.seconds,
            "interval_s": [low, high],
            "source": candidate.estimate.source,
            "samples": candidate.estimate.samples,
            "moved_bytes": candidate.moved_bytes,
            "measured_s": measured.get((stage.name, candidate.device_id)),
        }
    return row


def sentence(problem: Problem, placement: Placement, stage: StageOptions) -> str:
    """Why this stage runs where it runs."""
    chosen = placement.devices[stage.name]
    costs = {c.device_id: c.estimate for c in stage.candidates if c.estimate is not None}
    shares = placement.shares(stage.name)
    if len(shares) > 1:
        return (
            f"{stage.name} is shared out: {_shares(shares)} of the batches, so that no device "
            f"waits: {format_seconds(placement.value_s)} {_WORD[placement.objective]}."
        )
    if stage.pinned_to:
        return f"{stage.name} runs on {chosen}: it is pinned there."
    others = {d: e for d, e in costs.items() if d != chosen}
    if not others:
        return f"{stage.name} runs on {chosen}, the only device that supports it."
    rival = min(others, key=lambda d: (others[d].seconds, d))
    mine, its = costs[chosen], others[rival]
    if mine.seconds <= its.seconds:
        return (
            f"{stage.name} runs on {chosen}, where it costs least: "
            f"{_text(mine)}, against {_text(its)} on {rival}."
        )
    return (
        f"{stage.name} runs on {chosen} ({_text(mine)}) although {rival} alone would be faster "
        f"({_text(its)}): {_obstacle(problem, placement, chosen, rival)}, "
        f"and this plan needs {format_seconds(placement.value_s)} "
        f"{_WORD[placement.objective]}{_instead(placement, rival)}."
    )


def _obstacle(problem: Problem, placement: Placement, chosen: str, rival: str) -> str:
    """Why the device that is faster alone is not the better place."""
    busy = [s.name for s in problem.stages if placement.devices[s.name] == rival]
    if busy:
        return f"{rival} is busy with {' and '.join(busy)}"
    takes = problem.concurrency.get(rival, Concurrency())
    mine = problem.concurrency.get(chosen, Concurrency())
    if takes.host_threads and (takes.host_threads > mine.host_threads or takes.slots < mine.slots):
        return (
            f"a run there occupies {takes.host_threads} of the host's {problem.host_cores} cores, "
            f"and {chosen} runs {mine.slots} at once on {mine.host_threads} each"
        )
    return "the two together are no faster"


def _shares(shares: Mapping[str, float]) -> str:
    ranked = sorted(shares.items(), key=lambda item: -item[1])
    return ", ".join(f"{device} takes {share:.0%}" for device, share in ranked)


def _instead(placement: Placement, device_id: str) -> str:
    alone = placement.single_device.get(device_id)
    return "" if alone is None else f" instead of {format_seconds(alone)} on {device_id} alone"


def _text(estimate: Estimate) -> str:
    return f"{format_seconds(estimate.seconds)} {estimate.source}"


def summary(placement: Placement) -> str:
    """The choice against the best single device, in one sentence."""
    where = ", ".join(
        f"{stage} on {' and '.join(sorted(placement.shares(stage)))}" for stage in placement.devices
    )
    text = f"{where}: {format_seconds(placement.value_s)} {_WORD[placement.objective]}"
    if placement.single_device:
        best = min(placement.single_device, key=lambda d: (placement.single_device[d], d))
        ratio = placement.single_device[best] / placement.value_s
        if ratio > 1.0005:
            text += f", {ratio:.2f}x {_BETTER[placement.objective]} {best} alone"
    return f"{text} ({placement.rule})."


def as_text(
    problem: Problem,
    placement: Placement,
    measured: Measured,
    crossovers: Sequence[Crossover] = (),
) -> str:
    """A table of candidates for each stage, and why the choice fell as it did."""
    lines = []
    for stage in problem.stages:
        lines.append(f"stage {stage.name}")
        lines += [_line(stage, placement, c, measured) for c in stage.candidates]
        lines.append(f"  why: {sentence(problem, placement, stage)}")
        lines += [f"  size: {_turn(c)}" for c in crossovers if c.stage == stage.name]
    lines.append(f"plan: {summary(placement)}")
    lines += _regret(problem, placement, measured)
    if _rests_on_priors(problem):
        lines.append(
            "note: some of these costs were never measured here; `calibrate` measures them"
        )
    return "\n".join(lines)


def _basis(estimate: Estimate) -> str:
    if estimate.samples == 0:
        return f"{estimate.source}, never measured here"
    return f"{estimate.source}, {estimate.samples} samples"


def measured_value_s(problem: Problem, placement: Placement, measured: Measured) -> float | None:
    """The objective with the last run's costs in place of the estimates; None if one is missing."""
    needed = {pair for devices, _ in placement.routes for pair in devices.items()}
    if not needed <= measured.keys():
        return None
    routes = [
        (tuple(_measured(device, measured[stage, device]) for stage, device in devices.items()), w)
        for devices, w in placement.routes
    ]
    if placement.objective is Objective.PERIOD:
        return routes_period_s(problem, routes)
    return makespan_s(problem, routes[0][0])


def _measured(device_id: str, seconds: float) -> Candidate:
    estimate = Estimate(seconds=seconds, sigma=0.0, source="measured")
    return Candidate(device_id=device_id, estimate=estimate)


def _regret(problem: Problem, placement: Placement, measured: Measured) -> list[str]:
    """The best alternative, and what the last run says of the estimate."""
    lines = []
    if placement.runner_up is not None:
        other, seconds = placement.runner_up
        changed = {s: d for s, d in other.items() if placement.shares(s) != {d: 1.0}}
        where = ", ".join(f"{s} on {d}" for s, d in changed.items())
        more = 100 * (seconds / placement.value_s - 1)
        lines.append(
            f"best alternative: {where}: {format_seconds(seconds)} estimated ({more:+.0f} %)"
        )
    seen = measured_value_s(problem, placement, measured)
    if seen is not None:
        lines.append(
            f"last run: {format_seconds(seen)} measured, "
            f"{format_seconds(placement.value_s)} estimated"
        )
    return lines


def _turn(crossover: Crossover) -> str:
    return (
        f"below {crossover.batch} items a batch {crossover.below} costs less, "
        f"from there on {crossover.above}"
    )


def _rests_on_priors(problem: Problem) -> bool:
    """Whether a stage has a choice and a candidate for it was never measured."""
    able = [[c.estimate for c in stage.candidates if c.estimate] for stage in problem.stages]
    return any(len(row) > 1 and any(e.source == "prior" for e in row) for row in able)


def _line(stage: StageOptions, placement: Placement, c: Candidate, measured: Measured) -> str:
    mark = "->" if c.device_id in placement.shares(stage.name) else "  "
    if c.estimate is None:
        return f"  {mark} {c.device_id:<18} -          refused: {c.refusal}"
    low, high = map(format_seconds, c.estimate.interval_s)
    text = (
        f"  {mark} {c.device_id:<18} {format_seconds(c.estimate.seconds):>8}   "
        f"90 %: {low} to {high}   {_basis(c.estimate)}"
    )
    if c.moved_bytes:
        text += f"   moves {format_bytes(c.moved_bytes)}"
    seen = measured.get((stage.name, c.device_id))
    return text if seen is None else f"{text}   last run {format_seconds(seen)}"
