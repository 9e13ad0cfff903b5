"""What the builders of refused models share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import onnx
from corpus_kit.case import Inputs, Refused

from small_models.building import as_model, node, save, tensor

X: Final = [tensor("x", ["N", 3])]
Y: Final = [tensor("y", ["N", 3])]

Built = onnx.ModelProto | tuple[onnx.ModelProto, Inputs] | Callable[[Path], Path]


def relu() -> onnx.ModelProto:
    """A model that nobody refuses."""
    return as_model([node("Relu", ["x"], ["y"])], X, Y)


class Refusals:
    """Refused models, or calls, in the order of their builders."""

    def __init__(self) -> None:
        self._builders: list[tuple[str, Callable[[], Built]]] = []

    def saying(self, pattern: str) -> Callable[[Callable[[], Built]], Callable[[], Built]]:
        """Take a builder of a model, of a model with inputs, or of a function that writes it."""

        def add(build: Callable[[], Built]) -> Callable[[], Built]:
            self._builders.append((pattern, build))
            return build

        return add

    def all(self) -> Iterator[Refused]:
        """Build them."""
        for pattern, build in self._builders:
            yield _refused(pattern, build, build())


def _refused(pattern: str, build: Callable[[], Built], built: Built) -> Refused:
    model, inputs = built if isinstance(built, tuple) else (built, None)
    return Refused(
        name=build.__name__,
        note=build.__doc__ or "",
        says=pattern,
        place=(lambda folder: save(model, folder)) if isinstance(model, onnx.ModelProto) else model,
        inputs=inputs,
    )
