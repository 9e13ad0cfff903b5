"""Why a placement was chosen, as records for scripts and as sentences for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from deepseek_core.contracts.device import Estimate
from deepseek_core.contracts.units import format_bytes, format_seconds
from deepseek_core.schedule import uncut
from deepseek_core.schedule.joined import unit_name, units
from deepseek_core.schedule.problem import (
    Candidate,
    Crossover,
    Objective,
    Placement,
    Problem,
    StageOptions,
)
from deepseek_core.schedule.sentences import (
    MODELED,
    basis,
    interval,
    is_guess,
    outcome,
    sentence,
    summary,
    where,
)
from deepseek_core.schedule.value import cost_s, makespan_s, routes_period_s

Measured = Mapping[tuple[str, str], float]
"""(stage, device) -> median seconds in the last run."""


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
        "whole": _whole_json(problem, placement, measured),
        "why": [sentence(problem, placement, stage) for stage in problem.stages],
        "summary": summary(problem, placement),
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


def _whole_json(
    problem: Problem, placement: Placement, measured: Measured
) -> dict[str, Any] | None:
    if problem.whole is None:
        return None
    return {
        "chosen": placement.is_uncut(problem),
        "why": uncut.reason(problem, placement),
        "candidates": [_row(problem.whole, c, measured) for c in problem.whole.candidates],
    }


def _row(stage: StageOptions, candidate: Candidate, measured: Measured) -> dict[str, Any]:
    row: dict[str, Any] = {
        "device": candidate.device_id,
        "evidence": candidate.evidence or None,
        "refusal": candidate.refusal or None,
    }
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
        here = placement.shares(stage.name)
        lines += [
            _line(stage, placement, c, measured, is_chosen=c.device_id in here)
            for c in stage.candidates
        ]
        lines.append(f"  why: {sentence(problem, placement, stage)}")
        lines += [f"  size: {_turn(c)}" for c in crossovers if c.stage == stage.name]
    if problem.whole is not None:
        lines.append("whole model, uncut")
        lines += [
            _line(problem.whole, placement, c, measured, is_chosen=placement.is_uncut(problem))
            for c in problem.whole.candidates
        ]
        lines.append(f"  why: {uncut.reason(problem, placement)}")
    lines += [f"plan: {where(placement)}", f"  {outcome(problem, placement)}"]
    lines += _regret(problem, placement, measured)
    if _rests_on_priors(problem):
        lines.append("note: some of these costs are guesses; `ds-sdk calibrate` measures them")
    return "\n".join(lines)


def measured_value_s(problem: Problem, placement: Placement, measured: Measured) -> float | None:
    """The objective with the last run's costs in place of the estimates; None if one is missing."""
    names = [stage.name for stage in problem.stages]
    routes = []
    for devices, share in placement.routes:
        ran = _as_run(names, devices, measured)
        if not {(name, device) for name, device in ran} <= measured.keys():
            return None
        routes.append((tuple(_measured(d, measured[name, d]) for name, d in ran), share))
    if len(routes[0][0]) < len(names) and placement.objective is Objective.MAKESPAN:
        return sum(cost_s(c, placement.objective) for c in routes[0][0])
    if placement.objective is Objective.PERIOD:
        return routes_period_s(problem, routes)
    return makespan_s(problem, routes[0][0], placement.order, placement.holds)


def _as_run(
    names: Sequence[str], devices: Mapping[str, str], measured: Measured
) -> list[tuple[str, str]]:
    """What ran as one, by name, with its device: joined stages where they were joined."""
    found: list[tuple[str, str]] = []
    for group in units(names, devices):
        device = devices[group[0]]
        joined = unit_name(group), device
        found += [joined] if joined in measured else [(name, device) for name in group]
    return found


def _measured(device_id: str, seconds: float) -> Candidate:
    estimate = Estimate(seconds=seconds, sigma=0.0, source="measured")
    return Candidate(device_id=device_id, estimate=estimate)


def _regret(problem: Problem, placement: Placement, measured: Measured) -> list[str]:
    """The best alternative, and what the last run says of the estimate."""
    lines = []
    if placement.runner_up is not None:
        other, seconds = placement.runner_up
        changed = {s: d for s, d in other.items() if placement.shares(s) != {d: 1.0}}
        there = ", ".join(f"{s} on {d}" for s, d in changed.items())
        more = f" ({100 * (seconds / placement.value_s - 1):+.0f} %)" if placement.value_s else ""
        lines.append(f"best alternative: {there}: {format_seconds(seconds)} estimated{more}")
    seen = measured_value_s(problem, placement, measured)
    if seen is not None:
        estimated = f"{format_seconds(placement.value_s)} estimated"
        if placement.objective is Objective.MAKESPAN:
            lines.append(f"last run: median {format_seconds(seen)}; 9 of 10 within {estimated}")
        else:
            lines.append(f"last run: {format_seconds(seen)} measured, {estimated}")
    return lines


def _turn(crossover: Crossover) -> str:
    return (
        f"{crossover.below} costs less below {crossover.batch} items a batch, "
        f"{crossover.above} from there on"
    )


def _rests_on_priors(problem: Problem) -> bool:
    """Whether a stage has a choice and a candidate for it was never measured."""
    able = [[c.estimate for c in stage.candidates if c.estimate] for stage in problem.stages]
    return any(len(row) > 1 and any(e.source == "prior" for e in row) for row in able)


def _line(
    stage: StageOptions,
    placement: Placement,
    c: Candidate,
    measured: Measured,
    *,
    is_chosen: bool = True,
) -> str:
    mark = "->" if is_chosen and c.device_id in placement.used() else "  "
    if c.estimate is None:
        return f"  {mark} {c.device_id:<18} {'-':>13}   refused: {c.refusal}"
    about = "about " if is_guess(c.estimate) else ""
    seconds = f"{about}{format_seconds(c.estimate.seconds)}"
    text = (
        f"  {mark} {c.device_id:<18} {seconds:>13}   "
        f"{interval(c.estimate.interval_s)} (90 % range)   "
        f"{basis(c.estimate.source, c.estimate.samples)}"
    )
    if c.evidence == MODELED:
        text += f"   evidence: {MODELED}"
    if c.moved_bytes:
        text += f"   moves {format_bytes(c.moved_bytes)}"
    seen = measured.get((stage.name, c.device_id))
    return text if seen is None else f"{text}   last run {format_seconds(seen)}"
