"""Judges networks and baselines on the test part; what is chosen was chosen on validation.

Legend: N pictures of the test part, S seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal

import attrs
import numpy as np

from deepseek_apps.defects import baselines, measures
from deepseek_apps.defects.kept import Kept
from deepseek_apps.defects.options import Options
from deepseek_apps.defects.scoring import Said, pixels_of, said_by_network
from deepseek_apps.defects.thresholds import alarms_per_1000, choose
from deepseek_apps.defects.trained import read_trained, trained_network
from deepseek_apps.shared.chance import shuffled_labels
from deepseek_apps.shared.intervals import num_seeds, over_seeds
from deepseek_core import applications, compression

AUROC: Final = applications.Measure(name="AUROC", unit="1")
PRECISION: Final = applications.Measure(name="average precision", unit="1")
F1: Final = applications.Measure(name="macro-F1", unit="1")
PIXELS: Final = applications.Measure(name="AUROC of pixels", unit="1")
RECALL: Final = applications.Measure(name="recall")
ALARMS: Final = applications.Measure(
    name="false alarms per 1,000 good parts", unit="1", higher_is_better=False
)
OURS: Final = "plain convolutions"
_NAMES: Final = {"plain": OURS, "depthwise": "depthwise convolutions"}
_CHANCE: Final = 0.5

Array = np.ndarray[Any, Any]
Figure = Callable[[Said, Array], float]


@attrs.frozen(kw_only=True, eq=False)
class Model:
    """A model's answers, an entry for each of its seeds; `thresholds` are those of validation."""

    name: str
    kind: Literal["ours", "baseline"]
    said: tuple[Said, ...]
    thresholds: tuple[float, ...] = ()
    seeds: tuple[int, ...] = ()
    parameters: int | None = None
    cpu_s: float | None = None


@attrs.frozen(kw_only=True, eq=False)
class Truth:
    """What is so: classes (N,), defects (N,), masks (N, h, w) of those with one, groups (N,)."""

    classes: Array
    defects: Array
    masks: Array
    masked: Array  # rows whose pixels are known
    groups: Array
    names: tuple[str, ...]


def evaluate(
    seeds: Sequence[int], options: Options, context: applications.ApplicationContext
) -> applications.Evaluation:
    """All figures of the job, with the baselines beside ours.

    Raises:
        InputError: a seed that was not trained, or with other data.
    """
    kept = Kept(context.data)
    context.progress(0, 3, "the networks")
    ours = networks_of(seeds, options, kept, context)
    context.progress(1, 3, "the baselines")
    others = baselines_of(kept, options)
    context.progress(2, 3, "intervals")
    truth = truth_of(kept)
    rows = [row for model in (ours, *others) for row in _scores(model, truth)]
    return applications.Evaluation(
        scores=rows,
        differences=[_difference(ours, other, truth) for other in others[1:]],
        curves=[_roc(model, truth) for model in (ours, *others[1:])],
        notes=_notes(ours, truth, kept, options),
    )


def truth_of(kept: Kept) -> Truth:
    """What is so of the test part."""
    rows = kept.rows("test")
    classes = kept.classes_of[rows]
    return Truth(
        classes=classes, defects=classes > 0, masks=kept.masks[rows],
        masked=(classes == 0) | kept.has_mask[rows], groups=kept.groups_of(rows),
        names=kept.classes,
    )  # fmt: skip


def networks_of(
    seeds: Sequence[int], options: Options, kept: Kept, context: applications.ApplicationContext
) -> Model:
    """The networks of these seeds, their thresholds chosen on validation.

    Raises:
        InputError: a seed that was not trained, or with other data.
    """
    from deepseek_apps.defects.deployed import Scored

    said, thresholds, cpu_s, count = [], [], [], 0
    for seed in seeds:
        network = trained_network(context.seed(seed), kept, options)
        count = sum(each.numel() for each in network.parameters())
        scored = Scored(network, options.views).eval()
        chosen = said_by_network(scored, kept, kept.rows("validation"))
        thresholds.append(_threshold(chosen, kept, options))
        said.append(said_by_network(scored, kept, kept.rows("test")))
        trained = read_trained(context.seed(seed))
        cpu_s.append(trained.cpu_s if trained else 0.0)
    return Model(
        name=_NAMES[options.network], kind="ours", said=tuple(said),
        thresholds=tuple(thresholds), seeds=tuple(seeds), parameters=count,
        cpu_s=float(np.mean(cpu_s)),
    )  # fmt: skip


def _threshold(chosen: Said, kept: Kept, options: Options) -> float:
    defects = kept.classes_of[kept.rows("validation")] > 0
    return choose(chosen.scores, defects, options.recall).score


def baselines_of(kept: Kept, options: Options) -> list[Model]:
    """The models to stand beside, in the order of what they know."""
    found = [Model(name=baselines.MAJORITY, kind="baseline", said=(baselines.majority(kept),))]
    made = {baselines.LINEAR: baselines.linear, baselines.GAUSSIAN: baselines.gaussian}
    for name, make in made.items():
        chosen, judged, count = make(kept)
        found.append(
            Model(
                name=name, kind="baseline", said=(judged,), parameters=count,
                thresholds=(_threshold(chosen, kept, options),),
            )
        )  # fmt: skip
    return found


def _figures(model: Model, truth: Truth) -> Mapping[applications.Measure, Figure]:
    """What can be said of a model: a figure of some of the rows, by its measure."""
    count = len(truth.names)
    found: dict[applications.Measure, Figure] = {
        AUROC: lambda said, rows: measures.auroc(said.scores[rows], truth.defects[rows]),
        PRECISION: lambda said, rows: measures.average_precision(
            said.scores[rows], truth.defects[rows]
        ),
    }
    first = model.said[0]
    if first.classes is not None:
        found[F1] = lambda said, rows: measures.macro_f1(
            _of(said.classes, rows), truth.classes[rows], count
        )
    if first.maps is not None and truth.masks.any():
        found[PIXELS] = lambda said, rows: _pixel_auroc(said, rows, truth)
    return found


def _of(values: Array | None, rows: Any) -> Array:
    return np.asarray(np.asarray(values)[rows])


def _pixel_auroc(said: Said, rows: Array, truth: Truth) -> float:
    known = rows[truth.masked[rows]]
    maps = pixels_of(_of(said.maps, known), truth.masks[known].shape)
    return measures.pixel_auroc(maps, truth.masks[known])


def _scores(model: Model, truth: Truth) -> list[applications.Score]:
    rows = []
    for measure, figure in _figures(model, truth).items():
        rounds = 100 if measure is PIXELS else 1000  # each sees millions of pixels
        found = _over([_bound(figure, said) for said in model.said], truth, rounds)
        rows.append(_score(model, measure, *found))
    if model.thresholds:
        rows += _at_threshold(model, truth)
    first = model.said[0]
    if model.kind == "ours" and first.classes is not None:
        rows += _by_class(model, truth)
    return rows


def _bound(figure: Figure, said: Said) -> Callable[[Array], float]:
    return lambda rows: figure(said, rows)


def _over(
    figures: Sequence[Callable[[Array], float]],
    truth: Truth,
    rounds: int = 1000,
    most: float = 1.0,
) -> tuple[compression.Interval, str]:
    """A figure with its interval, over seeds where there are several, and what that rests on."""
    every = np.arange(len(truth.classes))
    if len(figures) > 1:
        found = over_seeds([each(every) for each in figures])
        return _inside(found, most), f"t over {len(figures)} seeds"
    found = measures.bootstrapped(figures[0], truth.groups, rounds=rounds)
    return found, "bootstrap over parts"


def _inside(found: compression.Interval, most: float) -> compression.Interval:
    """An interval without what no figure can be: Student's t knows of no ends."""
    ends = {"low": max(0.0, found.low), "high": min(most, found.high)}
    return compression.Interval(value=found.value, count=found.count, **ends)


def _score(
    model: Model, measure: applications.Measure, interval: compression.Interval, basis: str
) -> applications.Score:
    return applications.Score(
        model=model.name, kind=model.kind, measure=measure, interval=interval, basis=basis,
        seeds=model.seeds, parameters=model.parameters, cpu_s=model.cpu_s,
    )  # fmt: skip


def _at_threshold(model: Model, truth: Truth) -> list[applications.Score]:
    """Recall and false alarms at the threshold that validation chose."""
    caught, alarms = [], []
    for said, at in zip(model.said, model.thresholds, strict=True):
        caught.append(_named_by(said.scores >= at, truth.defects))
        alarms.append(_named_by((said.scores >= at) * 1000.0, ~truth.defects))
    rows = [_score(model, RECALL, *_over(caught, truth))]
    if len(model.said) == 1:
        found = alarms_per_1000(model.said[0].scores, truth.defects, model.thresholds[0])
        return [*rows, _score(model, ALARMS, found, "Wilson")]
    return [*rows, _score(model, ALARMS, *_over(alarms, truth, most=1000.0))]


def _share(stopped: Array, of: Array) -> float:
    return float(stopped[of].mean()) if of.any() else float("nan")


def _by_class(model: Model, truth: Truth) -> list[applications.Score]:
    """The share of each class that is named by it."""
    rows = []
    for number, name in enumerate(truth.names):
        of = truth.classes == number
        named = [_named_by(_of(said.classes, ...) == number, of) for said in model.said]
        measure = applications.Measure(name=f"recall of {name}")
        rows.append(_score(model, measure, *_over(named, truth)))
    return rows


def _named_by(named: Array, of: Array) -> Callable[[Array], float]:
    return lambda rows: _share(named[rows], of[rows])


def _difference(one: Model, other: Model, truth: Truth) -> applications.Difference:
    """AUROC of ours, mean over its seeds, less that of another on the same parts."""

    def ahead(rows: Array) -> float:
        defects = truth.defects[rows]
        mean = np.mean([measures.auroc(said.scores[rows], defects) for said in one.said])
        return float(mean - measures.auroc(other.said[0].scores[rows], defects))

    return applications.Difference(
        one=one.name, other=other.name, measure=AUROC,
        interval=measures.bootstrapped(ahead, truth.groups),
        basis=f"bootstrap over parts, mean of {num_seeds(len(one.said))}",
    )  # fmt: skip


def _roc(model: Model, truth: Truth) -> applications.Curve:
    """How many defects are caught for how many false alarms, of the first seed."""
    scores = model.said[0].scores
    levels = np.unique(scores)[::-1]
    levels = levels[np.linspace(0, len(levels) - 1, min(len(levels), 200)).astype(int)]
    alarms = [1000 * _share(scores >= at, ~truth.defects) for at in levels]
    caught = [_share(scores >= at, truth.defects) for at in levels]
    return applications.Curve(
        chart="what catching defects costs", model=model.name,
        x_label="false alarms per 1,000 good parts", y_label="share of defects caught",
        x=(0.0, *alarms), y=(0.0, *caught),
    )  # fmt: skip


def _notes(ours: Model, truth: Truth, kept: Kept, options: Options) -> list[str]:
    def score(labels: Any) -> float:
        _, judged, _ = baselines.linear(kept, labels)
        return measures.auroc(judged.scores, truth.defects)

    labels = kept.classes_of[kept.rows("train")].tolist()
    chance = shuffled_labels(score, labels, measure="AUROC", expected=_CHANCE)
    at = ", ".join(f"{each:.3f}" for each in ours.thresholds)
    return [
        f"thresholds for {options.recall:.0%} recall, chosen on the validation part: {at}",
        f"{baselines.LINEAR}: {chance.sentence}",
    ]
