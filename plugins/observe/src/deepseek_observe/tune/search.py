"""A search over batch and rate by Optuna, which gives up early on what falls behind.

The study lies in a file (JournalStorage): a search that was stopped goes on there, and several
processes may work on one at the same time.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs

from deepseek_core import console, errors
from deepseek_observe.tune.errors import NeverFalls
from deepseek_observe.tune.plan import Base
from deepseek_observe.tune.problem import Moment, Problem, restore
from deepseek_observe.tune.rates import Course, Tell
from deepseek_observe.tune.samples import Stream
from deepseek_observe.tune.worker import WORKER, may_be_at_work, this_worker

if TYPE_CHECKING:
    import optuna

_REPORTS: Final = 4
_BELOW, _ABOVE = 32.0, 2.0
"""How far rates go around that of the rule."""
_NAME: Final = "tune"


@attrs.frozen(kw_only=True)
class Space:
    """Where to look: batches, powers of two times the first, and rates around a `base` one.

    Rates of a batch b lie around `rate` * sqrt(b / `batches[0]`), which both rules cross.
    """

    batches: tuple[int, ...]
    rate: float


@attrs.frozen(kw_only=True)
class Best:
    """The best trial of a study, and how many there were; `loss` is held out."""

    batch: int
    rate: float
    loss: float
    finished: int
    pruned: int


def space_of(low: int, high: int, rate: float) -> Space:
    """Batches from `low` to `high`."""
    batches = [low]
    while batches[-1] * 2 <= high:
        batches.append(batches[-1] * 2)
    return Space(batches=tuple(batches), rate=rate)


def search(
    problem: Problem,
    begin: Moment,
    space: Space,
    course: Course,
    *,
    trials: int,
    study: Path | None = None,
    tell: Tell = lambda text: None,
) -> Best:
    """Try until the study has `trials` trials, each of as many samples as `course` at most.

    The rule's own setting is the first. The weights are those of `begin` afterwards.

    Raises:
        ConfigError: Optuna isn't installed, or the file is no study of this search.
        NeverFalls: no trial ended with a finite loss.
    """
    opened = _opened(study, course.seed, space)
    try:
        while len(_counted(opened)) < trials:
            trial = opened.ask()
            trial.set_user_attr(WORKER, this_worker())
            batch = space.batches[trial.suggest_int("octave", 0, len(space.batches) - 1)]
            factor = trial.suggest_float("factor", 1 / _BELOW, _ABOVE, log=True)
            setting = Base(batch=batch, rate=_rate(space, batch, factor))
            tell(f"trial {trial.number + 1}: a batch of {batch}, rate {setting.rate:.2g}")
            restore(problem, begin)
            try:
                loss = _trained(problem, trial, setting, course)
            except BaseException:  # Ctrl-C too: what was begun and not ended does not count
                opened.tell(trial, state=_state("FAIL"))
                raise
            opened.tell(trial, loss, state=_state("PRUNED" if loss is None else "COMPLETE"))
    finally:
        restore(problem, begin)
    return _best(opened, space)


def _state(name: str) -> Any:
    from optuna.trial import TrialState

    return TrialState[name]


def _rate(space: Space, batch: int, factor: float) -> float:
    return space.rate * factor * math.sqrt(batch / space.batches[0])


def _trained(problem: Problem, trial: Any, setting: Base, course: Course) -> float | None:
    """The held-out loss; None for a trial that diverges or falls behind."""
    stream = Stream(course.train, course.seed)
    steps = max(_REPORTS, course.steps * course.batch // setting.batch)
    loss = math.inf
    for report in range(1, _REPORTS + 1):
        for step in range(steps * (report - 1) // _REPORTS, steps * report // _REPORTS):
            rate = course.rate(setting.rate, step, steps)
            if not math.isfinite(problem.step(stream.take(setting.batch), rate)):
                return None
        loss = problem.evaluated(course.held).loss
        if not math.isfinite(loss):
            return None
        trial.report(loss, report)
        if report < _REPORTS and trial.should_prune():
            return None
    return loss


def _opened(path: Path | None, seed: int, space: Space) -> optuna.Study:
    try:
        import optuna
    except ImportError as error:
        raise errors.ConfigError(
            "--trials needs Optuna, which isn't installed",
            remedy=console.install_command("deepseek-observe", "tune"),
        ) from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = None if path is None else _storage(path)
    study = optuna.create_study(
        storage=storage,
        study_name=_NAME,
        load_if_exists=True,
        direction="minimize",
        # Several workers on one seed would draw the same.
        sampler=optuna.samplers.TPESampler(seed=None if storage is not None else seed),
        pruner=optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=2),
    )
    told = {"batches": list(space.batches), "rate": space.rate}
    was = study.user_attrs.get("space")
    if was is None:
        study.set_user_attr("space", told)
        study.enqueue_trial({"octave": 0, "factor": 1.0})
    elif was["batches"] != told["batches"]:
        raise errors.ConfigError(
            f"{path} is a search over batches {was['batches']}, not {told['batches']}",
            remedy=f"--batch {was['batches'][0]}:{was['batches'][-1]}, or another --study",
        )
    return study


def _storage(path: Path) -> Any:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    try:
        return JournalStorage(JournalFileBackend(str(path)))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise errors.ConfigError(
            f"{path} is no study of Optuna: {type(error).__name__}: {error}",
            remedy="name a new file",
        ) from error


def _counted(study: optuna.Study) -> list[Any]:
    """Trials that ended, or that a worker is at; one that was killed is at none."""
    return [
        one
        for one in study.trials
        if one.state.name in ("PRUNED", "COMPLETE")
        or (one.state.name == "RUNNING" and may_be_at_work(one.user_attrs.get(WORKER)))
    ]


def _best(study: optuna.Study, space: Space) -> Best:
    done = [trial for trial in study.trials if trial.state.name == "COMPLETE"]
    if not done:
        raise NeverFalls(
            "no trial of the search ended with a loss",
            remedy="give --trials more, or leave it out",
        )
    best = min(done, key=lambda trial: float(trial.value or 0.0))
    batch = space.batches[best.params["octave"]]
    return Best(
        batch=batch,
        rate=_rate(space, batch, best.params["factor"]),
        loss=float(best.value or 0.0),
        finished=len(done),
        pruned=sum(trial.state.name == "PRUNED" for trial in study.trials),
    )
