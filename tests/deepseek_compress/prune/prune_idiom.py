"""A small module with one idiom of real models, and how it is registered as one.

An idiom says which of its layers a pruner has to be able to shrink; what it shrinks must be exact.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
import torch
from torch import Tensor, nn


@attrs.frozen(kw_only=True)
class Idiom:
    """A module, its inputs, and the layers that have to be prunable."""

    name: str
    make: Callable[[], nn.Module]
    example: Callable[[], tuple[Tensor, ...]]
    prunable: tuple[str, ...]
    inexact: bool = False


IDIOMS: list[Idiom] = []


def idiom(
    *shapes: tuple[int, ...], prunable: str, inexact: bool = False, words: int = 0
) -> Callable[[type[nn.Module]], type[nn.Module]]:
    """Register a module whose inputs are normal values of these shapes, or numbers of `words`."""

    def drawn(shape: tuple[int, ...]) -> Tensor:
        return torch.randint(0, words, shape) if words else torch.randn(shape)

    def register(cls: type[nn.Module]) -> type[nn.Module]:
        IDIOMS.append(
            Idiom(
                name=cls.__name__,
                make=cls,
                example=lambda: tuple(map(drawn, shapes)),
                prunable=tuple(prunable.split()),
                inexact=inexact,
            )
        )
        return cls

    return register


def conv(into: int, out: int, kernel: int = 3, **options: int) -> nn.Conv2d:
    return nn.Conv2d(into, out, kernel, padding=kernel // 2, **options)
