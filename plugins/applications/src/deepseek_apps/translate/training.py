"""Trains one seed by a recipe of `ds-sdk train run`, and keeps the update that translates best."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from deepseek_apps.shared.recipes import export_weights, train, write_recipe
from deepseek_apps.shared.spent import counted, read_spent
from deepseek_apps.translate.prepared import VOCABULARY, Prepared, read_prepared
from deepseek_apps.translate.run_folder import Run
from deepseek_apps.translate.vocabulary import Vocabulary
from deepseek_core import applications, console, errors

WEIGHTS: Final = "model.safetensors"
_RESULT: Final = "result.json"
_SPENT: Final = "cpu_s.json"
_SAVES: Final = 10
"""Checkpoints of a run, evenly apart."""
_WORSE: Final = 2
"""So many checkpoints in a row that translate worse, going back from the last, end the search."""


@attrs.frozen(kw_only=True)
class Result:
    """What a training came to: the update that was kept, and BLEU by update on validation."""

    kept: int
    validation: Mapping[str, float]
    parameters: int
    cpu_s: float


def recipe_of(run: Run) -> dict[str, Any]:
    """The recipe of a run, as tables."""
    options, folder = run.options, {"folder": str(run.folder.resolve())}
    every = max(1, options.updates // _SAVES)
    adam = {"lr": options.rate, "betas": [0.9, 0.98], "weight_decay": 0.01, "fused": True}
    return {
        "model": {"factory": "deepseek_apps.translate.recipe:make_model", "kwargs": folder},
        "data": {"factory": "deepseek_apps.translate.recipe:make_data", "kwargs": folder},
        "optimizer": {"name": "AdamW", "kwargs": adam},
        "loss": {"function": "deepseek_apps.translate.recipe:loss_of"},
        "scheduler": {"factory": "deepseek_apps.translate.recipe:make_rates", "kwargs": folder},
        "evaluate": {
            "factory": "deepseek_apps.translate.recipe:make_dev", "kwargs": folder, "every": every,
        },
        "train": {
            "steps": options.updates, "batch": 1, "seed": run.seed,
            "precision": options.precision, "clip": 1.0,
        },
        "checkpoint": {
            "url": str(run.folder.resolve() / "checkpoints"), "every": every, "keep": _SAVES + 1,
        },
        "log": {"folder": str(run.folder.resolve() / "log")},
    }  # fmt: skip


def train_run(run: Run, context: applications.ApplicationContext) -> Result:
    """Train, or go on, or see that it is done.

    Raises:
        Interrupted: it was stopped; the next call goes on.
        DeepSeekError: the training failed.
    """
    if (run.folder / _RESULT).exists():
        return read_result(run.folder)
    recipe = write_recipe(run.folder / "recipe.toml", recipe_of(run))
    with counted(run.folder / _SPENT):
        train(recipe, context)
        kept, scores = _choose(run, _saved(run), context)
    model = load_model(run, run.folder / WEIGHTS)
    result = Result(
        kept=kept, validation=scores, cpu_s=read_spent(run.folder / _SPENT),
        parameters=sum(param.numel() for param in model.parameters()),
    )  # fmt: skip
    _write_json(run.folder / _RESULT, attrs.asdict(result))
    return result


def read_result(folder: Path) -> Result:
    """What a finished training came to.

    Raises:
        ArtifactError: it is not finished, or was changed into something else.
    """
    try:
        return Result(**json.loads((folder / _RESULT).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise errors.ArtifactError(
            f"{folder} holds no finished training: {error}", remedy="train that seed first"
        ) from error


def load_model(run: Run, path: Path) -> Any:
    """A translator with the weights of a file, not in training.

    Raises:
        ArtifactError: they are missing, damaged, or of a model of other sizes.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from deepseek_apps.translate.model import Translator

    model = Translator(run.shape)
    try:
        tensors = load_file(path)
        model.load_state_dict(
            {name.removeprefix("translator."): tensor for name, tensor in tensors.items()}
        )
    except (OSError, RuntimeError, SafetensorError) as error:
        raise errors.ArtifactError(
            f"{path} can't be loaded: {str(error).splitlines()[0]}",
            remedy=f"train that seed again: rm -r {run.folder}",
        ) from error
    return model.eval()


def load_texts(run: Run) -> tuple[Prepared, Vocabulary]:
    """The text that a run learns from, with its own vocabulary.

    Raises:
        ArtifactError: they are missing, or the vocabulary is of another run.
    """
    return read_prepared(run.data), Vocabulary.load(run.data / VOCABULARY, run.vocabulary)


def _choose(
    run: Run, steps: list[int], context: applications.ApplicationContext
) -> tuple[int, dict[str, float]]:
    """Put the weights of the best checkpoint in their place: that with the best BLEU on validation.

    They are tried from the last one back, as long as earlier ones may be better.
    """
    scores: dict[str, float] = {}
    best = steps[-1]
    for number, step in enumerate(reversed(steps)):
        told = f"translating the validation part after {step} updates"
        context.progress(number, len(steps), told)
        scores[str(step)] = _validation_bleu(run, _exported(run, step))
        if scores[str(step)] > scores[str(best)]:
            best = step
        elif steps.index(best) - steps.index(step) >= _WORSE:
            break
    _exported(run, best).replace(run.folder / WEIGHTS)
    for path in run.folder.glob("step-*.safetensors"):
        path.unlink()
    return best, scores


def _saved(run: Run) -> list[int]:
    """Updates of which there is a checkpoint; a report has only those since the last resume."""
    words = ["ckpt", "inspect", str(run.folder / "checkpoints"), "--json"]
    answer = console.run_child(words, run.folder, "inspect", silent_s=300.0, fine=(0, 1))
    return sorted({int(one["step"]) for one in answer.answer["checkpoints"]})


def _exported(run: Run, step: int) -> Path:
    """The weights of a checkpoint as a file."""
    path = run.folder / f"step-{step}.safetensors"
    return path if path.exists() else export_weights(run.folder / "checkpoints", path, step=step)


def _validation_bleu(run: Run, weights: Path) -> float:
    from deepseek_apps.translate.decoding import greedy_in_batches
    from deepseek_apps.translate.scoring import Scorer
    from deepseek_apps.translate.splitting import with_references

    data, vocabulary = load_texts(run)
    texts = with_references(data.validation)
    sources = vocabulary.source([text for text, _ in texts], run.options.target_language)
    kept = [row[: run.options.longest] for row in sources]
    rows = greedy_in_batches(load_model(run, weights), kept, run.options.longest)
    scorer = Scorer([targets for _, targets in texts], run.options.target_language)
    return scorer.score(vocabulary.decode(rows)).bleu


def _write_json(path: Path, value: object) -> None:
    with console.whole_file(path) as partial:
        partial.write_text(json.dumps(value, indent=1), encoding="utf-8")
