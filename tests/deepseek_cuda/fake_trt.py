"""A TensorRT runtime of the tests' own: an "engine" is a text that says y = relu(x @ 2).

It computes on the fake driver's memory, and tells the driver what it reads and writes.
"""

import json
from hashlib import sha256

import numpy as np
from fake_kernels import view

ENGINE = b"engine: y = relu(2 x)"
MANIFEST = {
    "format": "deepseek-trt engine 1",
    "flavor": "tensorrt",
    "version": "10.13.3",
    "targets": ["8.0"],
    "device": "A100",
    "options": {
        "profiles": [{"input": "x", "of": "shape", "min": [1, 4], "opt": [8, 4], "max": [64, 4]}]
    },
    "model": "", "key": "", "warnings": [], "simulated": False,
    "inputs": [{"name": "x", "dtype": "FLOAT", "shape": [-1, 4]}],
    "outputs": [{"name": "y", "dtype": "FLOAT", "shape": [-1, 4]}],
}  # fmt: skip


def write(folder, *, content=ENGINE, name="model", **changes):
    """An engine and its manifest; the path of the engine."""
    path = folder / f"{name}.engine"
    path.write_bytes(content)
    facts = {"sha256": sha256(content).hexdigest(), "nbytes": len(content)}
    path.with_name(path.name + ".json").write_text(json.dumps(MANIFEST | facts | changes))
    return path


class FakeRuntime:
    """`Runtime` for `ENGINE`; `refuses` and `full` end the opening as the library would."""

    version = "10.13.3"

    def __init__(self, fake, *, refuses=False, full=False, sized=True):
        self.fake, self.refuses, self.full, self.sized = fake, refuses, full, sized
        self.runs = 0

    def deserialize(self, content):
        return None if self.refuses or content != ENGINE else "engine"

    def context(self, engine):
        return None if self.full else {}

    def set_shape(self, context, name, shape):
        context["shape"] = shape
        return 1 <= shape[0] <= 64 and shape[1] == 4

    def shape(self, context, name):
        return context["shape"] if self.sized else (-1, 4)

    def set_address(self, context, name, address):
        context[name] = address
        return True

    def enqueue(self, context, stream):
        self.runs += 1
        shape = context["shape"]
        nbytes = 4 * int(np.prod(shape))
        reads, writes = [(context["x"], nbytes)], [(context["y"], nbytes)]
        self.fake.work(stream, reads, writes, 1e-5, "the engine")
        x, y = (view(context[name], np.float32, *shape) for name in "xy")
        y[...] = np.maximum(2 * x, 0)
        return True

    def last_words(self):
        return "the library's words"
