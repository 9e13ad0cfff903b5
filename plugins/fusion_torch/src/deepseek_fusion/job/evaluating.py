"""The joined model on the test part, beside late fusion, single modalities and the commonest class.

All subsets of modalities are asked of the same joined model.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any, Final

import numpy as np

from deepseek_core import Session, applications
from deepseek_fusion.job.answering import Trained, load_trained, right_of, said_of
from deepseek_fusion.job.items import Arrays, taken, there, without
from deepseek_fusion.job.kept import Prepared, read_part, read_prepared
from deepseek_fusion.job.layout import BASELINE, JOINED
from deepseek_fusion.job.options import Options
from deepseek_fusion.job.scoring import basis, difference, share
from deepseek_fusion.retrieval import Retriever, share_right

ACCURACY: Final = applications.Measure(name="accuracy")
RETRIEVAL: Final = applications.Measure(name="nearest of its class")
_MOST_RETRIEVED: Final = 2000
LATE: Final = "late fusion"


def subsets(names: Sequence[str]) -> list[tuple[str, ...]]:
    """List all subsets but the empty one, the largest first."""
    sizes = range(len(names), 0, -1)
    return [chosen for size in sizes for chosen in combinations(names, size)]


class Evaluator:
    """One evaluation; `arrays` and `classes` are the test part, `common` the commonest class."""

    def __init__(
        self, seeds: Sequence[int], context: applications.ApplicationContext, options: Options
    ) -> None:
        self.seeds, self.context, self.options = tuple(seeds), context, options
        self.prepared: Prepared = read_prepared(context.data)
        self.arrays, self.classes = read_part(context.data, "test")
        _, trained_on = read_part(context.data, "train")
        self.common = int(np.bincount(trained_on).argmax())

    def run(self) -> applications.Evaluation:
        """Return all figures."""
        ours, late = self._loaded(JOINED), self._loaded(BASELINE)
        right = {self._name(chosen): self._right(ours, chosen) for chosen in self._subsets()}
        alone = {
            f"{name} alone": self._right(late, (name,)) for name in self.prepared.form.modalities
        }
        baselines = {LATE: self._right(late, self.prepared.form.modalities), **alone}
        everything = self._name(self.prepared.form.modalities)
        scores = [
            *(self._score(name, found, ours, name == everything) for name, found in right.items()),
            *(self._baseline(name, found, late) for name, found in baselines.items()),
            applications.Score(
                model="the commonest class", kind="baseline", measure=ACCURACY,
                interval=share([self.classes == self.common]), basis="over rows",
            ),
            *self._retrieval(ours),
        ]  # fmt: skip
        best = max(alone, key=lambda name: float(np.mean(alone[name])))
        return applications.Evaluation(
            scores=scores,
            differences=[self._difference(everything, right[everything], other, baselines[other])
                         for other in dict.fromkeys((LATE, best))],
            notes=("subsets are asked of one joined model; baselines are models of their own",
                   "CPU seconds are of both trainings together: they run side by side",
                   "a row that has none of a subset's modalities gets the commonest class"),
        )  # fmt: skip

    def _loaded(self, which: str) -> list[Trained]:
        folders = [self.context.seed(seed) for seed in self.seeds]
        return [load_trained(folder, which, self.prepared) for folder in folders]

    def _subsets(self) -> list[tuple[str, ...]]:
        return subsets(self.prepared.form.modalities)

    def _name(self, chosen: Sequence[str]) -> str:
        return f"{self.options.join}: {' + '.join(chosen)}"

    def _right(self, models: Sequence[Trained], chosen: Sequence[str]) -> list[Any]:
        gone = [name for name in self.prepared.form.modalities if name not in chosen]
        arrays = without(self.arrays, gone)
        return [right_of(one.network, arrays, self.classes, self.common) for one in models]

    def _score(
        self, name: str, right: list[Any], models: Sequence[Trained], whole: bool
    ) -> applications.Score:
        return applications.Score(
            model=name, kind="ours" if whole else "part", measure=ACCURACY,
            interval=share(right), basis=basis(self.seeds), seeds=self.seeds,
            parameters=_parameters(models[0]), cpu_s=_cpu_s(models),
        )  # fmt: skip

    def _baseline(
        self, name: str, right: list[Any], models: Sequence[Trained]
    ) -> applications.Score:
        return applications.Score(
            model=name, kind="baseline", measure=ACCURACY, interval=share(right),
            basis=basis(self.seeds), seeds=self.seeds, parameters=_parameters(models[0]),
            cpu_s=_cpu_s(models), note="trained side by side with the other single models",
        )  # fmt: skip

    def _difference(
        self, one: str, right: list[Any], other: str, theirs: list[Any]
    ) -> applications.Difference:
        return applications.Difference(
            one=one, other=other, measure=ACCURACY, interval=difference(right, theirs),
            basis=basis(self.seeds),
        )  # fmt: skip

    def _retrieval(self, models: Sequence[Trained]) -> list[applications.Score]:
        """Find, for the test rows of one modality, the nearest training row of another."""
        arrays, classes = read_part(self.context.data, "train")
        found = []
        with Session(threads=self.context.threads) as session:
            for query, gallery in combinations(self.prepared.form.modalities, 2):
                right = [
                    _found(
                        session, (self.arrays, self.classes, query), (arrays, classes, gallery), m
                    )
                    for m in models
                ]
                if all(one is not None for one in right):
                    found.append(self._retrieval_score(f"{query} finds {gallery}", right))
        return found

    def _retrieval_score(self, name: str, right: list[Any]) -> applications.Score:
        return applications.Score(
            model=name, kind="part", measure=RETRIEVAL, interval=share(right),
            basis=basis(self.seeds), seeds=self.seeds,
        )  # fmt: skip


Known = tuple[Arrays, Any, str]
"""Arrays, classes and the modality of one side."""


def _found(session: Session, query: Known, gallery: Known, model: Trained) -> Any:
    sides = []
    for arrays, classes, name in (query, gallery):
        rows = np.flatnonzero(there(arrays, name))[:_MOST_RETRIEVED]
        if not len(rows):
            return None
        sides.append((said_of(model.network, taken(arrays, rows)).vectors[name], classes[rows]))
    (asked, asked_classes), (known, known_classes) = sides
    return share_right(Retriever(session, known).nearest(asked), asked_classes, known_classes)


def _parameters(trained: Trained) -> int:
    return sum(each.numel() for each in trained.network.parameters())


def _cpu_s(models: Sequence[Trained]) -> float:
    return float(np.mean([model.facts["cpu_s"] for model in models]))
