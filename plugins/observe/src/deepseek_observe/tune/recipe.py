"""Recipes of `ds-sdk train run`: what of them says how fast to learn, read and set.

Its keys are documented in the SDK's reference; what is not used here is carried over as it is.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs
import torch
from torch.nn import functional

from deepseek_core import console, errors
from deepseek_observe.tune.decay import (
    Tuned,
    own_rate,
    rate_factors,
    rescaled,
    scheduled,
    takes_warmup,
)

_FILES: Final = (
    ("model", "factory"), ("data", "factory"), ("optimizer", "factory"), ("loss", "function"),
    ("scheduler", "factory"), ("evaluate", "factory"), ("checkpoint", "failures"),
)  # fmt: skip
"""Keys that may name a file beside the recipe."""


@attrs.frozen(kw_only=True)
class Recipe:
    """The tables of a recipe."""

    path: Path
    tables: Mapping[str, Any]

    @property
    def folder(self) -> Path:
        """Where its files are."""
        return self.path.resolve().parent

    def get(self, table: str) -> Mapping[str, Any]:
        """A table, empty if it is left out.

        Raises:
            ConfigError: it is not a table.
        """
        found = self.tables.get(table, {})
        if not isinstance(found, dict):
            raise errors.ConfigError(
                f"{self.path}: {table} is not a table", remedy=f"write [{table}]"
            )
        return found

    @property
    def batch(self) -> int | None:
        """Samples of a step."""
        return self._whole("batch")

    @property
    def clip(self) -> float | None:
        """The largest norm of a gradient."""
        found = self.get("train").get("clip")
        return None if found is None else float(found)

    @property
    def precision(self) -> str:
        """The number format of the forward pass."""
        return str(self.get("train").get("precision", "fp32"))

    @property
    def warms(self) -> bool:
        """Whether a warm-up can stand before its schedule."""
        return takes_warmup(self.get("scheduler"))

    @property
    def rate(self) -> float | None:
        """The rate that its schedule names in place of the optimizer's."""
        return own_rate(self.get("scheduler"))

    def factors(self, samples: int | None) -> tuple[float, ...]:
        """What its schedule makes of the rate, for each step of a training of so many samples."""
        if samples is None or self.batch is None:
            return ()
        table = self.get("scheduler")
        return rate_factors(table, _rate(self.get("optimizer")), samples // self.batch)

    def num_samples(self, length: int) -> int | None:
        """Samples of the whole training, of a dataset of `length`."""
        epochs, steps = self._whole("epochs"), self._whole("steps")
        if epochs is not None:
            return epochs * length
        return steps * self.batch if steps is not None and self.batch is not None else None

    def _whole(self, key: str) -> int | None:
        found = self.get("train").get(key)
        if found is None:
            return None
        if isinstance(found, bool) or not isinstance(found, int) or found < 1:
            raise errors.ConfigError(
                f"{self.path}: train.{key} is {found!r}", remedy="give a whole number from 1 on"
            )
        return found


def _rate(optimizer: Mapping[str, Any]) -> float:
    found = optimizer.get("kwargs", {}).get("lr")
    return float(found) if isinstance(found, int | float) and found > 0 else 1.0


def read_recipe(path: Path) -> Recipe:
    """Read a file.

    Raises:
        ConfigError: it can't be read, or lacks what names the model, the data or the loss.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise errors.ConfigError(
            f"{path} can't be read: {error.strerror or error}",
            remedy="give a recipe of ds-sdk train run, or file.py:function",
        ) from error
    except ValueError as error:
        raise errors.ConfigError(
            f"{path} is not TOML: {error}", remedy="correct it at that place"
        ) from error
    recipe = Recipe(path=path, tables=tables)
    for table in tables:
        recipe.get(table)
    for table, keys in (
        ("model", ("factory",)), ("data", ("factory",)), ("optimizer", ("name", "factory")),
        ("loss", ("name", "function")),
    ):  # fmt: skip
        given = [key for key in keys if isinstance(recipe.get(table).get(key), str)]
        if len(given) != 1:
            raise errors.ConfigError(
                f"{path}: [{table}] has no {' or '.join(keys)}",
                remedy=f"see whether it is a recipe of training: ds-sdk train run {path} --dry-run",
            )
    return recipe


def built(recipe: Recipe, seed: int) -> dict[str, Any]:
    """Model, loss, data and optimizer, in the order of `ds-sdk train run`.

    Raises:
        ConfigError: a name that can't be imported, or arguments that do not fit.
    """
    torch.manual_seed(recipe.get("train").get("seed", seed))
    model = _made(recipe, "model")
    return {
        "model": model,
        "data": _made(recipe, "data"),
        "optimizer": _optimizer(recipe, model),
        "loss": _loss(recipe),
    }


def _made(recipe: Recipe, table: str, *args: Any) -> Any:
    content = recipe.get(table)
    factory = console.load_entry(content["factory"], recipe.folder, where=f"{table}.factory")
    return _called(factory, args, content.get("kwargs", {}), f"{recipe.path}: [{table}]")


def _optimizer(recipe: Recipe, model: Any) -> Any:
    content = recipe.get("optimizer")
    if "name" not in content:
        return _made(recipe, "optimizer", model)
    kind = getattr(torch.optim, content["name"], None)
    if not isinstance(kind, type):
        raise errors.ConfigError(
            f"{recipe.path}: torch.optim has no {content['name']!r}",
            remedy='give one of torch.optim: name = "SGD"',
        )
    params = [param for param in model.parameters() if param.requires_grad]
    return _called(kind, (params,), content.get("kwargs", {}), f"{recipe.path}: [optimizer]")


def _called(factory: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], where: str) -> Any:
    try:
        return factory(*args, **kwargs)
    except errors.DeepSeekError:
        raise
    except (Exception, SystemExit) as error:  # whatever the user's code may raise
        raise errors.ConfigError(
            f"{where} fails: {type(error).__name__}: {error}", remedy="correct its kwargs, or it"
        ) from error


def _loss(recipe: Recipe) -> Any:
    content = recipe.get("loss")
    if "function" in content:
        return console.load_entry(content["function"], recipe.folder, where="loss.function")
    known = {"cross_entropy": _cross_entropy, "mse": _mse}
    if content["name"] not in known:
        raise errors.ConfigError(
            f"{recipe.path}: there is no loss {content['name']!r}",
            remedy=f'give one of {", ".join(known)}, or function = "train.py:loss"',
        )
    return known[content["name"]]


def _cross_entropy(model: Any, batch: Any) -> tuple[torch.Tensor, int]:
    inputs, classes = batch
    total = functional.cross_entropy(model(inputs), classes, reduction="sum")
    return total, int((classes != -100).sum())


def _mse(model: Any, batch: Any) -> torch.Tensor:
    return functional.mse_loss(model(batch[0]), batch[1])


def tuned_tables(recipe: Recipe, tuned: Tuned, folder: Path) -> dict[str, Any]:
    """The recipe with these values, for a file in `folder`; it trains as many samples as before."""
    tables = {name: dict(recipe.get(name)) for name in recipe.tables}
    old = recipe.batch
    tables["train"] = {**tables.get("train", {}), "batch": tuned.batch}
    if tuned.micro is not None:
        tables["train"]["microbatch"] = tuned.micro
    if old is not None and "steps" in tables["train"]:
        tables["train"]["steps"] = rescaled(tables["train"]["steps"], old, tuned.batch)
    optimizer = tables["optimizer"]
    optimizer["kwargs"] = {**optimizer.get("kwargs", {}), "lr": tuned.rate}
    scheduler = scheduled(tables.pop("scheduler", None), tuned, old)
    if scheduler:
        tables["scheduler"] = scheduler
    _move(tables, recipe.folder, folder.resolve())
    return tables


def _move(tables: dict[str, Any], old: Path, new: Path) -> None:
    """Let names of files lead to the same ones from another folder."""
    if old == new:
        return
    for table, key in _FILES:
        if isinstance(tables.get(table, {}).get(key), str):
            tables[table][key] = _moved(tables[table][key], old, new)
    then = tables.get("scheduler", {}).get("kwargs", {}).get("then")
    if isinstance(then, dict) and "factory" in then:
        then["factory"] = _moved(then["factory"], old, new)
    metrics = tables.get("evaluate", {}).get("metrics")
    if isinstance(metrics, dict):
        tables["evaluate"]["metrics"] = {k: _moved(v, old, new) for k, v in metrics.items()}


def _moved(text: str, old: Path, new: Path) -> str:
    place, colon, name = text.rpartition(":")
    file = place if colon else text
    if colon and not file.endswith(".py"):
        return text
    return f"{os.path.relpath(old / file, new)}{colon}{name if colon else ''}"
