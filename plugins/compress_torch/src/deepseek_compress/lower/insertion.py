"""Puts QuantizeLinear and DequantizeLinear into a float graph, with a spec's exact scales.

A tensor keeps its name behind its DequantizeLinear, so readers, inner graphs and the model's
outputs need no change; what its producer writes is called `NAME__float` then.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import attrs
import numpy as np
from onnx import ModelProto, NodeProto, helper, numpy_helper

from deepseek_compress.lower.integers import (
    bias_integers,
    bias_shift,
    usable_scales,
    weight_integers,
)
from deepseek_compress.lower.means import as_pooling
from deepseek_compress.onnx_graph.graph import GraphIndex, Names
from deepseek_compress.onnx_graph.reading import FloatModel
from deepseek_compress.qspec import QuantSpec, TensorRange
from deepseek_compress.sites import QuantSites

Array = np.ndarray[Any, Any]


@attrs.frozen(kw_only=True, eq=False)
class Scheme:
    """How a runtime's integers are made of a range.

    `signed`: int8 with zero point 0, else uint8 with one; `biases`: quantize them to int32.
    """

    signed: bool
    biases: bool

    def parameters(self, found: TensorRange) -> tuple[np.float32, Array]:
        """Scale, and zero point of the integer's dtype."""
        if self.signed:
            return found.symmetric(), np.array(0, np.int8)
        scale, zero = found.affine()
        return scale, np.array(zero, np.uint8)

    def bounds(self, found: TensorRange) -> tuple[float, float]:
        """The smallest and the largest value that the bits can say."""
        scale, zero = self.parameters(found)
        top = 2 ** (found.bits - 1) - 1 if self.signed else 2**found.bits - 1
        low = -top if self.signed else 0
        return float(scale * (low - int(zero))), float(scale * (top - int(zero)))


def insert(model: FloatModel, spec: QuantSpec, sites: QuantSites, scheme: Scheme) -> ModelProto:
    """A quantized copy of a float model."""
    work = _Insertion(model.copy(), spec, sites, scheme)
    work.weights()
    work.constants()
    work.biases()
    work.absorb()
    work.pool()
    for tensor, readers in sites.activations.items():
        work.activation(tensor, readers)
    return work.finished()


@attrs.define(eq=False)
class _Insertion:
    """A copy that is being changed.

    `first` are nodes that go before all others, `after` those behind the producer of a tensor.
    `scales` are those of weights, `lost` what weights are more than their integers say; `flat` are
    tensors of poolings whose last two axes are dropped.
    """

    proto: ModelProto
    spec: QuantSpec
    sites: QuantSites
    scheme: Scheme
    index: GraphIndex = attrs.field(init=False)
    names: Names = attrs.field(init=False)
    first: list[NodeProto] = attrs.field(factory=list)
    after: dict[str, list[NodeProto]] = attrs.field(factory=lambda: defaultdict(list))
    dropped: set[str] = attrs.field(factory=set)
    flat: set[str] = attrs.field(factory=set)
    scales: dict[str, Array] = attrs.field(factory=dict)
    lost: dict[str, Array] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        self.index = GraphIndex.of(self.proto)
        self.names = Names.of(self.proto)

    def weights(self) -> None:
        """Weights become int8 with a scale for each output channel."""
        for name, axis in self.sites.weights.items():
            values = np.asarray(self.index.constant(name))
            kept = self.spec.weights[name]
            scales = usable_scales(kept, self._biases_of(name))
            self.scales[name] = scales
            integers = weight_integers(values, scales, kept)
            self.lost[name] = values - integers * scales.reshape(_along(axis, values.ndim))
            self._constant(name, integers, scales, axis)

    def _biases_of(self, weight: str) -> list[tuple[Array, np.float32]]:
        """Biases of a weight's products, with their input's scale.

        A bias that stays float is looked at, too: ONNX Runtime makes it int32 by itself.
        """
        uses = [use for use in self.sites.biases.values() if use[2] == weight]
        return [
            (np.asarray(self.index.constant(bias)).reshape(-1), self._scale_of(data))
            for bias, data, _ in uses
        ]

    def constants(self) -> None:
        """Other constants that integer operators read, quantized as a whole."""
        for name, readers in self.sites.constants.items():
            values = np.asarray(self.index.constant(name))
            found = TensorRange(min=values.min(initial=0.0), max=values.max(initial=0.0))
            scale, zero = self.scheme.parameters(found)
            limits = np.iinfo(zero.dtype)
            integers = np.clip(np.rint(values / scale) + zero, limits.min, limits.max)
            made = self.names.fresh(f"{name}__q8")
            self._constant(made, integers.astype(zero.dtype), scale, None, zero)
            self._rename_inputs(name, made, readers)

    def biases(self) -> None:
        """Shift biases by what their layers lost; make them int32 where the scheme has it so.

        That is in the scale of the products that they are added to. Of products with few bits it is
        too coarse, and no runtime fuses them anyway.
        """
        nodes = {node.name: node for node in self.proto.graph.node}
        for name, (bias, data, weight) in self.sites.biases.items():
            old = np.asarray(self.index.constant(bias)).reshape(-1)
            values = old + self._shift(nodes[name], data, weight, old.size)
            scales = (self._scale_of(data) * self.scales[weight]).astype(np.float32)
            if self.scheme.biases and self.range_of(data).bits >= 8 and old.size == scales.size:
                made = self.names.fresh(f"{bias}__of_{name}")
                self._constant(made, bias_integers(values, scales), scales, 0)
            elif (values != old).any():
                made = self._initializer(f"{bias}__of_{name}", values.astype(np.float32))
            else:
                continue
            nodes[name].input[2] = made

    def _shift(self, node: NodeProto, data: str, weight: str, size: int) -> Array:
        """What a layer's bias makes up for; zeros where the means of its input are not known."""
        means = np.asarray(self.spec.activations[self.sites.range_name(data)].means)
        lost = self.lost.get(weight)
        if lost is None or not means.size or node.op_type not in ("Conv", "Gemm"):
            return np.zeros(size)
        found = bias_shift(node, lost.astype(np.float64), means)
        return found if found.size == size else np.zeros(size)

    def absorb(self) -> None:
        """Drop each Relu and Clip whose work the saturation of the integer does."""
        for node in self.proto.graph.node:
            if node.name in self.sites.absorbed:
                maker = self.index.producers[node.input[0]]
                maker.output[0] = node.output[0]
                self.dropped.add(node.name)

    def pool(self) -> None:
        """Make poolings of means; their integers become flat, so that tensors keep their shapes."""
        for node in self.proto.graph.node:
            if node.name in self.sites.pooled and as_pooling(node):
                self.flat.add(node.output[0])

    def range_of(self, tensor: str) -> TensorRange:
        """The range of a tensor, within the bounds of a Relu or Clip that is dropped."""
        name = self.sites.range_name(tensor)
        found = self.spec.activations[name]
        maker = self.index.producers.get(name)
        if maker is None or maker.name not in self.sites.absorbed:
            return found
        low, high = self.sites.absorbed[maker.name]
        clipped = np.clip([found.min, found.max], low, high)
        return attrs.evolve(found, min=clipped[0], max=clipped[1])

    def _scale_of(self, tensor: str) -> np.float32:
        return self.scheme.parameters(self.range_of(tensor))[0]

    def activation(self, tensor: str, readers: frozenset[str] | None) -> None:
        """Quantize a tensor for some of its readers, or for all and the model's outputs."""
        given = tensor in self.index.inputs
        whole = readers is None and not given
        if whole:
            source, target = self.names.fresh(f"{tensor}__float"), tensor
            self._rename_output(tensor, source)
        else:
            source, target = tensor, self.names.fresh(f"{tensor}__q8")
            self._rename_inputs(tensor, target, readers)
        nodes = self._pair(tensor, source, target)
        if given:
            self.first.extend(nodes)
        else:
            self.after[source].extend(nodes)

    def _pair(self, tensor: str, source: str, target: str) -> list[NodeProto]:
        found = self.range_of(tensor)
        scale, zero = self.scheme.parameters(found)
        names = [self._initializer(f"{tensor}__scale", scale)]
        names.append(self._initializer(f"{tensor}__zero", zero))
        nodes = []
        if found.bits < 8:  # saturate where the bits end, which the 8-bit integer does not
            low, high = (np.float32(bound) for bound in self.scheme.bounds(found))
            ends = [self._initializer(f"{tensor}__low", low)]
            ends.append(self._initializer(f"{tensor}__high", high))
            clipped = self.names.fresh(f"{tensor}__clipped")
            nodes.append(self._node("Clip", [source, *ends], clipped, f"{tensor}__Clip"))
            source = clipped
        middle = self.names.fresh(f"{tensor}__integer")
        nodes.append(self._node("QuantizeLinear", [source, *names], middle, f"{tensor}__Q"))
        if tensor in self.flat:
            pooled, middle = middle, self.names.fresh(f"{tensor}__flat")
            nodes.append(self._node("Flatten", [pooled], middle, f"{tensor}__Flatten"))
        nodes.append(self._node("DequantizeLinear", [middle, *names], target, f"{tensor}__DQ"))
        return nodes

    def _node(self, kind: str, inputs: list[str], output: str, name: str) -> NodeProto:
        return helper.make_node(kind, inputs, [output], name=self.names.fresh(name))

    def _rename_output(self, old: str, new: str) -> None:
        for node in self.proto.graph.node:
            if old in node.output and node.name not in self.dropped:
                node.output[:] = [new if name == old else name for name in node.output]

    def _rename_inputs(self, old: str, new: str, readers: frozenset[str] | None) -> None:
        for node in self.proto.graph.node:
            if readers is None or node.name in readers:
                node.input[:] = [new if name == old else name for name in node.input]

    def _constant(
        self,
        name: str,
        integers: Array,
        scales: Any,
        axis: int | None,
        zero: Array | None = None,
    ) -> None:
        """Integers, and the DequantizeLinear that makes the constant `name` of them."""
        inputs = [self._initializer(f"{name}__integer", integers)]
        inputs.append(self._initializer(f"{name}__scale", np.asarray(scales, np.float32)))
        if zero is None and integers.dtype == np.int8:
            zero = np.zeros(np.shape(scales), np.int8)
        if zero is not None:
            inputs.append(self._initializer(f"{name}__zero", zero))
        node = self._node("DequantizeLinear", inputs, name, f"{name}__DQ")
        if axis is not None:
            node.attribute.append(helper.make_attribute("axis", axis))
        self.first.append(node)

    def _initializer(self, wanted: str, values: Any) -> str:
        name = self.names.fresh(wanted)
        self.proto.graph.initializer.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def finished(self) -> ModelProto:
        """The copy with all nodes in their order, and without constants that nothing reads."""
        graph = self.proto.graph
        nodes = [*self.first]
        for node in graph.node:
            if node.name not in self.dropped:
                nodes.append(node)
                for output in node.output:
                    nodes.extend(self.after.get(output, []))
        copies = [_copied(node) for node in nodes]
        del graph.node[:]
        graph.node.extend(copies)
        _drop_unread(self.proto)
        return self.proto


def _along(axis: int, rank: int) -> list[int]:
    """The shape of channels that lie along an axis."""
    return [-1 if at == axis else 1 for at in range(rank)]


def _copied(node: NodeProto) -> NodeProto:
    copied = NodeProto()
    copied.CopyFrom(node)
    return copied


def _drop_unread(proto: ModelProto) -> None:
    read = GraphIndex.of(proto).readers.keys() | {value.name for value in proto.graph.output}
    made = {name for node in proto.graph.node for name in node.output}
    _keep(proto.graph.initializer, lambda t: t.name in read and t.name not in made)
    _keep(proto.graph.value_info, lambda v: False)


def _keep(field: Any, wanted: Callable[[Any], bool]) -> None:
    kept = [entry for entry in field if wanted(entry)]
    del field[:]
    field.extend(kept)
