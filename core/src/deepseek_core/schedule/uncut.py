"""Why a model that one device can run whole is cut, or is not."""

from __future__ import annotations

from collections.abc import Mapping

from deepseek_core.contracts.units import format_seconds
from deepseek_core.schedule.problem import Candidate, Objective, Placement, Problem

_CALIBRATE = "`ds-sdk calibrate` measures it"


def reason(problem: Problem, placement: Placement) -> str:
    """One sentence."""
    if problem.whole is None:
        return ""
    if not placement.is_uncut(problem):
        return _why_cut(problem, placement)
    if placement.runner_up is None or len(set(placement.runner_up[0].values())) == 1:
        return _why_no_cut(problem)
    where, seconds = placement.runner_up
    told = _where(where, placement.devices)
    if seconds >= placement.value_s:
        here = format_seconds(placement.value_s)
        return f"a cut does not pay: with {told} {_value(placement, seconds)}, not {here}."
    if not _is_measured(problem, placement, where):
        return f"with {told} {_value(placement, seconds)}, but that rests on guesses; {_CALIBRATE}."
    gain = 1 - seconds / placement.value_s
    return f"a cut with {told} would save {gain:.0%}, less than such estimates are off."


def _why_cut(problem: Problem, placement: Placement) -> str:
    assert problem.whole is not None
    able = {
        c.device_id: placement.single_device[c.device_id]
        for c in problem.whole.candidates
        if c.estimate is not None and c.device_id in placement.single_device
    }
    if able:
        best = min(able, key=lambda device: (able[device], device))
        told = _value(placement, placement.value_s)
        return f"a cut pays: {told}, against {format_seconds(able[best])} uncut on {best}."
    if any(stage.pinned_to for stage in problem.stages):
        return "no device that the pins allow can run all of it."
    told = "; ".join(f"{c.device_id}: {c.refusal}" for c in problem.whole.candidates if c.refusal)
    return f"no device can run all of it ({told})."


def _why_no_cut(problem: Problem) -> str:
    able = [c for stage in problem.stages for c in stage.eligible() if c.estimate is not None]
    if len({c.device_id for c in able}) == 1:
        return "no other device can run a part of it."
    if not all(c.is_founded for c in able):
        return f"what its parts cost elsewhere was not measured yet; {_CALIBRATE}."
    return "no cut is estimated to be faster."


def _value(placement: Placement, seconds: float) -> str:
    if placement.objective is Objective.PERIOD:
        return f"one batch every {format_seconds(seconds)}"
    return f"one batch takes up to {format_seconds(seconds)}"


def _is_measured(problem: Problem, placement: Placement, where: Mapping[str, str]) -> bool:
    """Whether both the whole and the cut rest on measurements."""
    parts: list[Candidate | None] = [problem.whole_on(next(iter(placement.used())))]
    for stage in problem.stages:
        parts += [c for c in stage.candidates if c.device_id == where[stage.name]]
    return all(part is not None and part.is_founded for part in parts)


def _where(devices: Mapping[str, str], mine: Mapping[str, str]) -> str:
    """The stages that would run elsewhere."""
    return ", ".join(f"{s} on {d}" for s, d in devices.items() if d != mine.get(s))
