"""Ours and the baselines on the test part, as figures with intervals and paired differences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

import attrs
import numpy as np

from deepseek_apps.ctr.baselines import (
    RAW,
    Baseline,
    binned_regression,
    boosting,
    raw_regression,
)
from deepseek_apps.ctr.data.parts import Parts
from deepseek_apps.ctr.fitted import Stack
from deepseek_apps.ctr.measures import (
    Reals,
    auc,
    log_loss,
    relative_improvement,
    reliability,
    sigmoid,
)
from deepseek_apps.ctr.options import Options
from deepseek_apps.ctr.table import Ints
from deepseek_apps.ctr.trees.boosting import BoostingSettings, fit_boosting
from deepseek_apps.ctr.trees.forest import forest_of
from deepseek_apps.ctr.trees.members import TreeMembers, statistics_table, tree_inputs
from deepseek_apps.shared import intervals
from deepseek_apps.shared.chance import Chance, shuffled_labels
from deepseek_core import applications

OURS: Final = "stack, calibrated"
NAMES: Final = {"fm": "FM", "dcn": "DCN-v2", "trees": "trees of the folds"}
"""How the models of a stack are told."""
AUC: Final = applications.Measure(name="AUC", unit="1")
LOG_LOSS: Final = applications.Measure(name="log loss", unit="1", higher_is_better=False)
CALIBRATION: Final = applications.Measure(
    name="calibration error", unit="1", higher_is_better=False
)
IMPROVEMENT: Final = applications.Measure(name=f"RelaImpr over {RAW}")
_DRAWS: Final = 400
_SHUFFLED: Final = BoostingSettings(rounds=20, leaves=8)
_NOTES: Final = (
    "AUC is the chance that a click is scored above what is none. Log loss is in nats.",
    "Calibration error is the mean of |share of clicks - mean probability| over 10 bins of as many "
    "rows each, in the order of their probability, weighted by rows.",
    "RelaImpr is (AUC - 0.5) / (AUC of the other - 0.5) - 1: what is gained over chance.",
    "All models were fitted on the training part, and tuned or calibrated on the validation part.",
)


@attrs.frozen(kw_only=True, eq=False)
class Contestant:
    """A model, and its probabilities (N) of the test part by seed."""

    name: str
    kind: Literal["ours", "baseline", "peer", "part"]
    by_seed: tuple[Reals, ...]
    seeds: tuple[int, ...]
    parameters: int
    cpu_s: float


def evaluation_of(
    parts: Parts, stacks: Mapping[int, Stack], folds: Ints, options: Options
) -> applications.Evaluation:
    """All figures: ours, its parts, and the baselines."""
    ours = _of_stacks(parts, stacks)
    seed = min(stacks)
    baselines = [
        _of_baseline(one)
        for one in (
            raw_regression(parts),
            binned_regression(parts),
            boosting(parts, folds, options.tuning, seed),
        )
    ]
    all_models = [*ours, *baselines]
    raw = next(one for one in baselines if one.name == RAW)
    target = parts.test.target
    return applications.Evaluation(
        scores=[score for one in all_models for score in _scores(one, raw, target)],
        differences=[_difference(ours[0], other, target) for other in all_models[1:]],
        curves=[_curve(one, target) for one in (ours[0], *baselines)],
        notes=[*_NOTES, _weights(stacks), shuffled(parts, folds).sentence + "."],
    )


def shuffled(parts: Parts, folds: Ints) -> Chance:
    """The AUC of trees that were fitted on shuffled targets, by way of all features."""

    def score(labels: Any) -> float:
        table = attrs.evolve(parts.train, target=np.asarray(labels))
        given = tree_inputs(parts.features, table, folds)
        members = TreeMembers(
            forest=forest_of(fit_boosting(given, _SHUFFLED, seed=0)),
            tables=(statistics_table(parts.features, table),),
        )
        return auc(parts.test.target, members.logits(parts.features, parts.test.inputs))

    return shuffled_labels(score, parts.train.target.tolist(), measure="AUC", expected=0.5)


def _weights(stacks: Mapping[int, Stack]) -> str:
    told = [
        f"seed {seed}: "
        + ", ".join(f"{NAMES[k]} {w:.2f}" for k, w in stack.combination.weights.items())
        for seed, stack in stacks.items()
    ]
    return f"Weights of the stack's models: {'; '.join(told)}."


def _of_stacks(parts: Parts, stacks: Mapping[int, Stack]) -> list[Contestant]:
    """The stack first, then each of its models alone."""
    inputs = parts.test.inputs
    of_models = {seed: stack.model_logits(inputs) for seed, stack in stacks.items()}
    first = next(iter(stacks.values()))
    seeds = tuple(stacks)
    alone = [
        Contestant(
            name=NAMES[model], kind="part", seeds=seeds,
            by_seed=tuple(sigmoid(of_models[seed][model]) for seed in seeds),
            parameters=first.num_parameters(model), cpu_s=first.cpu_s[model],
        )
        for model in first.combination.weights
    ]  # fmt: skip
    whole = Contestant(
        name=OURS, kind="ours", seeds=seeds,
        by_seed=tuple(
            stack.calibration.probabilities(stack.logits(of_models[seed]))
            for seed, stack in stacks.items()
        ),
        parameters=sum(one.parameters for one in alone),
        cpu_s=sum(first.cpu_s.values()),
    )  # fmt: skip
    return [whole, *(alone if len(alone) > 1 else ())]


def _of_baseline(one: Baseline) -> Contestant:
    return Contestant(
        name=one.name, kind="baseline", seeds=(), by_seed=(one.probabilities,),
        parameters=one.parameters, cpu_s=one.cpu_s,
    )  # fmt: skip


def _scores(one: Contestant, raw: Contestant, target: Ints) -> list[applications.Score]:
    """Give its figures: over seeds where it has several, else over drawn rows of the test part."""
    figures: dict[applications.Measure, tuple[intervals.Figure, tuple[Any, ...]]] = {
        AUC: (_auc, (target,)),
        LOG_LOSS: (_log_loss, (target,)),
        CALIBRATION: (_calibration, (target,)),
    }
    if one is not raw:
        figures[IMPROVEMENT] = (_improvement, (target, raw.by_seed[0]))
    found = []
    for measure, (figure, shared) in figures.items():
        if len(one.by_seed) > 1:
            interval = intervals.over_seeds([figure(p, *shared) for p in one.by_seed])
            basis = f"t over {len(one.by_seed)} seeds"
        else:
            interval = intervals.over_samples(figure, one.by_seed[0], *shared, draws=_DRAWS)
            basis = f"bootstrap over {len(target):,} test rows"
        found.append(
            applications.Score(
                model=one.name,
                kind=one.kind,
                measure=measure,
                interval=interval,
                basis=basis,
                seeds=one.seeds,
                parameters=one.parameters,
                cpu_s=one.cpu_s,
            )
        )
    return found


def _difference(one: Contestant, other: Contestant, target: Ints) -> applications.Difference:
    theirs = [other.by_seed[min(at, len(other.by_seed) - 1)] for at in range(len(one.by_seed))]
    found = intervals.paired_over_both(_auc, one.by_seed, theirs, target, draws=_DRAWS)
    return applications.Difference(
        one=one.name, other=other.name, measure=AUC, interval=found,
        basis=f"bootstrap over {len(target):,} test rows and "
        f"{intervals.num_seeds(len(one.by_seed))}",
    )  # fmt: skip


def _curve(one: Contestant, target: Ints) -> applications.Curve:
    found = reliability(target, one.by_seed[0])
    return applications.Curve(
        chart="reliability", model=one.name, x_label="mean probability",
        y_label="share of clicks", x=found.predicted, y=found.observed,
    )  # fmt: skip


def _auc(probabilities: Reals, target: Ints) -> float:
    return auc(target, probabilities)


def _log_loss(probabilities: Reals, target: Ints) -> float:
    return log_loss(target, probabilities)


def _calibration(probabilities: Reals, target: Ints) -> float:
    return reliability(target, probabilities).error


def _improvement(probabilities: Reals, target: Ints, base: Reals) -> float:
    return relative_improvement(auc(target, probabilities), auc(target, base))
