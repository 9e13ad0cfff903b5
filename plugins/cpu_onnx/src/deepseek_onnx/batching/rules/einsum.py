"""Einsum: its equation says where each axis goes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from deepseek_onnx.batching.calls import Call, Rule
from deepseek_onnx.batching.faults import Contradiction, Mixes, Unclear
from deepseek_onnx.batching.sizes import Dim, wider
from deepseek_onnx.batching.states import Data, Fixed, Items, Layout, Tensor

# Labels of one operand: letters, and "...1", "...2" for axes of an ellipsis, the last being 1.
Labels = list[str]
_ELLIPSIS: Final = "..."


def einsum(call: Call) -> Tensor:
    """A sum of products; the items' label must be in every operand that has them, and stay."""
    operands = [call.ranked(place) for place in range(len(call.inputs))]
    terms, result = _equation(call.text("equation", ""), [len(dims) for _, dims in operands])
    carried = _items_label(list(zip([x for x, _ in operands], terms, strict=True)))
    sizes = _sizes([(labels, dims) for labels, (_, dims) in zip(terms, operands, strict=True)])
    dims = tuple(sizes[label] for label in result)
    if carried is None:
        return Fixed(dims)
    label, layout = carried
    if result.count(label) != 1:
        raise Mixes("it sums over them")
    return Items(dims, result.index(label), layout)


def _items_label(operands: list[tuple[Data, Labels]]) -> tuple[str, Layout] | None:
    """The label of the items' axis and its layout; None if no operand has items."""
    found = {(labels[x.axis], x.layout) for x, labels in operands if isinstance(x, Items)}
    if not found:
        return None
    if len(found) > 1:
        raise Mixes("each meets all others")
    label, layout = found.pop()
    for x, labels in operands:
        if label not in labels:
            if isinstance(x, Items):
                raise Mixes
        elif isinstance(x, Fixed) or labels.count(label) > 1:
            raise Unclear("a constant may have an entry for each")
    return label, layout


def _equation(equation: str, ranks: list[int]) -> tuple[list[Labels], Labels]:
    """The labels of each operand and of the result."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = [_labels(term, rank) for term, rank in zip(left.split(","), ranks, strict=True)]
    widest = max((sum(_is_hidden(x) for x in term) for term in terms), default=0)
    hidden = [f"{_ELLIPSIS}{place}" for place in range(widest, 0, -1)]
    if arrow:
        return terms, list(_expanded(right, hidden))
    flat = [label for term in terms for label in term if not _is_hidden(label)]
    return terms, hidden + sorted(label for label in set(flat) if flat.count(label) == 1)


def _labels(term: str, rank: int) -> Labels:
    letters = len(term.replace(_ELLIPSIS, ""))
    count = rank - letters if _ELLIPSIS in term else 0
    labels = list(_expanded(term, [f"{_ELLIPSIS}{place}" for place in range(count, 0, -1)]))
    if len(labels) != rank:
        raise Contradiction("has an equation that does not fit its operands")
    return labels


def _expanded(term: str, hidden: Labels) -> Iterator[str]:
    before, dots, after = term.partition(_ELLIPSIS)
    yield from before
    if dots:
        yield from hidden
    yield from after


def _is_hidden(label: str) -> bool:
    return label.startswith(_ELLIPSIS)


def _sizes(operands: list[tuple[Labels, tuple[Dim, ...]]]) -> Mapping[str, Dim]:
    sizes: dict[str, Dim] = {}
    for labels, dims in operands:
        for label, dim in zip(labels, dims, strict=True):
            sizes[label] = wider(sizes[label], dim) if label in sizes else dim
    return sizes


RULES: Final[Mapping[str, Rule]] = {"Einsum": einsum}
