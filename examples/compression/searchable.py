"""Makes a compressed network a model of the demo: raw pictures in, nearest known pictures out.

    python examples/compression/searchable.py out/visual_search/model.ort_x86.onnx mine.onnx
    ds-sdk demo --model mine.onnx

A recipe's file maps float32 pictures to float32 embeddings. The demo feeds uint8 pictures and looks
the nearest up by int8 embeddings, which is faster; so these two ends are put on, and the matching
stage behind them. Center and scale of the embedding are learned from known pictures.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from deepseek_core import errors
from deepseek_onnx.operators import attach_match
from deepseek_onnx.ort import ort

sys.path.append(str(Path(__file__).parents[1] / "visual_search"))

from dataset import load_crops, split_by_board

PERCENTILE = 99.99  # of embeddings, the largest value that an int8 holds
NUM_LEARNED = 1024  # pictures
BATCH = 64


def main() -> int:
    """Read, finish, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("compressed", type=Path, help="what a recipe left")
    parser.add_argument("output", type=Path, help="the file to write")
    arguments = parser.parse_args()
    pictures = known_sample(split_by_board(load_crops())[0].images)
    try:
        made = searchable(onnx.load(arguments.compressed), pictures)
    except (errors.DeepSeekError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    arguments.output.write_bytes(made.SerializeToString(deterministic=True))
    print(f"wrote {arguments.output}")
    return 0


def known_sample(pictures: np.ndarray) -> np.ndarray:
    """Some of the known pictures, to learn center and scale from."""
    return pictures[np.random.default_rng(0).permutation(len(pictures))[:NUM_LEARNED]]


def searchable(model: onnx.ModelProto, pictures: np.ndarray) -> onnx.ModelProto:
    """The model from uint8 [N, 64, 64] to int8 embeddings and their nearest neighbors.

    `model` has one input of float32 pictures and one output [N, width]; `pictures` are known ones.

    Raises:
        InputError: it has others.
    """
    _check(model)
    embeddings = embed(model, pictures)
    mean = embeddings.mean(axis=0, dtype=np.float64).astype(np.float32)
    scale = np.float32(np.percentile(np.abs(embeddings - mean), PERCENTILE) / 127)
    made = onnx.ModelProto()
    made.CopyFrom(model)
    _take_bytes(made)
    _give_int8(made, mean, scale)
    return attach_match(made, query="embedding", metric="l2")


def _check(model: onnx.ModelProto) -> None:
    graph = model.graph
    types = [value.type.tensor_type.elem_type for value in (*graph.input, *graph.output)]
    if len(graph.input) != 1 or len(graph.output) != 1 or set(types) != {TensorProto.FLOAT}:
        names = ", ".join(value.name for value in (*graph.input, *graph.output))
        raise errors.InputError(
            f"the model has {names}, and not one float32 input and one float32 output",
            remedy="give model.ort_x86.onnx as the recipe left it",
        )


def embed(model: onnx.ModelProto, pictures: np.ndarray) -> np.ndarray:
    """Embeddings float32 [N, width] of pictures."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name
    batches = (pictures[at : at + BATCH] for at in range(0, len(pictures), BATCH))
    found = [session.run(None, {name: each.astype(np.float32)})[0] for each in batches]
    return np.concatenate(found)


def _take_bytes(model: onnx.ModelProto) -> None:
    """Let the input be uint8, under the name `images`, and make it float32 first."""
    (given,) = model.graph.input
    _rename(model.graph, given.name, "images_float")
    given.name = "images"
    given.type.tensor_type.elem_type = TensorProto.UINT8
    cast = helper.make_node(
        "Cast", ["images"], ["images_float"], name="images_float", to=TensorProto.FLOAT
    )
    model.graph.node.insert(0, cast)


def _give_int8(model: onnx.ModelProto, mean: np.ndarray, scale: np.float32) -> None:
    """Center the output, and round it to int8 under the name `embedding`."""
    (result,) = model.graph.output
    constants = {"known_mean": mean, "embedding_scale": scale, "embedding_zero": np.int8(0)}
    model.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()
    )
    _rename(model.graph, result.name, "unit")
    result.name = "embedding"
    result.type.tensor_type.elem_type = TensorProto.INT8
    model.graph.node.extend([
        helper.make_node("Sub", ["unit", "known_mean"], ["centered"], name="centered"),
        helper.make_node(
            "QuantizeLinear",
            ["centered", "embedding_scale", "embedding_zero"],
            ["embedding"],
            name="embedding",
        ),
    ])  # fmt: skip


def _rename(graph: onnx.GraphProto, old: str, new: str) -> None:
    for node in graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
        node.output[:] = [new if name == old else name for name in node.output]


if __name__ == "__main__":
    sys.exit(main())
