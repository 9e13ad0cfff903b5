"""Small ONNX networks, one for each idiom that exporters write, with weights drawn at random."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper

SIDE, CHANNELS = 8, 4


class Net:
    """A graph that grows call by call; each call gives the name of its result."""

    def __init__(self, shape=("batch", CHANNELS, SIDE, SIDE), opset=17, ir_version=8, seed=0):
        self.nodes, self.constants, self.opset, self.ir_version = [], [], opset, ir_version
        self.inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
        self.rng = np.random.default_rng(seed)

    def node(self, kind, *inputs, name=None, **attributes):
        name = name or f"{kind}{len(self.nodes)}".lower()
        made = f"{name}_out"
        self.nodes.append(helper.make_node(kind, inputs, [made], name=name, **attributes))
        return made

    def constant(self, values, name=None):
        name = name or f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def drawn(self, *shape):
        scale = 1 / np.sqrt(np.prod(shape[1:]))
        return self.constant((self.rng.normal(size=shape) * scale).astype(np.float32))

    def bias(self, count):
        return self.constant(self.rng.normal(size=count, scale=0.2).astype(np.float32))

    def conv(self, x, into, out, kernel=3, group=1, weight=None, bias=True, **attributes):
        weight = weight or self.drawn(out, into // group, kernel, kernel)
        parts = [x, weight, *([self.bias(out)] if bias else [])]
        return self.node("Conv", *parts, pads=[kernel // 2] * 4, group=group, **attributes)

    def normalized(self, x, channels):
        """What a batch normalization of drawn statistics makes of it."""
        parts = [*(self.rng.normal(size=channels) for _ in range(3))]
        parts.append(self.rng.uniform(0.5, 2.0, channels))
        names = [self.constant(part.astype(np.float32)) for part in parts]
        return self.node("BatchNormalization", x, *names)

    def relu(self, x):
        return self.node("Relu", x)

    def pool(self, x):
        return self.node("GlobalAveragePool", x)

    def gemm(self, x, into, out):
        return self.node("Gemm", x, self.drawn(out, into), self.bias(out), transB=1)

    def head(self, x, channels=8, classes=5):
        """The model that ends in classes of these features."""
        flat = self.node("Flatten", self.pool(x), axis=1)
        return self.model(self.gemm(flat, channels, classes))

    def model(self, *outputs):
        found = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
        graph = helper.make_graph(self.nodes, "small", self.inputs, found, self.constants)
        opsets = [helper.make_opsetid("", self.opset)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=self.ir_version)


def residual(batch="batch", **more):
    net = Net((batch, CHANNELS, SIDE, SIDE), **more)
    stem = net.relu(net.conv("x", 4, 8))
    left = net.conv(net.relu(net.conv(stem, 8, 8)), 8, 8)
    inner = net.relu(net.node("Add", left, stem))
    small = net.node("MaxPool", inner, kernel_shape=[2, 2], strides=[2, 2])
    return net.head(net.relu(net.conv(small, 8, 16)), 16)


def concat():
    net = Net()
    one, two = net.relu(net.conv("x", 4, 4)), net.relu(net.conv("x", 4, 4, kernel=1))
    return net.head(net.conv(net.node("Concat", one, two, axis=1), 8, 8))


def squeeze_excite():
    net = Net()
    stem = net.relu(net.conv("x", 4, 8))
    small = net.relu(net.conv(net.pool(stem), 8, 4, kernel=1))
    gate = net.node("Sigmoid", net.conv(small, 4, 8, kernel=1))
    return net.head(net.conv(net.node("Mul", stem, gate), 8, 8))


def hard_gates():
    """Depthwise convolution, HardSwish, a HardSigmoid that multiplies, SiLU."""
    net = Net()
    zero, six = net.constant(np.float32(0)), net.constant(np.float32(6))
    clipped = net.node("Clip", net.conv("x", 4, 8), zero, six)
    deep = net.node("HardSwish", net.conv(clipped, 8, 8, group=8))
    gate = net.relu(net.conv(net.pool(deep), 8, 8, kernel=1))
    gate = net.node("HardSigmoid", net.conv(gate, 8, 8, kernel=1))
    both = net.node("Concat", net.node("Mul", deep, gate), clipped, axis=1)
    silu = net.conv(both, 16, 8)
    return net.head(net.conv(net.node("Mul", silu, net.node("Sigmoid", silu)), 8, 8))


def depthwise():
    net = Net()
    wide = net.relu(net.conv("x", 4, 8, kernel=1))
    bounds = [net.constant(np.float32(0)), net.constant(np.float32(6))]
    deep = net.node("Clip", net.conv(wide, 8, 8, group=8), *bounds)
    return net.head(net.conv(deep, 8, 8, kernel=1))


def transposed():
    net = Net()
    stem = net.relu(net.conv("x", 4, 8))
    up = net.node("ConvTranspose", stem, net.drawn(8, 8, 2, 2), net.bias(8), strides=[2, 2])
    return net.head(net.relu(net.conv(net.relu(up), 8, 8)))


def gemm():
    net = Net(("batch", 12))
    return net.model(net.gemm(net.relu(net.gemm("x", 12, 16)), 16, 5))


def matmul():
    net = Net(("batch", 6, 12))
    hidden = net.relu(net.node("MatMul", "x", net.drawn(12, 16)))
    return net.model(net.node("MatMul", hidden, net.drawn(16, 5)))


def shared():
    net = Net()
    stem = net.relu(net.conv("x", 4, 8))
    weight = net.drawn(8, 8, 3, 3)
    once = net.relu(net.conv(stem, 8, 8, weight=weight))
    return net.head(net.relu(net.conv(once, 8, 8, weight=weight)))


IDIOMS = {
    made.__name__: made
    for made in (
        residual, concat, squeeze_excite, hard_gates, depthwise, transposed, gemm, matmul, shared,
    )
}  # fmt: skip


def noise(*shape, seed=0):
    """Samples with a level of their own each."""
    draw = np.random.default_rng(seed)
    level = draw.normal(size=(shape[0], *[1] * (len(shape) - 1)))
    return (draw.normal(size=shape) + level).astype(np.float32)


def samples_for(model, count=64, seed=0):
    """Noise in the shape of the model's input."""
    shape = [d.dim_value or 1 for d in model.graph.input[0].type.tensor_type.shape.dim]
    return noise(count, *shape[1:], seed=seed)
