"""What a newcomer has at hand: a few models and files of their own, and the command line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from deepseek_onnx.operators import attach_match

WIDTH = 8
ITEMS = 70
KNOWN = 100
COMMAND = (sys.executable, "-P", "-m", "deepseek_core")


def whole_numbers(seed, *shape):
    """Small whole numbers as float32: sums of their products are exact in any order."""
    return np.random.default_rng(seed).integers(-4, 5, shape).astype(np.float32)


def tensor(name, *shape, dtype=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, dtype, shape)


def as_model(nodes, inputs, outputs, weights=None, domains=()):
    constants = [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()]
    graph = helper.make_graph(nodes, "newcomer", inputs, outputs, constants)
    opsets = [helper.make_opsetid("", 18), *(helper.make_opsetid(d, 1) for d in domains)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def layer(second="Relu", domain=""):
    """x[n, 8] -> y[n, 8]: a matrix product and another operator, Relu by default."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["m"]),
        helper.make_node(second, ["m"], ["y"], domain=domain, name="second"),
    ]
    ends = [tensor("x", "n", WIDTH)], [tensor("y", "n", WIDTH)]
    weights = {"w": whole_numbers(0, WIDTH, WIDTH)}
    return as_model(nodes, *ends, weights, domains=[domain] if domain else [])


def convolution():
    """image[n, 3, 16, 16] -> y[n, 4]."""
    nodes = [
        helper.make_node("Conv", ["image", "kernel"], ["c"]),
        helper.make_node("GlobalAveragePool", ["c"], ["p"]),
        helper.make_node("Flatten", ["p"], ["y"]),
    ]
    ends = [tensor("image", "n", 3, 16, 16)], [tensor("y", "n", 4)]
    return as_model(nodes, *ends, {"kernel": whole_numbers(1, 4, 3, 3, 3)})


def words():
    """x[n, 8] -> the strings `file`[n], a name that numpy.savez keeps for itself."""
    nodes = [
        helper.make_node("ReduceSum", ["x", "axis"], ["sum"], keepdims=0),
        helper.make_node("Cast", ["sum"], ["file"], to=TensorProto.STRING),
    ]
    ends = [tensor("x", "n", WIDTH)], [tensor("file", "n", dtype=TensorProto.STRING)]
    return as_model(nodes, *ends, {"axis": np.array([1])})


def furnish(folder):
    """Write models, arrays and pictures into the folder, good ones and bad ones."""
    onnx.save(layer(), folder / "layer.onnx")
    onnx.save(attach_match(layer(), query="y", metric="l2"), folder / "match.onnx")
    onnx.save(convolution(), folder / "pictures.onnx")
    onnx.save(words(), folder / "words.onnx")
    onnx.save(layer("Frobnicate", "com.acme"), folder / "foreign.onnx")
    whole = (folder / "match.onnx").read_bytes()
    (folder / "truncated.onnx").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.onnx").write_bytes(b"")
    np.savez(folder / "x.npz", x=whole_numbers(2, ITEMS, WIDTH))
    np.savez(folder / "known.npz", gallery=abs(whole_numbers(3, KNOWN, WIDTH)), k=np.array([3]))
    furnish_bad_arrays(folder)
    furnish_pictures(folder)
    return folder


def furnish_bad_arrays(folder):
    np.savez(folder / "wide.npz", x=np.zeros((4, WIDTH + 1), np.float32))
    np.savez(folder / "double.npz", x=np.zeros((4, WIDTH)))
    np.savez(folder / "other_name.npz", z=np.zeros((4, WIDTH), np.float32))
    np.savez(folder / "nothing.npz", x=np.zeros((0, WIDTH), np.float32))
    np.savez(folder / "objects.npz", x=np.array([{"a": 1}], dtype=object))
    np.save(folder / "lone.npy", np.zeros((4, WIDTH), np.float32))
    (folder / "text.npz").write_text("these are no arrays\n")
    (folder / "half.npz").write_bytes((folder / "x.npz").read_bytes()[:400])


def furnish_pictures(folder):
    from PIL import Image

    (folder / "photos").mkdir()
    (folder / "no_photos").mkdir()
    (folder / "torn_photos").mkdir()
    for number in range(5):
        pixels = np.random.default_rng(number).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "photos" / f"{number}.png")
    whole = (folder / "photos" / "0.png").read_bytes()
    (folder / "torn_photos" / "0.png").write_bytes(whole[: len(whole) // 2])


def settings(cache, **more):
    """The environment of a user who set no switch, with a cache folder of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DEEPSEEK_")}
    ours = {"DEEPSEEK_CACHE_DIR": str(cache), "DEEPSEEK_CONFIG": str(cache / "no_config.toml")}
    return kept | ours | {"PYTHONWARNINGS": "error"} | more


class Desk:
    """A folder to work in and a cache folder; calls `ds-sdk` there."""

    def __init__(self, folder: Path, cache: Path) -> None:
        self.folder, self.cache = folder, cache

    def __call__(self, *words, **more):
        return subprocess.run(
            [*COMMAND, *words], cwd=self.folder, env=settings(self.cache, **more),
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    def start(self, *words, **more):
        """The same, still running, as the leader of a process group."""
        return subprocess.Popen(
            [*COMMAND, *words], cwd=self.folder, env=settings(self.cache, **more), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip

    def json(self, *words):
        """What a call with --json says; it must end well and say nothing else on stdout."""
        process = self(*words, "--json")
        assert process.returncode == 0, process.stderr
        return strict_json(process.stdout)

    def names(self):
        return {str(path.relative_to(self.folder)) for path in self.folder.rglob("*")}


def strict_json(text):
    """JSON as the standard has it, which knows no NaN and no Infinity."""

    def refuse(word):
        raise AssertionError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)
