"""What was placed where, and why, in sentences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from deepseek_core.contracts.device import Concurrency, Estimate
from deepseek_core.contracts.units import counted, format_seconds
from deepseek_core.schedule.alone import ALONE
from deepseek_core.schedule.belief import believed
from deepseek_core.schedule.problem import Objective, Placement, Problem, StageOptions

GUESS: Final = "a guess; not measured yet"
_GUESSED: Final = "prior"
MODELED: Final = "model"
"""Evidence of a device that is not there, or only stands for one."""
_BETTER: Final = {"period": "the rate of", "makespan": "as quick as"}
_MOST_NAMED: Final = 2  # stages that a sentence names


def sentence(problem: Problem, placement: Placement, stage: StageOptions) -> str:
    """Why this stage runs where it runs."""
    shares = placement.shares(stage.name)
    if len(shares) > 1:
        told = _shares(shares)
        return f"{stage.name} is shared out: {told} of the batches, so that no device waits."
    here = f"{stage.name} runs on {placement.devices[stage.name]}"
    if placement.is_uncut(problem):
        return f"{here}, uncut with the rest of the model."
    if stage.pinned_to:
        return f"{here}: it is pinned there."
    return f"{here}{_because(problem, placement, stage)}."


def _because(problem: Problem, placement: Placement, stage: StageOptions) -> str:
    """What speaks for the chosen device against the cheapest other one."""
    costs = {c.device_id: c.estimate for c in stage.candidates if c.estimate is not None}
    mine = costs.pop(placement.devices[stage.name])
    if not costs:
        return ALONE
    rival = min(costs, key=lambda d: (costs[d].seconds, d))
    its = costs[rival]
    if mine.seconds <= its.seconds:
        return f", where it costs least: {_against(mine, its, rival)}"
    if not _counts(problem, stage, rival):
        return (
            f" ({_text(mine)}); {rival} may be faster (about {format_seconds(its.seconds)}), "
            "but that is a guess: `ds-sdk calibrate` measures it"
        )
    about = "about " if is_guess(mine) or is_guess(its) else ""
    versus = _once(format_seconds(its.seconds), "vs", format_seconds(mine.seconds))
    obstacle = _obstacle(problem, placement, stage.name, rival)
    return f": {rival} is faster alone ({about}{versus}) but {obstacle}"


def against(problem: Problem, placement: Placement, stage: StageOptions, rival: str) -> str:
    """What a stage would take on a device that can run it, and what speaks against that."""
    costs = {c.device_id: c.estimate for c in stage.candidates if c.estimate is not None}
    its = costs[rival]
    text = f"{'about ' if is_guess(its) else ''}{format_seconds(its.seconds)}"
    if stage.pinned_to and rival not in stage.pinned_to:
        return f"{text} (pinned elsewhere)"
    mine = costs.get(placement.devices[stage.name])
    if mine is None or its.seconds >= mine.seconds:
        return f"{text} (a guess)" if is_guess(its) else text
    if not _counts(problem, stage, rival):
        return f"{text} (a guess)"
    obstacle = _obstacle(problem, placement, stage.name, rival)
    return f"{text} alone, which is faster, but it {obstacle}"


def _counts(problem: Problem, stage: StageOptions, device_id: str) -> bool:
    """Whether the choice could have fallen on this device."""
    (row,) = (row for row in believed(problem).stages if row.name == stage.name)
    return any(c.device_id == device_id for c in row.candidates)


def _all_count(problem: Problem) -> bool:
    """Whether the choice could have fallen on any device that is able."""
    return all(
        _counts(problem, stage, c.device_id)
        for stage in problem.stages
        for c in stage.eligible()
        if c.estimate is not None
    )


def _obstacle(problem: Problem, placement: Placement, stage: str, rival: str) -> str:
    """Why the device that is faster alone is not the better place."""
    busy = [s.name for s in problem.stages if placement.devices[s.name] == rival]
    if busy:
        return f"is busy with {_named(busy)}"
    chosen = placement.devices[stage]
    takes = problem.concurrency.get(rival, Concurrency())
    mine = problem.concurrency.get(chosen, Concurrency())
    others = [s.name for s in problem.stages if s.name != stage]
    better = f"sharing {chosen} is faster overall"
    if takes.host_threads > mine.host_threads:
        cores = _cores(takes.host_threads, problem.host_cores)
        if others:
            return f"takes {cores}, so {_named(others)} would wait; {better}"
        return f"takes {cores}, and {chosen} runs {mine.slots} batches at once"
    if takes.host_threads and takes.slots < mine.slots:
        return f"runs {takes.slots} at once, {chosen} {mine.slots}; {better}"
    return "the two together are no faster"


def _cores(count: int, of_all: int) -> str:
    if count < of_all:
        return f"{count} of {of_all} CPU cores"
    return {1: "the CPU core", 2: "both CPU cores"}.get(of_all, f"all {of_all} CPU cores")


def _named(stages: Sequence[str]) -> str:
    if len(stages) > _MOST_NAMED:
        return f"{len(stages)} other stages"
    return " and ".join(stages)


def _shares(shares: Mapping[str, float]) -> str:
    ranked = sorted(shares.items(), key=lambda item: -item[1])
    return ", ".join(f"{device} takes {share:.0%}" for device, share in ranked)


def is_guess(estimate: Estimate) -> bool:
    """Whether nothing was measured that it could rest on."""
    return estimate.source == _GUESSED


def _text(estimate: Estimate) -> str:
    seconds = format_seconds(estimate.seconds)
    return f"about {seconds} ({GUESS})" if is_guess(estimate) else seconds


def _against(mine: Estimate, its: Estimate, rival: str) -> str:
    if is_guess(mine) and is_guess(its):
        low, high = format_seconds(mine.seconds), format_seconds(its.seconds)
        return f"about {low}, against about {high} on {rival} (guesses; not measured yet)"
    return f"{_text(mine)}, against {_text(its)} on {rival}"


def cost(estimate: Estimate) -> tuple[str, str]:
    """`about 12 ms`, and what that is known from."""
    about = "about " if is_guess(estimate) else ""
    known = basis(estimate.source, estimate.samples)
    return f"{about}{format_seconds(estimate.seconds)}", known


def interval(bounds_s: Iterable[float]) -> str:
    """`2.6 to 70 us`: to two digits."""
    low, high = (format_seconds(float(f"{bound:.2g}")) for bound in bounds_s)
    return _once(low, "to", high)


def basis(source: str, samples: int) -> str:
    """What an estimate rests on: the `source` that it names, and how many measurements."""
    if source == _GUESSED:
        return GUESS
    if samples == 0:
        return "the device's own formula; not measured here"
    others = " at other batch sizes" if source == "model" else ""
    return f"measured{others}, {counted(samples, 'sample')}"


def _once(first: str, word: str, second: str) -> str:
    """`12.6 vs 18.4 ms`: the unit once where it is the same."""
    number, _, unit = first.partition(" ")
    return f"{number if second.endswith(f' {unit}') else first} {word} {second}"


def summary(problem: Problem, placement: Placement) -> str:
    """The choice against the best single device."""
    return f"{where(placement)}. {outcome(problem, placement)}"


def where(placement: Placement) -> str:
    """The devices, of each stage where they differ."""
    used = placement.used()
    if len(used) == 1 and len(placement.devices) > 1:
        return f"all stages on {next(iter(used))}"
    return ", ".join(
        f"{stage} on {' and '.join(sorted(placement.shares(stage)))}" for stage in placement.devices
    )


def outcome(problem: Problem, placement: Placement) -> str:
    """What the placement gives, how sure that is, and how much more than one device alone."""
    text = value(placement)
    if any(is_guess(e) for e in rests_on(problem, placement)):
        text += f" ({GUESS})"
    elif placement.optimal and _all_count(problem):
        text += " (optimal for these costs)"
    elif not placement.optimal and not placement.is_uncut(problem):
        text += " (not proven optimal)"
    text += gain(placement)
    told = modeled(problem, placement)
    if told:
        text += f" (evidence of {', '.join(told)}: {MODELED}; it was not measured on a device)"
    return f"{text}."


def gain(placement: Placement) -> str:
    """`, 1.6x the rate of cpu:0 alone`; nothing where one device does as well."""
    if not placement.single_device or not placement.value_s:
        return ""
    best = min(placement.single_device, key=lambda d: (placement.single_device[d], d))
    ratio = placement.single_device[best] / placement.value_s
    return f", {ratio:.2f}x {_BETTER[placement.objective]} {best} alone" if ratio > 1.0005 else ""


def modeled(problem: Problem, placement: Placement) -> list[str]:
    """The devices of a placement whose figures are those of a model."""
    used = placement.used()
    rows = [*problem.stages, *([problem.whole] if problem.whole else [])]
    found = {c.device_id for s in rows for c in s.candidates if c.evidence == MODELED}
    return sorted(found & set(used))


def value(placement: Placement) -> str:
    """What a placement gives: how often a batch is done, or how long one takes."""
    seconds = format_seconds(placement.value_s)
    if placement.objective is Objective.PERIOD:
        return f"Steady state: one batch every {seconds}"
    return f"One batch takes up to {seconds} in 9 of 10 cases"


def rests_on(problem: Problem, placement: Placement) -> list[Estimate]:
    """The estimates that the value was computed from."""
    if placement.is_uncut(problem):
        whole = problem.whole_on(next(iter(placement.used())))
        return [whole.estimate] if whole is not None and whole.estimate is not None else []
    return [
        c.estimate
        for stage in problem.stages
        for c in stage.candidates
        if c.estimate is not None and c.device_id in placement.shares(stage.name)
    ]
