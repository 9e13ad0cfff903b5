"""Small float ONNX models of the idioms that exporters write."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper

RNG = np.random.default_rng(7)


class Net:
    """Builds a model node by node; each method gives the name of the tensor it made."""

    def __init__(self, shape, opset=17, ir_version=8):
        self.nodes, self.constants, self.opset, self.ir_version = [], [], opset, ir_version
        self.inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]

    def constant(self, values, name=None):
        name = name or f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def node(self, kind, *inputs, name=None, outputs=1, **attributes):
        name = name or f"{kind}{len(self.nodes)}".lower()
        made = [f"{name}_out{i or ''}" for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, inputs, made, name=name, **attributes))
        return made[0]

    def conv(self, x, into, out, kernel=3, bias=True, weight=None, **attributes):
        group = attributes.get("group", 1)
        if weight is None:
            values = RNG.normal(size=(out, into // group, kernel, kernel)) / kernel / into**0.5
            weight = self.constant(values.astype(np.float32))
        parts = [x, weight]
        if bias:
            parts.append(self.constant(RNG.normal(size=out).astype(np.float32) / 4))
        return self.node("Conv", *parts, pads=[kernel // 2] * 4, **attributes)

    def gemm(self, x, into, out):
        weight = self.constant((RNG.normal(size=(out, into)) / into**0.5).astype(np.float32))
        bias = self.constant(RNG.normal(size=out).astype(np.float32))
        return self.node("Gemm", x, weight, bias, transB=1)

    def head(self, x, channels, classes=5):
        pooled = self.node("Flatten", self.node("GlobalAveragePool", x))
        return self.gemm(pooled, channels, classes)

    def model(self, *outputs):
        found = [helper.make_empty_tensor_value_info(name) for name in outputs]
        for value in found:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
        graph = helper.make_graph(self.nodes, "net", self.inputs, found, self.constants)
        opsets = [helper.make_opsetid("", self.opset)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=self.ir_version)


def residual(opset=17, batch="N"):
    """Convolutions, Relus, a residual addition, a pooling, a head."""
    net = Net([batch, 3, 12, 12], opset)
    a = net.node("Relu", net.conv("x", 3, 8))
    b = net.node("Relu", net.conv(a, 8, 8))
    c = net.node("Relu", net.node("Add", net.conv(b, 8, 8), a))
    d = net.node("MaxPool", c, kernel_shape=[2, 2], strides=[2, 2])
    e = net.node("Relu", net.conv(d, 8, 16))
    return net.model(net.head(e, 16))


def squeeze_excite():
    """Depthwise convolution, Clip of (0, 6), a gate that multiplies, HardSwish, Concat."""
    net = Net(["N", 4, 8, 8])
    zero, six = net.constant(np.float32(0)), net.constant(np.float32(6))
    a = net.node("Clip", net.conv("x", 4, 8), zero, six)
    b = net.node("HardSwish", net.conv(a, 8, 8, group=8))
    gate = net.node("Relu", net.conv(net.node("GlobalAveragePool", b), 8, 8, kernel=1))
    gate = net.node("HardSigmoid", net.conv(gate, 8, 8, kernel=1))
    c = net.node("Concat", net.node("Mul", b, gate), a, axis=1)
    silu = net.conv(c, 16, 8)
    d = net.node("Mul", silu, net.node("Sigmoid", silu))
    return net.model(net.head(net.conv(d, 8, 8), 8))


def perceptron():
    """Gemm and MatMul only."""
    net = Net(["N", 16])
    a = net.node("Relu", net.gemm("x", 16, 32))
    weight = net.constant((RNG.normal(size=(32, 8)) / 6).astype(np.float32))
    return net.model(net.node("MatMul", a, weight))


def pictures(count=48, channels=3, side=12, seed=0):
    """Noise with a level of its own in each sample."""
    rng = np.random.default_rng(seed)
    level = rng.normal(size=(count, 1, 1, 1))
    return (rng.normal(size=(count, channels, side, side)) + level).astype(np.float32)
