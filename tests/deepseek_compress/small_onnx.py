"""Small ONNX networks, one for each idiom, with weights drawn at random."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper

SIDE, CHANNELS = 8, 4


class Net:
    """A graph that grows call by call; each call gives the name of its result."""

    def __init__(self, shape=("batch", CHANNELS, SIDE, SIDE), seed=0):
        self.shape, self.nodes, self.constants = shape, [], []
        self.rng = np.random.default_rng(seed)

    def node(self, kind, inputs, **attributes):
        name = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], name=f"n_{name}", **attributes))
        return name

    def constant(self, values, name=None):
        name = name or f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def drawn(self, *shape):
        scale = 1 / np.sqrt(np.prod(shape[1:]))
        return self.constant((self.rng.normal(size=shape) * scale).astype(np.float32))

    def bias(self, count):
        return self.constant(self.rng.normal(size=count, scale=0.1).astype(np.float32))

    def conv(self, x, out, into, kernel=3, group=1, weight=None, **attributes):
        weight = weight or self.drawn(out, into // group, kernel, kernel)
        pads = [kernel // 2] * 4
        return self.node("Conv", [x, weight, self.bias(out)], pads=pads, group=group, **attributes)

    def relu(self, x):
        return self.node("Relu", [x])

    def pool(self, x):
        return self.node("GlobalAveragePool", [x])

    def flat(self, x):
        return self.node("Flatten", [x], axis=1)

    def gemm(self, x, out, into):
        return self.node("Gemm", [x, self.drawn(out, into), self.bias(out)], transB=1)

    def model(self, *outputs, opset=17, dtype=TensorProto.FLOAT):
        graph = helper.make_graph(
            self.nodes,
            "small",
            [helper.make_tensor_value_info("x", dtype, self.shape)],
            [helper.make_tensor_value_info(name, dtype, None) for name in outputs],
            self.constants,
        )
        opsets = [helper.make_opsetid("", opset)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def with_head(net, features, channels=8, **more):
    return net.model(net.gemm(net.flat(net.pool(features)), 5, channels), **more)


def residual(**more):
    net = Net()
    stem = net.relu(net.conv("x", 8, 4))
    left = net.conv(net.relu(net.conv(stem, 8, 8)), 8, 8)
    inner = net.relu(net.node("Add", [left, stem]))
    return with_head(net, net.relu(net.conv(inner, 8, 8)), **more)


def concat():
    net = Net()
    one, two = net.relu(net.conv("x", 4, 4)), net.relu(net.conv("x", 4, 4, kernel=1))
    return with_head(net, net.conv(net.node("Concat", [one, two], axis=1), 8, 8))


def squeeze_excite():
    net = Net()
    stem = net.relu(net.conv("x", 8, 4))
    small = net.relu(net.conv(net.pool(stem), 4, 8, kernel=1))
    gate = net.node("Sigmoid", [net.conv(small, 8, 4, kernel=1)])
    return with_head(net, net.conv(net.node("Mul", [stem, gate]), 8, 8))


def depthwise():
    net = Net()
    wide = net.relu(net.conv("x", 8, 4, kernel=1))
    bounds = [net.constant(np.float32(0)), net.constant(np.float32(6))]
    deep = net.node("Clip", [net.conv(wide, 8, 8, group=8), *bounds])
    return with_head(net, net.conv(deep, 8, 8, kernel=1))


def transposed():
    net = Net()
    stem = net.relu(net.conv("x", 8, 4))
    up = net.node("ConvTranspose", [stem, net.drawn(8, 8, 2, 2), net.bias(8)], strides=[2, 2])
    return with_head(net, net.relu(net.conv(net.relu(up), 8, 8)))


def gemm():
    net = Net(("batch", 12))
    return net.model(net.gemm(net.relu(net.gemm("x", 16, 12)), 5, 16))


def matmul():
    net = Net(("batch", 6, 12))
    hidden = net.relu(net.node("MatMul", ["x", net.drawn(12, 16)]))
    return net.model(net.node("MatMul", [hidden, net.drawn(16, 5)]))


def shared():
    net = Net()
    stem = net.relu(net.conv("x", 8, 4))
    weight = net.drawn(8, 8, 3, 3)
    once = net.relu(net.conv(stem, 8, 8, weight=weight))
    return with_head(net, net.relu(net.conv(once, 8, 8, weight=weight)))


IDIOMS = {
    made.__name__: made
    for made in (
        residual, concat, squeeze_excite, depthwise, transposed, gemm, matmul, shared,
    )
}  # fmt: skip


def samples_for(model, count=64, seed=0):
    """Noise in the shape of the model's input, a little off zero."""
    shape = [d.dim_value or 1 for d in model.graph.input[0].type.tensor_type.shape.dim]
    draw = np.random.default_rng(seed)
    return (draw.normal(size=(count, *shape[1:])) + 0.2).astype(np.float32)
