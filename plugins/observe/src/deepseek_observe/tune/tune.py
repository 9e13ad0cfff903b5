"""Tune a training: what fits, what its gradients' noise says, which rate, in that order."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Final

import attrs
from torch import nn
from torch.optim import SGD

from deepseek_core import errors
from deepseek_observe.tune.agree import Ranks
from deepseek_observe.tune.decay import after_warmup
from deepseek_observe.tune.errors import Diverges
from deepseek_observe.tune.fits import Fits, Prober, Verdict, available_nbytes, largest
from deepseek_observe.tune.noise import MOST_DRAWS, PIECES, NoiseScale, measured_noise
from deepseek_observe.tune.plan import (
    Base,
    BatchPlan,
    chosen_batch,
    divided,
    plan_batch,
    rates_of,
)
from deepseek_observe.tune.problem import Problem, check_mean, kept, restore
from deepseek_observe.tune.rates import (
    SWEPT,
    Course,
    Race,
    Tell,
    holds,
    race,
    rates_around,
    steps_of,
    sweep,
)  # fmt: skip
from deepseek_observe.tune.samples import Stream
from deepseek_observe.tune.search import Best, search, space_of
from deepseek_observe.tune.target import Target, open_target

SMALL: Final = 64
"""The base where nobody names a batch."""
WASTE: Final = 0.1
_EPOCHS: Final = 3  # samples of a race where the length of the training is not known
_PART: Final = 4  # of the samples of a race, that noise and the range test may take each
_LEAST_SWEPT: Final = 30
_RANGE: Final = 32
_NOISE_BATCH: Final = 32
_HELD_STEPS: Final = 20
_HALVINGS: Final = 6
_DOUBLED: Final = 16  # samples of the check for sums
_NORMS: Final = nn.modules.batchnorm._BatchNorm


@attrs.frozen(kw_only=True)
class Wanted:
    """What the user asks for; None where it is to be found.

    `low` to `high` samples a step on all `devices`, `rate` to be held to, `nbytes` and `limit_s`
    of a try, `waste` of samples for a larger batch, `samples` of the race, `trials` of a search
    that the file `study` holds, `seed` of all draws.
    """

    low: int | None = None
    high: int | None = None
    rate: float | None = None
    devices: int | None = None
    nbytes: int | None = None
    limit_s: float = 300.0
    waste: float = WASTE
    samples: int | None = None
    trials: int = 0
    study: Path | None = None
    seed: int = 0


@attrs.frozen(kw_only=True)
class Outcome:
    """What was found. `seen` are samples that were trained on, `notes` what else to know.

    `fits` is what one device computes at once; `is_all`: more was not asked for; `is_given`: the
    batch was.
    """

    plan: BatchPlan
    base: Base
    fits: int
    is_all: bool
    is_given: bool
    devices: int
    noise_at_start: NoiseScale
    noise: NoiseScale
    race: Race
    search: Best | None
    seen: int
    notes: tuple[str, ...]


@attrs.frozen(kw_only=True)
class _Frame:
    """Where to look: batches of all `devices`, and the `base` that rates race with."""

    base: int
    low: int
    high: int
    devices: int


def tune(
    text: str, wanted: Wanted, tell: Tell = lambda text: None
) -> tuple[Target, Outcome] | None:
    """Tune what `text` names; None on a rank that only had to say what fits.

    Raises:
        ConfigError, InputError: what can't be, or fails; `Diverges`, `NeverFalls`, `NeverFits`.
    """
    ranks = Ranks(2 * wanted.limit_s + 60)
    try:
        with Prober(text, seed=wanted.seed, limit_s=wanted.limit_s) as prober:
            target = open_target(text, wanted.seed)
            frame = _frame(target, wanted, wanted.devices or ranks.size)
            nbytes = wanted.nbytes
            if nbytes is None and target.problem.device.type == "cpu":
                nbytes = available_nbytes(ranks.local)

            def tried(batch: int) -> Verdict:
                tell(f"whether {batch} samples fit")
                return prober.fits(batch, nbytes)

            fits = _largest(ranks.together(tried), target.problem, frame)
    finally:
        ranks.leave()
    if ranks.rank:
        return None
    return target, _tuned(target, wanted, frame, fits, tell)


def _frame(target: Target, wanted: Wanted, devices: int) -> _Frame:
    length = len(target.problem.data.divided(wanted.seed)[0])
    usual = min(target.batch or SMALL, length)
    low = usual if wanted.low is None else wanted.low
    high = wanted.high
    if high is None:
        high = max(low, min(_RANGE * low, length // 10))
    if high > length:
        raise errors.InputError(
            f"a batch of {high} needs more than the {length} samples that there are, without "
            "those that are held out",
            remedy=f"--batch {low}:{length}, or more data" if low < length else f"--batch {length}",
        )
    if high < devices:
        raise errors.ConfigError(
            f"a batch of {high} can't be shared by {devices} devices",
            remedy=f"--batch {devices}:{64 * devices}",
        )
    if wanted.rate is not None and (wanted.low is None or low != high):
        raise errors.ConfigError(
            "--rate is of one batch", remedy=f"--batch {low} --rate {wanted.rate:g}"
        )
    return _Frame(base=min(usual, low), low=max(low, devices), high=high, devices=devices)


def _largest(fits: Fits, problem: Problem, frame: _Frame) -> int:
    """What one device computes at once."""
    most = math.ceil(frame.high / frame.devices)
    return largest(fits, min(2 if has_batch_norm(problem) else 1, most), most)


def _tuned(target: Target, wanted: Wanted, frame: _Frame, fits: int, tell: Tell) -> Outcome:
    problem, seed = target.problem, wanted.seed
    problem.micro = fits
    train, held = problem.data.divided(seed)
    check_mean(problem, train[:_DOUBLED])
    begin = kept(problem)
    stream = Stream(train, seed)
    small = min(_NOISE_BATCH, frame.base)
    tell("noise of the gradient")
    samples = wanted.samples or target.samples or _EPOCHS * len(train)
    draws = max(3, min(MOST_DRAWS, samples // _PART // (PIECES * small)))
    first = measured_noise(problem, stream, small, most_draws=draws)
    tell("range of rates")
    steps = max(_LEAST_SWEPT, min(SWEPT, samples // _PART // frame.base))
    swept = sweep(problem, stream, frame.base, steps)
    restore(problem, begin)
    course = Course(
        batch=frame.base,
        steps=steps_of(samples, frame.base, target.samples, is_asked=wanted.samples is not None),
        train=train,
        held=held,
        seed=seed,
        factors=target.recipe.factors(target.samples) if target.recipe is not None else (),
    )
    own = target.rate if target.batch == frame.base else None
    found = race(problem, rates_around(swept.edge, own), course, tell)
    tell("noise of the gradient")
    noise = measured_noise(problem, stream, small, most_draws=draws)
    restore(problem, begin)
    best = None
    if wanted.trials:
        space = space_of(frame.low, frame.high, found.best)
        best = search(
            problem, begin, space, course, trials=wanted.trials, study=wanted.study, tell=tell
        )
    # Where the rate has fallen to nothing, the gradient has, too, and says little of the rest.
    judged = min(first, noise, key=lambda one: one.value) if course.factors else noise
    plan = _planned(target, wanted, frame, judged, Base(batch=frame.base, rate=found.best))
    if best is not None:
        plan = _as_found(plan, best, fits=fits, devices=frame.devices)
    plan = _held_to(problem, plan, course, wanted.rate, tell)
    return Outcome(
        plan=plan,
        base=Base(batch=frame.base, rate=found.best),
        fits=fits,
        is_all=fits >= math.ceil(frame.high / frame.devices),
        is_given=wanted.low is not None and frame.low == frame.high,
        devices=frame.devices,
        noise_at_start=first,
        noise=noise,
        race=found,
        search=best,
        seen=problem.seen,
        notes=tuple(_notes(target, plan, judged)),
    )


def _planned(
    target: Target, wanted: Wanted, frame: _Frame, noise: NoiseScale, base: Base
) -> BatchPlan:
    batch = chosen_batch(noise.low, frame.low, frame.high, wanted.waste, frame.devices)
    length = target.samples or _EPOCHS * target.problem.data.length
    return plan_batch(
        noise.value,
        target.problem.micro or batch,
        frame.devices,
        base,
        batch=batch,
        total_steps=max(1, length // batch),
        adaptive=is_adaptive(target.problem),
    )


def _as_found(plan: BatchPlan, best: Best, *, fits: int, devices: int) -> BatchPlan:
    """The plan with the batch and rate of a search, which had no warm-up."""
    micro, accumulate = divided(best.batch, fits, devices)
    return attrs.evolve(
        plan,
        batch=best.batch,
        micro=micro,
        accumulate=accumulate,
        rate=best.rate,
        warmup_steps=0,
        warmup_start=best.rate,
        rule="search",
    )


def _held_to(
    problem: Problem, plan: BatchPlan, course: Course, given: float | None, tell: Tell
) -> BatchPlan:
    """The plan, its rate halved until it holds; or with the rate `given`, if that holds.

    Raises:
        Diverges: the user's rate does not, or none does.
    """

    def holding(one: BatchPlan) -> bool:
        tell(f"whether rate {one.rate:.2g} holds")
        return check_plan(problem, one, course)

    for _ in range(_HALVINGS):
        if plan.batch == course.batch or holding(plan):  # which has raced
            break
        plan = _with_rate(plan, plan.rate / 2, "halved until it holds")
    else:
        raise Diverges(
            f"no rate from {plan.rate:.2g} on holds with a batch of {plan.batch}",
            rate=None,
            remedy=f"--batch {course.batch}",
        )
    if given is None:
        return plan
    asked = _with_rate(plan, given, "given")
    if not holding(asked):
        raise Diverges(
            f"the training diverges with rate {given:g} and a batch of {plan.batch}",
            rate=plan.rate,
            remedy=f"--batch {plan.batch} --rate {plan.rate:.3g}",
        )
    return asked


def _with_rate(plan: BatchPlan, rate: float, rule: str) -> BatchPlan:
    return attrs.evolve(plan, rate=rate, warmup_start=min(plan.warmup_start, rate), rule=rule)


def check_plan(problem: Problem, plan: BatchPlan, course: Course) -> bool:
    """Whether a training by this plan stays finite and falls; the weights stay as they are."""
    warm = min(plan.warmup_steps, _HELD_STEPS)
    rates = rates_of(attrs.evolve(plan, warmup_steps=warm), warm + _HELD_STEPS)
    return holds(problem, rates, attrs.evolve(course, batch=plan.batch))


def is_adaptive(problem: Problem) -> bool:
    """Whether the optimizer divides by a measure of the gradient's size, as Adam."""
    return not isinstance(problem.optimizer, SGD)


def has_batch_norm(problem: Problem) -> bool:
    """Whether statistics of a batch are in the model."""
    return any(isinstance(module, _NORMS) for module in problem.model.modules())


def _notes(target: Target, plan: BatchPlan, noise: NoiseScale) -> list[str]:
    found = []
    if has_batch_norm(target.problem):
        if plan.accumulate > 1:
            found.append(
                f"BatchNorm sees {plan.micro} samples at a time, not {plan.batch}: accumulation "
                "does not give the same result as one large batch"
            )
        found.append("BatchNorm mixes the samples of a batch: the noise scale is an estimate")
    if math.isinf(noise.value):
        found.append("the gradient drowns in its noise: the noise scale has no upper bound")
    recipe = target.recipe
    if recipe is not None:
        if plan.warmup_steps and not recipe.warms:
            name = recipe.get("scheduler")["name"]
            found.append(f"{name} takes no warm-up before it: none is written")
        if "factory" in (after_warmup(recipe.get("scheduler")) or {}):
            found.append(
                "the recipe's own scheduler is kept: see whether it counts steps; rates were tried "
                "without it"
            )
        if recipe.get("strategy").get("name", "ddp") != "ddp":
            found.append("what fits was tried with the whole model in one process")
    return found
