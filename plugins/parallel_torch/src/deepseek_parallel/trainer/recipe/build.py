"""What a recipe names, made: a trainer, and how long it trains."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any, Final

import attrs
import torch
from torch import nn
from torch.nn import functional

from deepseek_core import console, errors
from deepseek_parallel.hazard.gaps import GapPredictor, failure_predictor
from deepseek_parallel.hazard.past import predictor_of_log
from deepseek_parallel.trainer.choice import PLAIN
from deepseek_parallel.trainer.evaluation import EarlyStop, Evaluation
from deepseek_parallel.trainer.recipe.read import Recipe
from deepseek_parallel.trainer.tracing import Trace
from deepseek_parallel.trainer.trainer import Trainer


def cross_entropy(model: nn.Module, batch: Any) -> tuple[torch.Tensor, int]:
    """Cross-entropy of (inputs, classes), over what is not -100."""
    inputs, classes = batch
    total = functional.cross_entropy(model(inputs), classes, reduction="sum")
    return total, int((classes != -100).sum())


def mse(model: nn.Module, batch: Any) -> torch.Tensor:
    """Mean squared error of (inputs, targets)."""
    inputs, targets = batch
    return functional.mse_loss(model(inputs), targets)


LOSSES: Final[dict[str, Callable[[nn.Module, Any], Any]]] = {
    "cross_entropy": cross_entropy,
    "mse": mse,
}


@attrs.frozen(kw_only=True, eq=False)
class Job:
    """A trainer and the arguments of `fit`."""

    trainer: Trainer
    length: Mapping[str, int]


def build(recipe: Recipe, **more: Any) -> Job:
    """Make what a recipe names, in the order of model, data, optimizer; `more` go to the trainer.

    Raises:
        ConfigError: a name that can't be imported, arguments that do not fit, or a bad setting.
    """
    torch.manual_seed(recipe.get("train").get("seed", 0))
    model = _made(recipe, "model")
    train = dict(recipe.get("train"))
    length: dict[str, int] = {
        name: train.pop(name) for name in ("steps", "epochs") if name in train
    }
    saved = recipe.get("checkpoint")
    scheduler = recipe.get("scheduler")
    strategy = dict(recipe.get("strategy"))
    trainer = Trainer(
        model,
        _optimizer(recipe, model),
        _loss(recipe),
        _made(recipe, "data"),
        **train,
        scheduler=(lambda optimizer: _scheduler(recipe, optimizer)) if scheduler else None,
        evaluate=_evaluation(recipe),
        early_stop=EarlyStop(**recipe.get("early_stop")) if recipe.get("early_stop") else None,
        checkpoint=saved.get("url"),
        save_every=_save_every(recipe),
        **{name: saved[name] for name in ("keep",) if name in saved},
        log=recipe.get("log").get("folder"),
        trace=Trace(**recipe.get("trace")) if recipe.get("trace") else None,
        strategy=strategy.pop("name", PLAIN),
        options=strategy,
        **more,
    )
    return Job(trainer=trainer, length=length)


_WHEN: Final = ("every", "failure_hours", "failures")


def _save_every(recipe: Recipe) -> int | GapPredictor | None:
    saved = recipe.get("checkpoint")
    given = [key for key in _WHEN if key in saved]
    if len(given) > 1:
        raise errors.ConfigError(
            f"checkpoint has both {given[0]} and {given[1]}",
            remedy="give the steps between saves, the hours between failures that you expect, or a "
            "log of failures",
        )
    if "failures" in given:
        return predictor_of_log(
            recipe.folder / saved["failures"],
            system=saved.get("failure_system"),
            nodes=saved.get("failure_nodes"),
        )
    if "failure_system" in saved or "failure_nodes" in saved:
        raise errors.ConfigError(
            "checkpoint says which failures count, and has no log of them",
            remedy='add failures = "failures.csv", or leave failure_system and failure_nodes out',
        )
    if "failure_hours" in given:
        return failure_predictor(saved["failure_hours"] * 3600.0)
    return saved.get("every")


def _made(recipe: Recipe, table: str) -> Any:
    content = recipe.get(table)
    factory = console.load_entry(content["factory"], recipe.folder, where=f"{table}.factory")
    return _called(factory, (), content.get("kwargs", {}), f"{table}.kwargs")


def _optimizer(recipe: Recipe, model: nn.Module) -> Any:
    content = recipe.get("optimizer")
    kwargs = content.get("kwargs", {})
    if "name" in content:
        kind = _named(torch.optim, content["name"], torch.optim.Optimizer, "optimizer.name")
        params = [param for param in model.parameters() if param.requires_grad]
        return _called(kind, (params,), kwargs, "optimizer.kwargs")
    factory = console.load_entry(content["factory"], recipe.folder, where="optimizer.factory")
    return _called(factory, (model,), kwargs, "optimizer.kwargs")


def _scheduler(recipe: Recipe, optimizer: Any) -> Any:
    content = recipe.get("scheduler")
    kwargs = content.get("kwargs", {})
    if "name" in content:
        schedulers = torch.optim.lr_scheduler
        factory = _named(schedulers, content["name"], schedulers.LRScheduler, "scheduler.name")
    else:
        factory = console.load_entry(content["factory"], recipe.folder, where="scheduler.factory")
    return _called(factory, (optimizer,), kwargs, "scheduler.kwargs")


def _loss(recipe: Recipe) -> Any:
    content = recipe.get("loss")
    if "function" in content:
        return console.load_entry(content["function"], recipe.folder, where="loss.function")
    name = content["name"]
    if name not in LOSSES:
        raise errors.ConfigError(
            f"there is no loss {name!r}",
            remedy=f'give one of {", ".join(LOSSES)}, or function = "train.py:loss"',
        )
    return LOSSES[name]


def _evaluation(recipe: Recipe) -> Evaluation | None:
    content = recipe.get("evaluate")
    if not content:
        return None
    if "factory" not in content:
        raise errors.ConfigError(
            "evaluate.factory is missing", remedy='add it: factory = "train.py:test_data"'
        )
    metrics = {
        name: console.load_entry(text, recipe.folder, where=f"evaluate.metrics.{name}")
        for name, text in content.get("metrics", {}).items()
    }
    return Evaluation(
        data=_made(recipe, "evaluate"), every=content.get("every"), batch=content.get("batch"),
        metrics=metrics,
    )  # fmt: skip


def _named(module: Any, name: str, kind: type, where: str) -> Any:
    known = [key for key, one in vars(module).items() if inspect.isclass(one)
             and issubclass(one, kind) and one is not kind]  # fmt: skip
    if name not in known:
        close = get_close_matches(name, known, n=1)
        raise errors.ConfigError(
            f"{where}: torch has no {name!r}",
            remedy=f"did you mean {close[0]!r}?" if close else f"it has: {', '.join(known)}",
        )
    return getattr(module, name)


def _called(factory: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], where: str) -> Any:
    if not callable(factory):
        raise errors.ConfigError(
            f"{where.partition('.')[0]}.factory is a {type(factory).__name__}",
            remedy="name a function or a class that makes it",
        )
    try:
        bound = inspect.signature(factory).bind(*args, **kwargs)
    except TypeError as error:
        known = list(inspect.signature(factory).parameters)[len(args) :]
        wrong = next((name for name in kwargs if name not in known), "")
        close = get_close_matches(wrong, known, n=1) if wrong else []
        remedy = f"did you mean {close[0]!r}?" if close else f"it takes: {', '.join(known)}"
        raise errors.ConfigError(f"{where}: {error}", remedy=remedy) from error
    except ValueError:  # of what is built in, nothing is known
        return factory(*args, **kwargs)
    return factory(*bound.args, **bound.kwargs)
