"""The calls of torch functions that one run of a module makes, in their order.

A call that gives float tensors has a number. The numbers are the same in each run of a module
without control flow on values, so they name places in it, whatever the module is built of.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import attrs
import torch
from torch.overrides import TorchFunctionMode

from deepseek_compress.modules import call, evaluating


class Place(NamedTuple):
    """A float tensor in a run: the number of its call (-1 for inputs), which of its outputs."""

    number: int
    output: int = 0


@attrs.frozen(kw_only=True, eq=False)
class Call:
    """One call: the function and its name, its arguments, what it gave, and copies of that."""

    name: str
    function: Any
    arguments: tuple[Any, ...]
    given: tuple[Any, ...]
    values: tuple[Any, ...]


class Recorder(TorchFunctionMode):
    """Notes all calls of a block."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Do the call, and note it if it gives float tensors."""
        result = func(*args, **(kwargs or {}))
        given = floats_of(result)
        if given:
            self.calls.append(
                Call(
                    name=name_of(func),
                    function=func,
                    arguments=(*tensors_in(args), *tensors_in((kwargs or {}).values())),
                    given=given,
                    values=tuple(tensor.detach().clone() for tensor in given),
                )
            )
        return result


def record(module: Any, inputs: Mapping[str, Any]) -> tuple[Call, ...]:
    """The calls of one run in evaluation mode; what they gave stays alive with them.

    Raises:
        InputError: the module can't take the inputs.
    """
    with evaluating(module), Recorder() as seen:
        call(module, inputs)
    return tuple(seen.calls)


def values_of(inputs: Mapping[str, Any], calls: tuple[Call, ...]) -> dict[Place, Any]:
    """What all float tensors of a run held by their places, inputs first."""
    return _by_place(inputs, [made.values for made in calls])


def objects_of(inputs: Mapping[str, Any], calls: tuple[Call, ...]) -> dict[Place, Any]:
    """The tensors themselves; an operation in place gives what it was given."""
    return _by_place(inputs, [made.given for made in calls])


def _by_place(inputs: Mapping[str, Any], made: list[tuple[Any, ...]]) -> dict[Place, Any]:
    floats = [tensor for tensor in inputs.values() if tensor.is_floating_point()]
    found = {Place(-1, at): tensor for at, tensor in enumerate(floats)}
    for number, tensors in enumerate(made):
        found |= {Place(number, at): tensor for at, tensor in enumerate(tensors)}
    return found


def floats_of(result: Any) -> tuple[Any, ...]:
    """The float tensors of a result, in order."""
    if isinstance(result, torch.Tensor):
        return (result,) if result.is_floating_point() else ()
    if isinstance(result, tuple | list):
        return tuple(t for t in result if isinstance(t, torch.Tensor) and t.is_floating_point())
    return ()


def tensors_in(values: Any) -> Iterator[Any]:
    """All tensors among arguments, in lists as well."""
    for value in values:
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, tuple | list):
            yield from tensors_in(value)


def name_of(function: Any) -> str:
    """`conv2d`, for the function and for the operator of an exported program."""
    return str(getattr(function, "__name__", function)).split(".")[0]
