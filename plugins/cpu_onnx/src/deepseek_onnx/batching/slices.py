"""What a Slice takes, whatever the version says it in."""

from __future__ import annotations

from collections.abc import Iterator

from deepseek_onnx.batching.calls import Call, normal
from deepseek_onnx.batching.contents import row
from deepseek_onnx.batching.faults import Contradiction
from deepseek_onnx.batching.states import Content, Element

# Exporters write the end of an axis as a number that no axis reaches; this is the smallest.
END = 10**9


def slices(call: Call, rank: int) -> Iterator[tuple[int, Element, Element, Element]]:
    """For each axis that is cut its number, start, end and step."""
    starts, ends = _ends(call)
    axes = call.integers_or_input("axes", 3)
    steps = call.content(4).reshape(-1) if call.has(4) else row([1] * len(starts))
    if axes is None:
        axes = list(range(len(starts)))
    if not len(axes) == len(starts) == len(ends) == len(steps):
        raise Contradiction("has starts, ends, axes and steps of different numbers")
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        yield normal(axis, rank), start, end, step


def _ends(call: Call) -> tuple[Content, Content]:
    """Starts and ends, attributes before opset 10."""
    if call.version < 10:
        return row(list(call.integers("starts") or [])), row(list(call.integers("ends") or []))
    return row(call.sizes(1)), row(call.sizes(2))


def is_whole(start: Element, end: Element, step: Element, dim: Element) -> bool:
    """Whether a slice takes all of an axis, in order."""
    begins = start == 0 or (isinstance(start, int) and start <= -END)
    reaches = end == dim or (isinstance(end, int) and end >= END)
    return begins and step == 1 and reaches


def part(size: int, start: Element, end: Element, step: Element) -> slice | None:
    """What a slice takes of an axis, None where a number is not known or is read in two ways."""
    if not all(isinstance(number, int) for number in (start, end, step)) or not step:
        return None
    if step < 0 and end >= END:
        # To the standard nothing, to some runtimes all.
        return None
    if step < 0 and start < -size:
        # Nothing to Python, the first element to some runtimes.
        return None
    # Going backward, an end before the first element is none to Python.
    return slice(start, None if step < 0 and end < -size else end, step)
