"""Which rate: a range test for where to look, a race of a few, and proof that one holds.

The range test raises the rate from step to step (Smith, "Cyclical learning rates for training
neural networks", WACV 2017): where the loss is lowest, a training is near the edge. It does not
say which rate ends best, so rates around it race: all train for a while from the same weights and
on the same samples, the better half goes on (successive halving, Jamieson and Talwalkar, AISTATS
2016). What counts is the loss over samples that are held out.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from typing import Final

import attrs

from deepseek_observe.tune.errors import NeverFalls
from deepseek_observe.tune.problem import Moment, Problem, kept, restore
from deepseek_observe.tune.samples import Numbers, Stream

LOWEST, HIGHEST = 1e-6, 30.0
SWEPT: Final = 150  # steps of a range test
_SMOOTH: Final = 0.8
_STILL: Final = 9  # steps whose rates are too low to change anything
_ABOVE: Final = 4.0  # a loss so many times the lowest has diverged
_AROUND: Final = (0.5, 0.25, 0.125, 0.0625)
_RUNGS: Final = ((1 / 6, 50, 2), (1.0, 300, 1))
"""Share of the longest contestant's steps, the least steps, and how many go on."""
_LOWER: Final = (1.0, 1 / 16, 1 / 256)
_MORE: Final = 6  # rates beyond those around the edge, where the best is the outermost
COST: Final = 4 / 6 + 2 * 5 / 6
"""Samples of a race, in those of its longest contestant."""
Tell = Callable[[str], None]


@attrs.frozen(kw_only=True)
class Sweep:
    """A range test: the loss before each step, and the rate where it was lowest, smoothed."""

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    edge: float


@attrs.define(kw_only=True, eq=False)
class Contestant:
    """One rate of a race. `loss` is held out, `steps` were trained; one that diverges has inf."""

    rate: float
    loss: float
    error: float = 0.0
    steps: int = 0
    moment: Moment | None = None


@attrs.frozen(kw_only=True)
class Trial:
    """What one rate came to."""

    rate: float
    loss: float
    steps: int


@attrs.frozen(kw_only=True, eq=False)
class Race:
    """Trials in falling rate; the weights of the best stay in the problem."""

    best: float
    cap: float
    start_loss: float
    trials: tuple[Trial, ...]


def sweep(problem: Problem, stream: Stream, batch: int, steps: int = SWEPT) -> Sweep:
    """Raise the rate from step to step until the loss has diverged.

    Raises:
        NeverFalls: the loss is not finite from the start.
    """
    ratio = (HIGHEST / LOWEST) ** (1 / (steps - 1))
    losses: list[float] = []
    levels: list[float] = []
    smooth = 0.0
    for number in range(steps):
        loss = problem.step(stream.take(batch), LOWEST * ratio**number)
        if not math.isfinite(loss):
            break
        losses.append(loss)
        smooth = _SMOOTH * smooth + (1 - _SMOOTH) * loss
        levels.append(smooth / (1 - _SMOOTH ** (number + 1)))
        lowest = max(abs(min(levels)), abs(losses[0]) / 100)
        if number > _STILL and abs(levels[-1]) > _ABOVE * lowest:
            break
    if not losses:
        raise NeverFalls(
            "the loss is not finite before the first step",
            remedy="look at the samples, at the loss, and at how the weights begin",
        )
    rates = tuple(LOWEST * ratio**number for number in range(len(losses)))
    return Sweep(
        rates=rates, losses=tuple(losses), edge=float(f"{rates[_edge(losses, levels)]:.2g}")
    )


def _edge(losses: Sequence[float], levels: Sequence[float]) -> int:
    """The last step whose level is the lowest but for noise, as the first losses tell it."""
    still = losses[: _STILL + 1]
    noise = statistics.stdev(still) * math.sqrt((1 - _SMOOTH) / (1 + _SMOOTH)) if still[1:] else 0.0
    least = min(levels) + noise
    return max(number for number, level in enumerate(levels) if level <= least)


@attrs.frozen(kw_only=True)
class Course:
    """What all contestants run: batches of `batch`, up to `steps` steps, on `train`.

    `factors` are what the training's own schedule makes of the rate, over its whole length: a run
    goes through all of it, as short as it is.
    """

    batch: int
    steps: int
    train: Numbers
    held: Numbers
    seed: int
    factors: tuple[float, ...] = ()

    def rate(self, peak: float, step: int, steps: int) -> float:
        """The rate of a step out of `steps`, where the highest is `peak`."""
        return peak * self.factors[step * len(self.factors) // steps] if self.factors else peak


def steps_of(samples: int, batch: int, total: int | None, *, is_asked: bool) -> int:
    """Steps of the longest contestant, where all together have `samples`.

    Some hundred at least, as short runs favor high rates, unless the user has asked for less; none
    longer than the training, `total`.
    """
    steps = int(samples / COST / batch)
    if steps < _RUNGS[0][1]:  # all run as long
        steps = samples // len(_AROUND) // batch
    if not is_asked:
        steps = max(steps, _RUNGS[-1][1])
    return max(1, steps if total is None else min(steps, total // batch))


def race(
    problem: Problem,
    rates: Sequence[float],
    course: Course,
    tell: Tell = lambda text: None,
) -> Race:
    """Let rates train side by side; of those that end alike the lowest wins.

    Where all diverge in the end, lower ones race.

    Raises:
        NeverFalls: no rate brings the held-out loss below that of the beginning.
    """
    for factor in _LOWER:
        found = _raced(problem, [rate * factor for rate in rates], course, tell)
        if found is not None:
            return found
    raise NeverFalls(
        f"no rate from {min(rates) * _LOWER[-1]:.2g} to {max(rates):.2g} brings the loss over "
        "samples that are held out below that of the beginning",
        remedy="check the labels and the loss on a few samples that the model should learn by "
        "heart; give --samples if it only needs longer",
    )


def _raced(problem: Problem, rates: Sequence[float], course: Course, tell: Tell) -> Race | None:
    """The race of these rates; None if no loss has fallen."""
    begin = kept(problem)
    start_loss = problem.evaluated(course.held).loss
    running = [Contestant(rate=rate, loss=start_loss, moment=begin) for rate in rates]
    streams: dict[float, Stream] = {}
    done: list[Trial] = []

    def run(one: Contestant, steps: int) -> None:
        tell(f"rate {one.rate:.2g}")
        stream = streams.setdefault(one.rate, Stream(course.train, course.seed))
        _go_on(problem, one, stream, steps, course)

    for number, (share, least, left) in enumerate(_RUNGS):
        steps = min(course.steps, max(least, round(course.steps * share)))
        for one in running:
            run(one, steps)
        if number == 0:
            _widen(running, run, steps, Contestant(rate=0.0, loss=start_loss, moment=begin))
        running = _ranked(running) if left == 1 else sorted(running, key=lambda one: one.loss)
        done += [_trial(one) for one in running[left:]]
        running = [one for one in running[:left] if one.loss < math.inf]
        if not running:
            break
    if not running or not running[0].loss < start_loss:
        restore(problem, begin)
        return None
    best = running[0]
    assert best.moment is not None
    restore(problem, best.moment)
    trials = sorted([*done, _trial(best)], key=lambda one: -one.rate)
    cap = max(one.rate for one in trials if one.loss < start_loss)
    return Race(best=best.rate, cap=cap, start_loss=start_loss, trials=tuple(trials))


def _widen(
    running: list[Contestant], run: Callable[[Contestant, int], None], steps: int, new: Contestant
) -> None:
    """Add rates beyond the outermost one as long as that is the best; `new` is at the start."""
    for _ in range(_MORE):
        ordered = sorted(running, key=lambda one: one.rate)
        best = min(ordered, key=lambda one: one.loss)
        if best.loss >= new.loss:  # nothing falls: all are too high
            rate = ordered[0].rate / 4
        elif best is ordered[0]:
            rate = best.rate / 2
        elif best is ordered[-1]:
            rate = best.rate * 2
        else:
            return
        running.append(attrs.evolve(new, rate=rate))
        run(running[-1], steps)


def _ranked(running: list[Contestant]) -> list[Contestant]:
    """The best first: the lowest rate within one standard error of the lowest loss.

    It is the one that gains most in a longer training. The rule is that of Breiman et al.,
    "Classification and regression trees" (1984), section 3.4.3.
    """
    first = min(running, key=lambda one: one.loss)
    alike = [one for one in running if one.loss <= first.loss + first.error]
    best = min(alike or running, key=lambda one: one.rate)
    return [best, *(one for one in running if one is not best)]


def rates_around(edge: float, given: float | None) -> list[float]:
    """Rates to race, and the user's own, if it is none of them."""
    found = [edge * factor for factor in _AROUND]
    if given and all(abs(given / rate - 1) > 0.1 for rate in found):
        found.append(given)
    return found


def _trial(one: Contestant) -> Trial:
    return Trial(rate=one.rate, loss=one.loss, steps=one.steps)


def _go_on(problem: Problem, one: Contestant, stream: Stream, steps: int, course: Course) -> None:
    """Train until `steps`."""
    assert one.moment is not None
    restore(problem, one.moment)
    while one.steps < steps:
        rate = course.rate(one.rate, one.steps, course.steps)
        if not math.isfinite(problem.step(stream.take(course.batch), rate)):
            one.loss = math.inf
            return
        one.steps += 1
    found = problem.evaluated(course.held)
    one.loss = found.loss if math.isfinite(found.loss) else math.inf
    one.error = found.error
    one.moment = kept(problem)


def holds(problem: Problem, rates: Sequence[float], course: Course) -> bool:
    """Whether a training with these rates, one a step, stays finite and ends below its start.

    The weights are as before afterwards.
    """
    begin = kept(problem)
    stream = Stream(course.train, course.seed)
    start_loss = problem.evaluated(course.held).loss
    try:
        for rate in rates:
            if not math.isfinite(problem.step(stream.take(course.batch), rate)):
                return False
        return problem.evaluated(course.held).loss < start_loss
    finally:
        restore(problem, begin)
