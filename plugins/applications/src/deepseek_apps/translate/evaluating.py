"""Scores of trained translators beside a translation memory, with paired intervals."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import attrs
import numpy as np

from deepseek_apps.shared.intervals import num_seeds, over_samples, over_seeds, paired_over_both
from deepseek_apps.translate.deployed import Deployed
from deepseek_apps.translate.memory import Memory
from deepseek_apps.translate.run_folder import Run
from deepseek_apps.translate.scoring import Scorer
from deepseek_apps.translate.splitting import with_references
from deepseek_apps.translate.training import WEIGHTS, load_model, load_texts, read_result
from deepseek_core import applications, console

BLEU: Final = applications.Measure(name="BLEU", unit="1")
CHRF: Final = applications.Measure(name="chrF", unit="1")
BASELINE: Final = "translation memory"


@attrs.frozen(kw_only=True, eq=False)
class Judged:
    """Translations of the test part by system and seed; the baseline has one."""

    ours: str
    systems: Mapping[str, Sequence[Sequence[str]]]
    scorer: Scorer


def evaluate_runs(runs: Sequence[Run], threads: int) -> applications.Evaluation:
    """Translate the test part with each run, and judge.

    Raises:
        ArtifactError: a training is not finished, or files are of another run.
    """
    data, _ = load_texts(runs[0])
    texts = with_references(data.test)
    scorer = Scorer([targets for _, targets in texts], data.target_language)
    memory = Memory(data.train)
    ours = f"Transformer, {'+'.join(runs[0].options.task_names)}"
    systems = {
        ours: [translated(run, [text for text, _ in texts], threads) for run in runs],
        BASELINE: [[memory.translate(text) for text, _ in texts]],
    }
    return _judge(Judged(ours=ours, systems=systems, scorer=scorer), runs)


def translated(run: Run, texts: Sequence[str], threads: int) -> list[str]:
    """Translations by what would be deployed; kept in the folder of the run.

    A text of more tokens than the model was trained on is cut there.
    """
    from deepseek_apps.translate.to_ctranslate2 import convert

    _, vocabulary = load_texts(run)
    model = load_model(run, run.folder / WEIGHTS)
    sources = vocabulary.source(texts, run.options.target_language)
    longest = run.options.longest
    with tempfile.TemporaryDirectory(dir=run.folder) as folder:
        convert(model, vocabulary.pieces, Path(folder))
        deployed = Deployed(Path(folder), vocabulary, threads)
        cut = [
            row if len(row) <= longest + 2 else [*row[: longest + 1], row[-1]] for row in sources
        ]
        made = vocabulary.decode(deployed.translate(cut, longest, beam=run.options.beam))
    with console.whole_file(run.folder / "test.txt") as partial:
        partial.write_text("".join(f"{text}\n" for text in made), encoding="utf-8")
    return made


def _judge(judged: Judged, runs: Sequence[Run]) -> applications.Evaluation:
    scores = [
        _score(judged, name, measure, runs) for measure in (BLEU, CHRF) for name in judged.systems
    ]
    first = judged.scorer.score(judged.systems[judged.ours][0])
    notes = [f"sacrebleu {first.bleu_signature}", f"sacrebleu {first.chrf_signature}"]
    return applications.Evaluation(
        scores=scores,
        differences=[_difference(judged, len(runs))],
        curves=[_curve(run) for run in runs],
        notes=notes,
    )


def _score(
    judged: Judged, name: str, measure: applications.Measure, runs: Sequence[Run]
) -> applications.Score:
    made = judged.systems[name]
    all_scores = [judged.scorer.score(texts) for texts in made]
    values = [one.bleu if measure is BLEU else one.chrf for one in all_scores]
    ours = name == judged.ours
    interval, basis = over_seeds(values), f"t over {len(values)} seeds"
    if len(values) == 1 and measure is BLEU:
        rows = judged.scorer.statistics(made[0])
        interval, basis = over_samples(judged.scorer.bleu_of, rows), "bootstrap of texts"
    elif len(values) == 1:
        basis = "one figure, without an interval"
    results = [read_result(run.folder) for run in runs] if ours else []
    more: dict[str, Any] = {}
    if results:
        more = {
            "seeds": [run.seed for run in runs], "parameters": results[0].parameters,
            "cpu_s": float(np.mean([one.cpu_s for one in results])),
        }  # fmt: skip
    return applications.Score(
        model=name, kind="ours" if ours else "baseline", measure=measure, interval=interval,
        basis=basis, **more,
    )  # fmt: skip


def _difference(judged: Judged, seeds: int) -> applications.Difference:
    ones = [judged.scorer.statistics(texts) for texts in judged.systems[judged.ours]]
    others = [judged.scorer.statistics(judged.systems[BASELINE][0])] * seeds
    return applications.Difference(
        one=judged.ours, other=BASELINE, measure=BLEU,
        interval=paired_over_both(judged.scorer.bleu_of, ones, others),
        basis=f"bootstrap of seeds and texts, {num_seeds(seeds)}",
    )  # fmt: skip


def _curve(run: Run) -> applications.Curve:
    scores = read_result(run.folder).validation
    return applications.Curve(
        chart="validation", model=f"seed {run.seed}", x_label="updates", y_label="BLEU, greedy",
        x=[float(step) for step in scores], y=list(scores.values()),
    )  # fmt: skip
