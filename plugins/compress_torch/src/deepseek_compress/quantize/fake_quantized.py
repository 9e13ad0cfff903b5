"""Modules that compute as their lowered files will: quantizers at a runtime's places.

A hook of the module watches the calls of its own run; so it is trained, copied and called like any
other module, and its class and its parameters' names stay.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs
import torch
from torch.overrides import TorchFunctionMode

from deepseek_compress.modules import copied
from deepseek_compress.onnx_graph.reading import FloatModel
from deepseek_compress.qspec import QuantSpec
from deepseek_compress.quantize.calls import Call, Place, floats_of, name_of, objects_of, record
from deepseek_compress.quantize.fake_quantize import QuantizedActivation, QuantizedWeight
from deepseek_compress.quantize.naming import Names, names_of
from deepseek_compress.sites import QuantSites
from deepseek_core import errors

PART: Final = "fake_quantization_"
"""Name of the part that a fake-quantized module has besides its own."""


@attrs.frozen(kw_only=True, eq=False)
class Placement:
    """How a runtime quantizes: `sites` of a float model; `signed` integers with zero point 0."""

    sites: Callable[[FloatModel, QuantSpec], QuantSites]
    signed: bool


class FakeQuantization(torch.nn.Module):
    """The quantizers of a module.

    `places` and `parameter_names` say what each is for; `readers` are the numbers of the calls
    that read a place quantized, None for all; `functions` are the names of all calls.
    """

    def __init__(
        self,
        activations: Mapping[Place, QuantizedActivation],
        weights: Mapping[str, QuantizedWeight],
        readers: Mapping[Place, frozenset[int] | None],
        functions: tuple[str, ...],
    ) -> None:
        super().__init__()
        self.activations = torch.nn.ModuleList(activations.values())  # in the order of `places`
        self.weights = torch.nn.ModuleList(weights.values())  # in the order of `parameter_names`
        self.places, self.parameter_names = tuple(activations), tuple(weights)
        self.readers, self.functions = dict(readers), functions
        self.running: list[_Watching] = []  # the modes of forward passes under way
        self.handles: list[Any] = []  # of hooks, to remove them

    def forward(self, value: Any) -> Any:
        """The value as it is: a `Sequential` calls all of its parts, this one too."""
        return value

    def attach(self, module: Any) -> None:
        """Become a part of the module, and watch its runs."""
        module.add_module(PART, self)
        self.handles = [
            module.register_forward_pre_hook(self.enter, with_kwargs=True),
            module.register_forward_hook(self.leave, always_call=True),
        ]

    def detach(self, module: Any) -> None:
        """Leave the module as a plain one."""
        delattr(module, PART)
        for handle in self.handles:
            handle.remove()

    def by_place(self) -> dict[Place, Any]:
        """Quantizers of activations by their places."""
        return dict(zip(self.places, self.activations, strict=True))

    def by_parameter(self) -> dict[str, Any]:
        """Quantizers of weights by the parameters' names."""
        return dict(zip(self.parameter_names, self.weights, strict=True))

    def enter(self, module: Any, args: Any, kwargs: Any) -> Any:
        """Begin a run: quantize its inputs, and watch its calls.

        Normalizations that could not be folded keep their statistics, as they do when deployed.
        """
        for norm in module.modules():
            if isinstance(norm, torch.nn.modules.batchnorm._BatchNorm):
                norm.training = False
        quantizers = self.by_parameter()
        weights = {id(module.get_parameter(name)): q for name, q in quantizers.items()}
        watching = _Watching(self, weights)
        values = watching.inputs([*args, *kwargs.values()])
        self.running.append(watching)
        watching.__enter__()
        return tuple(values[: len(args)]), dict(zip(kwargs, values[len(args) :], strict=True))

    def leave(self, _module: Any, _args: Any, _output: Any) -> None:
        """End a run, whether it gave a result or raised."""
        if self.running:
            self.running.pop().__exit__(None, None, None)


class _Watching(TorchFunctionMode):
    """Quantizes what calls read and give, during one run.

    `_kept` are tensors that only some calls read quantized, with their quantized forms: by
    identity, so they are kept alive.
    """

    def __init__(self, part: FakeQuantization, weights: Mapping[int, Any]) -> None:
        super().__init__()
        self._readers, self._functions = part.readers, part.functions
        self._places, self._weights = part.by_place(), weights
        self._kept: dict[int, tuple[Any, frozenset[int], Any]] = {}
        self._rounded: dict[int, Any] = {}  # a weight that several calls read is rounded once
        self._number = 0

    def inputs(self, values: list[Any]) -> list[Any]:
        """The module's arguments, those quantized that all calls read so."""
        floats = (n for n, v in enumerate(values) if floats_of((v,)))
        for at, number in enumerate(floats):
            values[number] = self._given(values[number], Place(-1, at))
        return values

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        named = {name: self._read(value) for name, value in (kwargs or {}).items()}
        result = func(*(self._read(value) for value in args), **named)
        if not floats_of(result):
            return result
        self._check(name_of(func))
        number, self._number = self._number, self._number + 1
        if isinstance(result, torch.Tensor):
            return self._given(result, Place(number))
        return self._several(result, number)

    def _read(self, value: Any) -> Any:
        """What the call that comes reads in place of an argument."""
        if isinstance(value, tuple | list) and type(value) in (tuple, list):
            return type(value)(self._read(one) for one in value)
        if id(value) in self._weights:
            if id(value) not in self._rounded:
                self._rounded[id(value)] = self._weights[id(value)](value)
            return self._rounded[id(value)]
        kept = self._kept.get(id(value))
        return kept[2] if kept is not None and self._number in kept[1] else value

    def _given(self, tensor: Any, place: Place) -> Any:
        """What goes on in place of a result."""
        self._kept.pop(id(tensor), None)  # an operation in place made it another
        quantizer = self._places.get(place)
        if quantizer is None:
            return tensor
        readers, quantized = self._readers[place], quantizer(tensor)
        if readers is None:
            return quantized
        self._kept[id(tensor)] = (tensor, readers, quantized)
        return tensor

    def _check(self, name: str) -> None:
        known = self._functions[self._number] if self._number < len(self._functions) else "none"
        if known != name:
            raise errors.InputError(
                f"call {self._number} of the model is {name}, and was {known} when it was "
                "prepared: it computes otherwise in training than in inference",
                remedy="let forward() call the same functions whatever self.training is",
            )

    def _several(self, result: Any, number: int) -> Any:
        made, at = [], 0
        for value in result:
            if floats_of((value,)):
                made.append(self._given(value, Place(number, at)))
                at += 1
            else:
                made.append(value)
        return type(result)(*made) if hasattr(result, "_fields") else type(result)(made)


def fake_quantized(
    module: Any,
    inputs: Mapping[str, Any],
    model: FloatModel,
    spec: QuantSpec,
    placement: Placement,
) -> Any:
    """A copy of the module that `model` was exported from, quantized where the runtime does.

    `inputs` are tensors of a few samples, by which tensors of the two are told to be the same.

    Raises:
        InputError: nothing in the module is found to be what the file has.
    """
    work = copied(module)
    calls = record(work, inputs)
    names = names_of(work, model, inputs, calls)
    sites = placement.sites(model, spec)
    activations = _activations(names, sites, spec, signed=placement.signed)
    weights = _weights(names, sites, spec)
    if not activations and not weights:
        raise errors.InputError(
            "no layer of the model can be trained in integers",
            remedy="quantize it after training: leave step qat out",
        )
    given = objects_of(inputs, calls)
    readers = {
        place: _reading(numbers, place, given[place], calls)
        for place, numbers in _readers(names, sites, model).items()
    }
    functions = tuple(made.name for made in calls)
    FakeQuantization(activations, weights, readers, functions).attach(work)
    return work


def _activations(
    names: Names, sites: QuantSites, spec: QuantSpec, *, signed: bool
) -> dict[Place, QuantizedActivation]:
    wanted = [name for name in sites.activations if name not in sites.ranges_of]
    return {
        names.activations[name]: QuantizedActivation(spec.activations[name], signed=signed)
        for name in wanted
        if name in names.activations
    }


def _readers(
    names: Names, sites: QuantSites, model: FloatModel
) -> dict[Place, frozenset[int] | None]:
    """Numbers of the calls that read each place quantized: those that give what its readers give.

    All do, where the file says so, or where a reader is not found in the module.
    """
    gives = {node.name: names.activations.get(node.output[0]) for node in model.proto.graph.node}
    found: dict[Place, frozenset[int] | None] = {}
    for name, nodes in sites.activations.items():
        if name not in names.activations:
            continue
        places = [gives[node] for node in nodes or ()]
        known = [place.number for place in places if place is not None]
        whole = nodes is None or len(known) < len(places)
        found[names.activations[name]] = None if whole else frozenset(known)
    return found


def _reading(
    numbers: frozenset[int] | None, place: Place, tensor: Any, calls: tuple[Call, ...]
) -> frozenset[int] | None:
    """These calls, if each reads the very tensor: no view of it, and not what a dropout gave.

    In inference a dropout gives the tensor itself, in training another.
    """
    if not numbers:
        return None
    read = all(any(tensor is one for one in calls[number].arguments) for number in numbers)
    between = calls[place.number + 1 : max(numbers)]
    passed = any(tensor is one for made in between for one in made.given)
    return numbers if read and not passed else None


def _weights(names: Names, sites: QuantSites, spec: QuantSpec) -> dict[str, QuantizedWeight]:
    found = {}
    for name, axis in sites.weights.items():
        if name in names.weights:
            parameter, turned = names.weights[name]
            found[parameter] = QuantizedWeight(spec.weights[name], 1 - axis if turned else axis)
    return found


def plain(module: Any) -> Any:
    """A copy of a fake-quantized module without its quantizers, in evaluation mode."""
    work = copied(module)
    getattr(work, PART).detach(work)
    return work.eval()


def learned_spec(
    module: Any, inputs: Mapping[str, Any], model: FloatModel, calibrated: QuantSpec
) -> QuantSpec:
    """What a fake-quantized module has learned, by the names of its plain copy's file.

    Tensors that it did not learn have the range of `calibrated`.
    """
    part = getattr(module, PART)
    float_copy = plain(module)
    names = names_of(float_copy, model, inputs, record(float_copy, inputs))
    places, parameters = part.by_place(), part.by_parameter()
    activations = {
        name: places[place].learned()
        for name, place in names.activations.items()
        if place in places and name in calibrated.activations
    }
    weights = {
        name: parameters[parameter].learned(calibrated.weights[name].axis)
        for name, (parameter, _) in names.weights.items()
        if parameter in parameters and name in calibrated.weights
    }
    return attrs.evolve(
        calibrated,
        activations={**calibrated.activations, **activations},
        weights={**calibrated.weights, **weights},
    )
