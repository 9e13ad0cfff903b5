"""Which strategy a trainer was given, and what does not go with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import attrs
from torch.optim import Optimizer

from deepseek_core import errors, training
from deepseek_parallel.ranks import Ranks, StaticRanks
from deepseek_parallel.sgd import CompressedSGD
from deepseek_parallel.trainer.sizes import PLAIN, check_elastic, check_sizes

AUTO: Final = "auto"


@attrs.frozen(kw_only=True)
class Choice:
    """A strategy that divides the model, by its name and options; `layers` are for pipelines."""

    name: str
    options: Mapping[str, Any] = attrs.field(factory=dict)
    layers: tuple[str, ...] | None = None

    def __str__(self) -> str:
        sizes = ", ".join(f"{name} {value}" for name, value in self.options.items())
        return f"{self.name}: {sizes}" if sizes else self.name

    def check_world(self, size: int) -> None:
        """Refuse sizes of a mesh that so many ranks do not make.

        Raises:
            MeshMismatch: they do not.
        """
        check_sizes(self.options, size)


def choice_of(strategy: Any, options: Any, microbatch: int | None) -> Choice | None:
    """The strategy, if it is not that of plain replicas.

    Raises:
        ConfigError: an unknown one, or options that it does not have.
    """
    given = dict(options or {})
    if "micro" in given:
        raise errors.ConfigError(
            "options have micro, and the trainer has a word of its own for it",
            remedy=f"give microbatch={given['micro']!r}",
        )
    layers = given.pop("layers", None)
    if strategy == PLAIN:
        if given or layers is not None:
            raise errors.ConfigError(
                f"the strategy ddp takes no options, and has {', '.join(options)}",
                remedy='name another one: strategy="hybrid"',
            )
        return None
    if microbatch is not None:
        given["micro"] = microbatch
    if strategy == AUTO:
        if given:
            raise errors.ConfigError(
                f"the strategy auto chooses {', '.join(given)} itself",
                remedy='leave them out (micro is microbatch), or name one: strategy="hybrid"',
            )
    else:
        training.open_strategy(strategy, given)
    return Choice(name=strategy, options=given, layers=_names(layers))


def _names(layers: Any) -> tuple[str, ...] | None:
    if layers is None:
        return None
    if isinstance(layers, str) or not all(isinstance(name, str) for name in layers):
        raise errors.ConfigError(
            f"layers are {layers!r}", remedy='give names of modules: layers=["embed", "blocks.0"]'
        )
    return tuple(layers)


def check_choice(
    choice: Choice, optimizer: Optimizer, ranks: Ranks, *, compressed: bool, balance: bool
) -> None:
    """Refuse what does not go with a divided model.

    Raises:
        ConfigError: elastic ranks, compressed gradients, balanced shares or a used optimizer.
    """
    what = f"the strategy {choice.name}"
    if not isinstance(ranks, StaticRanks):
        check_elastic(choice.name)
    if compressed or isinstance(optimizer, CompressedSGD):
        raise errors.ConfigError(
            f"{what} can't be had with compressed gradients, which are of whole models",
            remedy='leave compress out and give torch.optim.SGD, or use strategy="ddp"',
        )
    if balance:
        raise errors.ConfigError(
            f"{what} can't be had with balance: ranks of a mesh wait for each other at each layer",
            remedy='leave balance out, or use strategy="ddp"',
        )
    if any(optimizer.state.values()):
        raise errors.ConfigError(
            f"this {type(optimizer).__name__} has a state already, which can't be divided",
            remedy="give a new one, of a kind that makes its state in the first step: AdamW, SGD; "
            "a training goes on from a checkpoint by fit(..., resume=True)",
        )
