"""One run of a model with ids beside its activations: what the rules of operators work on."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import torch
from torch import Tensor, nn

from deepseek_compress.errors import CannotPrune
from deepseek_compress.prune.classes import FIXED, Classes, Mismatch, collapse
from deepseek_compress.prune.mirror import Mirror
from deepseek_compress.prune.parameters import Parameters

_HERE = Path(__file__).parent.as_posix()
_TORCH = Path(torch.__file__).parent.as_posix()


@attrs.frozen(kw_only=True)
class Work:
    """Multiply-adds of one operator: `factor` times the sizes that the id vectors keep."""

    layer: str
    factor: float
    vectors: tuple[Tensor, ...]


@attrs.frozen(kw_only=True)
class Weight:
    """A weight of a layer: its parameter, the axes of its outputs and inputs, its kind."""

    layer: str
    name: str
    out: int | None
    into: int | None
    kind: str


@attrs.frozen(kw_only=True)
class Fix:
    """An attribute of a module that says how many channels a vector of ids has."""

    layer: str
    attribute: str
    vector: Tensor


class Run:
    """Ids, places and findings of one run.

    Fields: `classes`, `mirror`, `parameters`; `layers`, the modules that are being called;
    `last`, the last operator and its module; `events`, what consumers saw, in order, and
    `expected`, what they have to see; `works`, `weights`, `fixes`, `inexact` as (ids, text) and
    `scaled` as (parameter, rows, vector) for the structure; `hint`, the position of -1 in a view;
    `watch`, told of activations; `busy` while nothing is followed; `blank`, whether what is about
    to be written into holds one value.
    """

    def __init__(self, classes: Classes, parameters: Parameters) -> None:
        self.classes, self.parameters = classes, parameters
        self.mirror = Mirror(classes)
        self.layers: list[tuple[str, nn.Module]] = []
        self.last = ("the call of the model", "")
        self.events: list[tuple[str, Tensor]] = []
        self.expected: list[tuple[str, Tensor]] | None = None
        self.works: list[Work] = []
        self.weights: dict[tuple[str, str], Weight] = {}
        self.fixes: list[Fix] = []
        self.inexact: list[tuple[Tensor, str]] = []
        self.scaled: list[tuple[str, int, Tensor]] = []
        self.hint: int | None = None
        self.watch: Callable[[Tensor, Tensor, str], None] | None = None
        self.busy = False
        self.blank = False

    # -- places ---------------------------------------------------------------------------------
    @property
    def operation(self) -> str:
        """The operator that runs, or ran last."""
        return self.last[0]

    @operation.setter
    def operation(self, name: str) -> None:
        self.last = (name, self.layer)

    @property
    def layer(self) -> str:
        """The dotted name of the module that is being called."""
        return self.layers[-1][0] if self.layers else ""

    def where(self) -> str:
        """Name the operator, its layer, and the line of the model's source."""
        layer = f" in {self.layer}" if self.layer else ""
        return f"{self.operation}{layer}{_source_line()}"

    def why(self, text: str) -> str:
        """A reason, with its place."""
        return f"{self.where()}: {text}"

    def refuse(self, text: str, error: BaseException | None = None) -> CannotPrune:
        """The error that names this place, or that where `error` came up."""
        operation, layer = self.last
        place = f"{operation} in {layer}" if layer else operation
        message = f"{place}{_source_line(error)}: {text}"
        return CannotPrune(message, operation=operation, layer=layer)

    # -- ids ------------------------------------------------------------------------------------
    def ids(self, tensor: Tensor) -> Tensor | None:
        """Collapsed ids of an activation or of a parameter that was met; None for a constant."""
        return self.mirror.get(tensor)

    def promote(self, tensor: Tensor) -> Tensor | None:
        """Ids of a parameter that is met elementwise, given to it now."""
        found = self.ids(tensor)
        name = self.parameters.name_of(tensor)
        if found is not None or name is None:
            return found
        ids = self.parameters.element_ids(name)
        whole = self.parameters.tensors[name]
        if ids is None or whole.untyped_storage()._cdata != tensor.untyped_storage()._cdata:
            return None
        self.mirror.put(whole, ids)
        return self.ids(tensor)

    def put(self, tensor: Tensor, ids: Tensor) -> None:
        """Give an output its ids."""
        self.mirror.put(tensor, ids)

    def fixed(self, tensor: Tensor) -> Tensor:
        """Ids of a tensor whose channels all stay, in its rank."""
        return torch.full((1,) * tensor.dim(), FIXED)

    def known(self, tensor: Tensor) -> Tensor:
        """Ids of an activation; those of a constant of a fixed size for anything else."""
        found = self.ids(tensor)
        return self.fixed(tensor) if found is None else found

    def tie(self, a: Tensor, b: Tensor) -> None:
        """Tie ids because of this operator."""
        self.classes.tie(a, b, lambda: self.why("meets what is of a fixed size"))

    def pin(self, ids: Tensor, text: str) -> None:
        """Keep the channels of `ids` because of this operator."""
        if bool((ids != FIXED).any()):
            self.classes.pin(ids, lambda: self.why(text))

    def tie_over(self, ids: Tensor, axes: list[int]) -> Tensor:
        """Tie what differs only along `axes`; ids of size 1 there."""
        for axis in axes:
            if ids.shape[axis] > 1:
                first = ids.narrow(axis, 0, 1)
                self.tie(ids, first)
                ids = first
        return collapse(self.classes.roots(ids))

    def vector(self, tensor: Tensor, axis: int) -> Tensor:
        """One id for each slice along an axis, whose elements are tied."""
        axis = axis % tensor.dim()
        ids = self.tie_over(self.known(tensor), [a for a in range(tensor.dim()) if a != axis])
        return ids.reshape(-1).expand(tensor.shape[axis])

    def spread(self, vector: Tensor, tensor: Tensor, axis: int) -> None:
        """Give `tensor` the ids of `vector` along an axis."""
        shape = [1] * tensor.dim()
        shape[axis % tensor.dim()] = -1
        self.put(tensor, vector.reshape(shape))

    def saw(self, ids: Tensor, kind: str = "") -> None:
        """Note what a consumer sees; in a pruned run it must be what is left of the first.

        `kind` stands for operators that torch chooses between by strides.
        """
        kind = kind or self.operation
        if self.expected is None:
            self.events.append((kind, ids.clone()))
            return
        at = len(self.events)
        self.events.append((kind, ids))
        if at >= len(self.expected) or self.expected[at][0] != kind:
            raise Mismatch("this operator did not run at this point before")
        expected = collapse(self.expected[at][1])
        seen = collapse(ids)
        if expected.shape != seen.shape or not torch.equal(expected, seen):
            raise Mismatch("it sees other channels than those that were kept")

    # -- findings -------------------------------------------------------------------------------
    def work(self, factor: float, *vectors: Tensor) -> None:
        """Note multiply-adds: the product of `factor` and of what each vector keeps."""
        self.works.append(Work(layer=self.layer, factor=factor, vectors=vectors))

    def weight(self, name: str, out: int | None, into: int | None, kind: str) -> None:
        """Note a layer's weight."""
        found = Weight(layer=self.layer, name=name, out=out, into=into, kind=kind)
        self.weights.setdefault((self.layer, name), found)

    def fix(self, attribute: str, vector: Tensor) -> None:
        """Note that the module's attribute is the length of the vector."""
        self.fixes.append(Fix(layer=self.layer, attribute=attribute, vector=vector))

    def bound(self, parameter: Tensor | None, vector: Tensor) -> None:
        """Tie a parameter of one axis (a bias, a scale) to the channels it belongs to."""
        if parameter is None:
            return
        located = self.parameters.locate(parameter)
        own = self.parameters.along(located, 0) if located and parameter.dim() == 1 else None
        if own is None:
            self.pin(vector, "a bias or scale that is computed, not a parameter")
        else:
            self.tie(own, vector)

    @contextmanager
    def quietly(self) -> Iterator[None]:
        """Let what runs inside pass without rules."""
        before, self.busy = self.busy, True
        try:
            yield
        finally:
            self.busy = before


def _source_line(error: BaseException | None = None) -> str:
    """` (file.py:12)` of the innermost line outside torch and this package."""
    stack = traceback.extract_tb(error.__traceback__) if error else traceback.extract_stack()
    for frame in reversed(stack):
        name = frame.filename
        if not name.startswith(("<", _HERE, _TORCH)) and "contextlib" not in name:
            return f" ({Path(name).name}:{frame.lineno})"
    return ""


def tensors_in(values: Any) -> list[Tensor]:
    """All tensors in nested arguments or results."""
    if isinstance(values, Tensor):
        return [values]
    if isinstance(values, dict):
        return [each for value in values.values() for each in tensors_in(value)]
    if isinstance(values, list | tuple | set):
        return [each for value in values for each in tensors_in(value)]
    if hasattr(values, "__dict__") and not isinstance(values, nn.Module | type):
        return [each for value in vars(values).values() for each in tensors_in(value)]
    return []
