"""One node as a rule sees it: the states of its inputs, its attributes, its version."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import count

import attrs

from deepseek_onnx.batching.contents import as_integers, read_content, row
from deepseek_onnx.batching.faults import Contradiction, CountsItems, TellsPlaces, Unclear
from deepseek_onnx.batching.sizes import Dim, Term, expression
from deepseek_onnx.batching.states import (
    LARGEST_CONTENT,
    Content,
    Data,
    Element,
    Fixed,
    Items,
    Moving,
    Places,
    Size,
    State,
    Tensor,
)
from deepseek_onnx.protos import AttributeProto, NodeProto


@attrs.define(eq=False)
class Call:
    """A node with what is known of its inputs, None where one is left out.

    `version` is that of its operator set; `given` are the attributes of the function that holds
    the node; `numbers` makes names of sizes that can't be computed.
    """

    node: NodeProto
    inputs: list[Tensor | None]
    version: int
    given: Mapping[str, AttributeProto]
    numbers: Iterator[int] = attrs.field(factory=count)

    def has(self, place: int) -> bool:
        """Whether an input is given."""
        return place < len(self.inputs) and self.inputs[place] is not None

    def tensor(self, place: int) -> Tensor:
        """An input that must be there."""
        state = self.inputs[place] if place < len(self.inputs) else None
        if state is None:
            raise Contradiction(f"lacks its input {place}")
        return state

    def data(self, place: int) -> Data:
        """An input whose elements are computed with."""
        state = self.tensor(place)
        if isinstance(state, Fixed | Items):
            return state
        raise CountsItems if isinstance(state, Size) else TellsPlaces

    def movable(self, place: int) -> tuple[Moving, tuple[Dim, ...]]:
        """An input whose elements are only moved, and its sizes."""
        state = self.tensor(place)
        if isinstance(state, Size):
            raise CountsItems
        if state.dims is None:
            raise Unclear(f"the rank of its input {place} is not known")
        return state, state.dims

    def ranked(self, place: int) -> tuple[Data, tuple[Dim, ...]]:
        """An input and its sizes."""
        state = self.data(place)
        if state.dims is None:
            raise Unclear(f"the rank of its input {place} is not known")
        return state, state.dims

    def fixed(self, *places: int) -> None:
        """See that inputs, where given, are Fixed."""
        for place in places:
            if self.has(place) and not isinstance(self.data(place), Fixed):
                raise Unclear(f"its input {place} differs from item to item")

    def content(self, place: int) -> Content:
        """The elements of an input that gives sizes, axes or the like."""
        content = known_content(self.tensor(place))
        if content is None:
            raise Unclear(f"the content of its input {place} is not known")
        return content

    def content_or_atoms(self, place: int) -> Content:
        """The elements of an input; atoms for those of a Fixed one that are not known."""
        content = self.numbered(place)
        return self.content(place) if content is None else content

    def sizes(self, place: int) -> list[Element]:
        """The elements of an input that gives whole numbers in one row."""
        elements = self.content_or_atoms(place).reshape(-1).tolist()
        if any(isinstance(element, float) for element in elements):
            raise Contradiction("has a real number for a size")
        return elements

    def numbered(self, place: int) -> Content | None:
        """The same, None where it is not known how many there are, or they are too many."""
        state = self.tensor(place)
        content = known_content(state)
        if content is not None or not isinstance(state, Fixed):
            return content
        dims = state.dims
        if dims is None or len(dims) > 1:
            return None
        size = dims[0] if dims else 1
        if not isinstance(size, int) or size > LARGEST_CONTENT:
            return None
        atoms = row([self.unknown(is_size=False) for _ in range(size)])
        return atoms if dims else atoms.reshape(())

    def whole(self, place: int) -> list[int]:
        """The elements of an input as plain integers."""
        numbers = as_integers(self.content(place))
        if numbers is None:
            raise Unclear(f"the content of its input {place} is not known")
        return numbers

    def unknown(self, *, is_size: bool = True) -> Term:
        """A size that does not depend on n and can't be computed."""
        return expression(f"#{next(self.numbers)}", is_size=is_size)

    def attribute(self, name: str) -> AttributeProto | None:
        """An attribute, None where the node leaves it at its default."""
        for attribute in self.node.attribute:
            if attribute.name == name:
                reference = attribute.ref_attr_name
                return self.given.get(reference) if reference else attribute
        return None

    def integer(self, name: str, default: int) -> int:
        """An attribute that is an integer."""
        attribute = self.attribute(name)
        return default if attribute is None else attribute.i

    def flag(self, name: str, *, default: bool = False) -> bool:
        """An attribute that is 1 or 0."""
        value = self.integer(name, int(default))
        if value not in (0, 1):
            # Some runtimes take any other number for a 1, some for a 0.
            raise Unclear(f"its {name} is neither 0 nor 1")
        return value == 1

    def integers(self, name: str) -> list[int] | None:
        """An attribute that is a list of integers."""
        attribute = self.attribute(name)
        return None if attribute is None else list(attribute.ints)

    def text(self, name: str, default: str) -> str:
        """An attribute that is a string."""
        attribute = self.attribute(name)
        if attribute is None:
            return default
        return str(attribute.s, "utf-8", errors="surrogateescape")

    def integers_or_input(self, name: str, place: int) -> list[int] | None:
        """Integers that older versions have as an attribute and later ones as an input."""
        if self.has(place):
            return self.whole(place)
        return self.integers(name)

    def axis(self, name: str, default: int, rank: int) -> int:
        """An attribute that is an axis of a tensor of this rank."""
        return normal(self.integer(name, default), rank)


def normal(axis: int, rank: int) -> int:
    """An axis counted from the front."""
    if not -rank <= axis < rank:
        raise Contradiction(f"has no axis {axis}")
    return axis + rank if axis < 0 else axis


def known_content(state: Tensor) -> Content | None:
    """What is known of the elements of a value."""
    if isinstance(state, Items | Places):
        return None
    if state.content is not None or isinstance(state, Size) or state.source is None:
        return state.content
    return read_content(state.source)


Rule = Callable[[Call], State | tuple[State, ...]]
