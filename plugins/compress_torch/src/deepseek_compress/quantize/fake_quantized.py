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
from deepseek_compress.quantize.calls import Place, floats_of, name_of, record
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


class FakeQuantization(torch.nn.Module):  # type: ignore[misc]
    """The quantizers of a module.

    `places` and `parameter_names` say what each is for; `functions` are the names of the calls
    whose results are quantized.
    """

    def __init__(
        self,
        activations: Mapping[Place, QuantizedActivation],
        weights: Mapping[str, QuantizedWeight],
        functions: Mapping[int, str],
    ) -> None:
        super().__init__()
        self.activations = torch.nn.ModuleList(activations.values())
        self.weights = torch.nn.ModuleList(weights.values())
        self.places, self.parameter_names = tuple(activations), tuple(weights)
        self.functions = dict(functions)
        self.running: list[_Watching] = []
        self.handles: list[Any] = []

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
        places = self.by_place()
        values = [*args, *kwargs.values()]
        at = 0
        for number, value in enumerate(values):
            if isinstance(value, torch.Tensor) and value.is_floating_point():
                quantizer = places.get(Place(-1, at))
                values[number] = value if quantizer is None else quantizer(value)
                at += 1
        watching = _Watching(places, weights, self.functions)
        self.running.append(watching)
        watching.__enter__()
        return tuple(values[: len(args)]), dict(zip(kwargs, values[len(args) :], strict=True))

    def leave(self, _module: Any, _args: Any, _output: Any) -> None:
        """End a run, whether it gave a result or raised."""
        if self.running:
            self.running.pop().__exit__(None, None, None)


class _Watching(TorchFunctionMode):  # type: ignore[misc]
    """Quantizes weights that calls read and tensors that they give, during one run."""

    def __init__(
        self, places: Mapping[Place, Any], weights: Mapping[int, Any], functions: Mapping[int, str]
    ) -> None:
        super().__init__()
        self._places, self._weights, self._functions = places, weights, functions
        self._quantized: dict[int, Any] = {}  # a weight that several calls read is rounded once
        self._number = 0

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        named = {name: self._weight(value) for name, value in (kwargs or {}).items()}
        result = func(*(self._weight(value) for value in args), **named)
        if not floats_of(result):
            return result
        number, self._number = self._number, self._number + 1
        if number not in self._functions:
            return result
        self._check(number, name_of(func))
        return self._rounded(result, number)

    def _weight(self, value: Any) -> Any:
        quantizer = self._weights.get(id(value))
        if quantizer is None:
            return value
        if id(value) not in self._quantized:
            self._quantized[id(value)] = quantizer(value)
        return self._quantized[id(value)]

    def _check(self, number: int, name: str) -> None:
        if self._functions[number] != name:
            raise errors.InputError(
                f"call {number} of the model is {name}, and was {self._functions[number]} when it "
                "was prepared: it computes otherwise in training than in inference",
                remedy="let forward() call the same functions whatever self.training is",
            )

    def _rounded(self, result: Any, number: int) -> Any:
        if isinstance(result, torch.Tensor):
            return self._places[Place(number)](result)
        made, at = [], 0
        for value in result:
            if isinstance(value, torch.Tensor) and value.is_floating_point():
                quantizer = self._places.get(Place(number, at))
                made.append(value if quantizer is None else quantizer(value))
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
    numbers = {place.number for place in activations if place.number >= 0}
    part = FakeQuantization(
        activations, weights, {number: calls[number].name for number in numbers}
    )
    part.attach(work)
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
