"""What is tuned: a function that makes a model, a loss and data, or a recipe of a training."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs
import torch
from torch import nn
from torch.optim import LBFGS, SGD, Optimizer

from deepseek_core import console, errors
from deepseek_observe.tune.problem import Problem
from deepseek_observe.tune.recipe import Recipe, built, read_recipe
from deepseek_observe.tune.samples import samples_of

_PARTS: Final = ("model", "loss", "data", "optimizer")
_SHAPE: Final = "return (model, loss, data), or (model, loss, data, optimizer)"
_MOMENTUM: Final = 0.9


@attrs.frozen(kw_only=True, eq=False)
class Target:
    """A training, and what is known of it; `samples` is its length, `batch` and `rate` its own."""

    problem: Problem
    batch: int | None = None
    rate: float | None = None
    samples: int | None = None
    recipe: Recipe | None = None


def open_target(text: str, seed: int = 0) -> Target:
    """Make what `text` names: `RECIPE.toml`, `file.py:function` or `package.module:function`.

    Raises:
        ConfigError: no such thing, or it makes something else.
        InputError: the user's code fails.
    """
    if text.endswith(".toml"):
        recipe = read_recipe(Path(text))
        return _checked(_of_recipe(recipe, seed))
    function = console.load_entry(text, Path.cwd(), where="TARGET")
    if not callable(function):
        raise errors.ConfigError(
            f"TARGET: {text} is a {type(function).__name__}", remedy=f"name a function: {_SHAPE}"
        )
    _check_arguments(function, text)
    torch.manual_seed(seed)
    try:
        made = function()
    except errors.DeepSeekError:
        raise
    except (Exception, SystemExit) as error:  # whatever the user's code may raise
        raise errors.InputError(
            f"{text} fails: {type(error).__name__}: {error}", remedy="correct it"
        ) from error
    return _checked(Target(problem=_problem(_parts(made, text), text)))


def _of_recipe(recipe: Recipe, seed: int) -> Target:
    parts = built(recipe, seed)
    problem = _problem(parts, str(recipe.path))
    problem.clip, problem.precision = recipe.clip, recipe.precision
    return Target(
        problem=problem,
        batch=recipe.batch,
        rate=recipe.rate or float(problem.optimizer.param_groups[0]["lr"]),
        samples=recipe.num_samples(problem.data.length),
        recipe=recipe,
    )


def _check_arguments(function: Any, text: str) -> None:
    try:
        inspect.signature(function).bind()
    except TypeError as error:
        raise errors.ConfigError(
            f"TARGET: {text}: {error}", remedy=f"name a function without arguments: {_SHAPE}"
        ) from error
    except ValueError:  # of what is built in, nothing is known
        return


def _parts(made: Any, text: str) -> dict[str, Any]:
    if isinstance(made, Mapping):
        wrong = [str(name) for name in made if name not in _PARTS]
        if wrong or not {"model", "data"} <= set(made):
            raise errors.ConfigError(
                f"{text} gave a mapping of {', '.join(map(str, made)) or 'nothing'}",
                remedy=f"its names are {', '.join(_PARTS)}",
            )
        return dict(made)
    if not isinstance(made, tuple | list) or not 3 <= len(made) <= len(_PARTS):
        told = f"{len(made)} parts" if isinstance(made, tuple | list) else type(made).__name__
        raise errors.ConfigError(f"{text} gave {told}", remedy=_SHAPE)
    return dict(zip(_PARTS, made, strict=False))


def _problem(parts: Mapping[str, Any], text: str) -> Problem:
    model, loss = parts["model"], parts.get("loss")
    if not isinstance(model, nn.Module):
        raise errors.ConfigError(
            f"{text}: the model is a {type(model).__name__}", remedy="give a torch.nn.Module"
        )
    _check_loss(loss, text)
    trained = [param for param in model.parameters() if param.requires_grad]
    if any(isinstance(param, nn.parameter.UninitializedParameter) for param in trained):
        raise errors.ConfigError(
            f"{text}: the model has parameters without a shape yet",
            remedy="run it on one batch before it is returned",
        )
    if not trained:
        raise errors.ConfigError(
            f"{text}: the model has no parameter that is trained", remedy="see requires_grad"
        )
    return Problem(
        model=model,
        loss=loss,
        data=samples_of(parts["data"]),
        optimizer=_optimizer(parts.get("optimizer"), trained, text),
    )


def _check_loss(loss: Any, text: str) -> None:
    if loss is None:
        return
    home = getattr(loss, "__module__", None) or ""
    if isinstance(loss, nn.Module) or home.startswith("torch.nn"):
        raise errors.ConfigError(
            f"{text}: the loss is torch's, which takes outputs and targets",
            remedy="give a function of (model, batch): "
            "lambda model, batch: criterion(model(batch[0]), batch[1])",
        )
    if not callable(loss):
        raise errors.ConfigError(
            f"{text}: the loss is a {type(loss).__name__}",
            remedy="give a function of (model, batch), or None for a model whose output has .loss",
        )


def _optimizer(given: Any, trained: list[nn.Parameter], text: str) -> Optimizer:
    if given is None:
        return SGD(trained, lr=0.01, momentum=_MOMENTUM)
    made = given if isinstance(given, Optimizer) or not callable(given) else given(trained)
    if not isinstance(made, Optimizer):
        raise errors.ConfigError(
            f"{text}: the optimizer is a {type(made).__name__}",
            remedy="give a torch.optim.Optimizer, or a function of parameters that makes one",
        )
    if isinstance(made, LBFGS):
        raise errors.ConfigError(
            f"{text}: LBFGS evaluates the loss as often as it likes, so that a step is no batch",
            remedy="tune another optimizer, as torch.optim.AdamW",
        )
    known = {id(param) for param in trained}
    if not any(id(param) in known for group in made.param_groups for param in group["params"]):
        raise errors.ConfigError(
            f"{text}: the optimizer has none of the model's parameters",
            remedy="make it of model.parameters()",
        )
    return made


def _checked(target: Target) -> Target:
    problem = target.problem
    if problem.precision not in ("fp32", "bf16"):
        raise errors.ConfigError(
            f"precision is {problem.precision!r}", remedy='give "fp32" or "bf16"'
        )
    problem.model.train()
    return target
