"""The OpenCL matcher beside the libraries people use, on one pinned thread.

    python benchmarks/matcher.py --rounds 15 --json out/matcher.json

Every contestant finds the two nearest gallery rows of each query; transfers, packing of the queries
and reading of the result are included. An OpenCL row names its device and what that device is (`cpu-runtime`: OpenCL on
the CPU; `emulator`: an FPGA emulator on the CPU). Nothing here is the speed of FPGA hardware.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import _report  # type: ignore[import-not-found,unused-ignore]

if __name__ == "__main__" and not {"-h", "--help"} & set(sys.argv):
    _report.pin()

import numpy as np

K = 2
DISTRIBUTIONS = (
    "numpy", "faiss-cpu", "torch", "opencv-python-headless", "pyopencl", "pocl-binary-distribution",
)  # fmt: skip
# name: (metric, queries, gallery rows, elements a row)
SHAPES = {
    "L2 1024 x 16384 x 128": ("l2_f32", 1024, 16384, 128),
    "Hamming 1024 x 16384 x 256 bit": ("hamming", 1024, 16384, 32),
    "L2 784 x 8192 x 128": ("l2_f32", 784, 8192, 128),
    "int8 32 x 11569 x 1280": ("l2_i8", 32, 11569, 1280),
    "float32 32 x 11569 x 1280": ("l2_f32", 32, 11569, 1280),
}
BARS = {"hamming": {"faiss": 3.2}, "l2_f32": {"faiss": 3.0, "numpy": 0.6}, "l2_i8": {"numpy": 0.6}}
Array = np.ndarray[Any, np.dtype[Any]]
Contestants = dict[str, Callable[[], Array]]


def random_rows(rng: np.random.Generator, metric: str, count: int, dim: int) -> Array:
    if metric == "l2_f32":
        return rng.random((count, dim), dtype=np.float32)
    rows = rng.integers(-128, 128, (count, dim), np.int8)
    return rows.view(np.uint8) if metric == "hamming" else rows


def opencl(metric: Any, queries: Array, gallery: Array, cache: Path) -> Contestants:
    """One contestant for each OpenCL device present."""
    from deepseek_fpga.matcher import Matcher
    from deepseek_fpga.opening import open_device
    from deepseek_fpga.platforms import list_devices

    found: Contestants = {}
    for record in list_devices().devices:
        matcher = Matcher(
            open_device(record.id), gallery, metric=metric, k=K, cache_folder=cache, threads=1
        )
        variant = matcher.variant_for(len(queries))
        tile = f"{variant.words} {variant.rows}x{variant.lanes}"
        name = f"ours on {record.id} ({record.evidence}, {tile})"
        found[name] = lambda matcher=matcher: matcher.query(queries)[0]  # type: ignore[misc]
    return found


def peers(metric: str, queries: Array, gallery: Array) -> Contestants:
    """The libraries; more contestants (other devices of the SDK) are added beside these."""
    if metric == "hamming":
        return {**_faiss_binary(queries, gallery), **_opencv(metric, queries, gallery)}
    q, g = queries.astype(np.float32), gallery.astype(np.float32)
    found = {**_faiss(q, g), **_numpy(q, g), **_torch(q, g)}
    return found if metric == "l2_i8" else {**found, **_opencv(metric, q, g)}


def _faiss(queries: Array, gallery: Array) -> Contestants:
    import faiss

    faiss.omp_set_num_threads(1)
    index = faiss.IndexFlatL2(gallery.shape[1])
    index.add(gallery)
    return {"faiss IndexFlatL2": lambda: index.search(queries, K)[1]}


def _faiss_binary(queries: Array, gallery: Array) -> Contestants:
    import faiss

    faiss.omp_set_num_threads(1)
    index = faiss.IndexBinaryFlat(gallery.shape[1] * 8)
    index.add(gallery)
    return {"faiss IndexBinaryFlat": lambda: index.search(queries, K)[1]}


def _numpy(queries: Array, gallery: Array) -> Contestants:
    norms = (gallery * gallery).sum(1)

    def search() -> Array:
        scores = queries @ gallery.T
        scores *= -2
        scores += norms
        near = np.argpartition(scores, K, axis=1)[:, :K]
        order = np.argsort(np.take_along_axis(scores, near, 1), axis=1)
        return np.take_along_axis(near, order, 1)

    return {"numpy GEMM + argpartition": search}


def _torch(queries: Array, gallery: Array) -> Contestants:
    import torch

    torch.set_num_threads(1)
    q, g = torch.from_numpy(queries), torch.from_numpy(gallery)
    norms = (g * g).sum(1)

    def search() -> Array:
        scores = torch.addmm(norms, q, g.T, alpha=-2)
        return np.asarray(scores.topk(K, dim=1, largest=False).indices)

    return {"torch addmm + topk": search}


def _opencv(metric: str, queries: Array, gallery: Array) -> Contestants:
    import cv2

    cv2.setNumThreads(1)
    matcher = cv2.BFMatcher(cv2.NORM_HAMMING if metric == "hamming" else cv2.NORM_L2)

    def search() -> Array:
        found = matcher.knnMatch(queries, gallery, K)
        return np.array([[match.trainIdx for match in row] for row in found])

    return {"OpenCV BFMatcher": search}


def check(results: dict[str, Array]) -> None:
    """All must name the same neighbors, up to rounding and ties."""
    reference = next(iter(results.values()))
    for name, indices in results.items():
        agreement = float((indices[:, 0] == reference[:, 0]).mean())
        if agreement < 0.99:
            raise SystemExit(f"{name} agrees with ours on {agreement:.1%} of the queries only")


def run_shape(name: str, report: _report.Report, cache: Path, args: argparse.Namespace) -> None:
    metric, batch, count, dim = SHAPES[name]
    rng = np.random.default_rng(0)
    gallery = random_rows(rng, metric, count, dim)
    queries = random_rows(rng, metric, batch, dim)
    contestants = {**opencl(metric, queries, gallery, cache), **peers(metric, queries, gallery)}
    check({who: run() for who, run in contestants.items()})
    timings = _report.interleave(contestants, rounds=args.rounds, seconds=args.seconds)
    ours = min((w for w in timings if w.startswith("ours")), key=lambda w: timings[w].median_s)
    _report.print_timings(f"{name}, top-{K}", timings, ours)
    for peer, bar in BARS[metric].items():
        who = next(w for w in timings if w.startswith(peer))
        ratio = timings[who].median_s / timings[ours].median_s
        report.at_least(f"{name}: {ours} vs {who}", ratio, bar)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15, help="rounds a shape (default 15)")
    parser.add_argument("--seconds", type=float, help="end a shape's rounds after so many seconds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write machine, versions, rows")
    args = parser.parse_args()
    used = _report.versions(DISTRIBUTIONS)
    _report.print_head("matcher, one pinned thread, interleaved rounds", used)
    report = _report.Report(versions=used)
    with tempfile.TemporaryDirectory() as cache:
        for name in SHAPES:
            run_shape(name, report, Path(cache), args)
    return int(report.finish(args.json))


if __name__ == "__main__":
    sys.exit(main())
