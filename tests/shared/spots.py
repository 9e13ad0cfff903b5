"""A small model of a free batch, samples of it, and recipes that make files of it."""

import numpy as np
from onnx import numpy_helper, parser

HEAD = """
[model]
path = "model.onnx"

[data]
calibration = "samples.npz"
test = "samples.npz"
"""


def write_spots(folder):
    """Write `model.onnx` and `samples.npz`, 300 of them."""
    draw = np.random.default_rng(0)
    proto = parser.parse_model("""
        <ir_version: 9, opset_import: ["" : 17]>
        spots (float[N, 4, 8, 8] x) => (float[N, 8] y) {
            h = Conv <pads = [1, 1, 1, 1]> (x, w)
            r = Relu(h)
            p = GlobalAveragePool(r)
            f = Flatten(p)
            y = Gemm(f, v)
        }
    """)
    for name, shape in (("w", (128, 4, 3, 3)), ("v", (128, 8))):
        weight = draw.standard_normal(shape).astype(np.float32)
        proto.graph.initializer.append(numpy_helper.from_array(weight, name))
    (folder / "model.onnx").write_bytes(proto.SerializeToString())
    x = draw.standard_normal((300, 4, 8, 8)).astype(np.float32)
    np.savez(folder / "samples.npz", x=x, y=np.arange(300) % 8)
