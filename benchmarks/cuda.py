"""A real NVIDIA GPU: the matcher, the pipeline, and ONNX Runtime's two providers.

    python benchmarks/cuda.py --json out/cuda.json

Needs a GPU that `ds-sdk doctor` calls usable. Without one it says why, writes its rows as not run
and exits with 3. Contestants take turns; transfers in and out are included for all, except where
a row says kernels alone. torch.cdist + topk and faiss-gpu run where they are installed; a row
whose peer is not is written as not run. The roofline is that of NVML's figures: cores, highest
clocks, width of the memory's bus. The bars are goals: this was written without a GPU at hand.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

# Not on the path any longer than that: NVIDIA's bindings, which torch uses, are called `cuda` too.
_FOLDER = str(Path(__file__).parent)
sys.path[:] = [_FOLDER, *(entry for entry in sys.path if entry != _FOLDER)]
import _report  # type: ignore[import-not-found,unused-ignore]  # noqa: E402
from _gpu_peaks import Peaks, peaks  # type: ignore[import-not-found,unused-ignore]  # noqa: E402

sys.path.remove(_FOLDER)

DISTRIBUTIONS = (
    "numpy", "torch", "triton", "onnxruntime-gpu", "onnxruntime", "faiss-gpu-cu12", "tensorrt",
)  # fmt: skip
QUERIES, ROWS, WIDTH, K = 1024, 65536, 128, 2
ITEMS, FEATURES = 1 << 17, 256  # 128 MiB a batch
BARS = {
    "matcher vs torch.cdist + topk": 1.0,
    "matcher vs faiss-gpu": 1.0,
    "matcher, share of the FP32 roofline": 0.25,
    "pipeline: batches in a row vs one by one": 1.3,
    "TensorRT vs CUDA provider": 1.0,
}
UNITS = {"matcher, share of the FP32 roofline": "of it"}
Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Here:
    """A GPU, opened as often as it is wanted, with the settings that are wanted."""

    opened: Callable[..., Any]
    uuid: str


def here() -> Here | str:
    """The first GPU that can be used; else why there is none, with the remedy."""
    from deepseek_core import OpenOptions
    from deepseek_cuda.opening import open_device
    from deepseek_cuda.probe import survey

    found = survey()
    row = next((row for row in found.rows if row.status == "available"), None)
    if row is None:
        first = found.rows[0]
        return f"{first.reason} -> {first.remedy}"
    unit = next(unit for unit in found.view.units if unit.id == row.id)

    def opened(folder: Path, **settings: object) -> Any:
        return open_device(row.id, OpenOptions(threads=1, cache_dir=folder, settings=settings))

    return Here(opened, unit.uuid)


# -- the matcher ---------------------------------------------------------------------------------


def match_stage(gallery: Array, k: int = K) -> Any:
    """Squared L2 to the rows of a gallery, the k nearest."""
    from deepseek_core import Artifact, Operation, Stage, TensorSpec

    width = gallery.shape[1]
    inputs = [
        TensorSpec(name="query", dtype="float32", shape=("batch", width), batch_axis=0),
        TensorSpec(name="gallery", dtype="float32", shape=("rows", width)),
        TensorSpec(name="k", dtype="int64", shape=(1,)),
    ]
    outputs = [
        TensorSpec(name=name, dtype=dtype, shape=("batch", "k"), batch_axis=0)
        for name, dtype in (("indices", "int64"), ("distances", "float32"))
    ]
    operation = Operation(name="MatchL2", domain="ai.deepseek", inputs=inputs, outputs=outputs)
    stage = Stage(
        name="matching", kind="matching", operations=[operation], inputs=inputs, outputs=outputs,
        artifact=Artifact.from_bytes(b"matching", format="onnx"),
    )  # fmt: skip
    return stage.bind({"gallery": gallery, "k": np.array([k])})


def our_matcher(device: Any, gallery: Array, queries: Array) -> Callable[[], Array]:
    """Ours, host to host."""
    from deepseek_core import LoadOptions

    executable = device.load(match_stage(gallery), LoadOptions())
    return lambda: np.asarray(executable.run({"query": queries})["indices"])


def torch_matcher(gallery: Array, queries: Array) -> Callable[[], Array]:
    """torch.cdist + topk with the gallery on the GPU, host to host."""
    import torch

    if not torch.cuda.is_available():
        raise ImportError(f"torch {torch.__version__} was built without CUDA, or sees no GPU")
    rows, pinned = torch.from_numpy(gallery).cuda(), torch.from_numpy(queries).pin_memory()

    def search() -> Array:
        near = torch.cdist(pinned.cuda(non_blocking=True), rows).topk(K, dim=1, largest=False)
        return np.asarray(near.indices.cpu())

    return search


def faiss_matcher(gallery: Array, queries: Array) -> Callable[[], Array]:
    """Faiss's exact index on the GPU."""
    import faiss

    if not hasattr(faiss, "StandardGpuResources"):
        raise ImportError("this build of faiss is for the CPU; pip install faiss-gpu-cu12")
    index = faiss.GpuIndexFlatL2(faiss.StandardGpuResources(), gallery.shape[1])
    index.add(gallery)
    return lambda: np.asarray(index.search(queries, K)[1])


def run_matcher(gpu: Here, report: Any, folder: Path, args: argparse.Namespace) -> None:
    """Rows of the matcher."""
    rng = np.random.default_rng(0)
    gallery = rng.random((ROWS, WIDTH), dtype=np.float32)
    queries = rng.random((QUERIES, WIDTH), dtype=np.float32)
    device = gpu.opened(folder)
    mine = our_matcher(device, gallery, queries)
    right = mine()
    rivals = {
        "matcher vs torch.cdist + topk": torch_matcher,
        "matcher vs faiss-gpu": faiss_matcher,
    }
    found: dict[str, Callable[[], Array]] = {"ours": mine}
    for claim, make in rivals.items():
        try:
            found[claim] = make(gallery, queries)
        except (ImportError, OSError) as error:
            report.not_run(claim, BARS[claim], str(error))
            continue
        agreement = float((found[claim]()[:, 0] == right[:, 0]).mean())
        if agreement < 0.99:
            raise SystemExit(f"{claim}: {agreement:.1%} of the nearest rows agree")
    timings = _report.interleave(found, rounds=args.rounds)
    for claim in found:
        if claim != "ours":
            ratio = timings[claim].median_s / timings["ours"].median_s
            report.at_least(claim, ratio, BARS[claim])
    _roofline(gpu, report, timings["ours"].median_s)
    device.close()


def _roofline(gpu: Here, report: Any, seconds: float) -> None:
    claim = "matcher, share of the FP32 roofline"
    top: Peaks | None = peaks(gpu.uuid)
    if top is None:
        report.not_run(claim, BARS[claim], "NVML does not tell cores and clocks", "of it")
        return
    flop, nbytes = 3 * QUERIES * ROWS * WIDTH, 4 * (ROWS + QUERIES) * WIDTH
    bound_s = max(flop / top.flop_per_s, nbytes / top.bytes_per_s)
    report.at_least(claim, bound_s / seconds, BARS[claim], "of it")


# -- the pipeline --------------------------------------------------------------------------------


def layer_model(features: int, layers: int = 4) -> bytes:
    """Y = relu(... relu(x w) w ...), with the weights in the model."""
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(1)
    weights = [
        numpy_helper.from_array(
            rng.standard_normal((features, features)).astype(np.float32) / features**0.5, f"w{n}"
        )
        for n in range(layers)
    ]
    nodes = []
    for n in range(layers):
        given = "x" if n == 0 else f"r{n - 1}"
        nodes += [
            helper.make_node("MatMul", [given, f"w{n}"], [f"m{n}"]),
            helper.make_node("Relu", [f"m{n}"], ["y" if n == layers - 1 else f"r{n}"]),
        ]
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", features]) for n in "xy"]
    graph = helper.make_graph(nodes, "layers", ends[:1], ends[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    content: bytes = model.SerializeToString()
    return content


def layer_stage(features: int) -> Any:
    """That model as a stage whose batch can be cut."""
    from deepseek_core import Artifact, Operation, Stage, TensorSpec

    x, y = (TensorSpec(name=n, dtype="float32", shape=("n", features), batch_axis=0) for n in "xy")
    return Stage(
        name="layers", kind="gemm", operations=[Operation(name="MatMul", version=17)],
        inputs=[x], outputs=[y],
        artifact=Artifact.from_bytes(layer_model(features), format="onnx"),
    )  # fmt: skip


def overlap(
    device: Any, items: int, features: int, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Seconds of the pieces of a batch one by one, over those of the whole batch in a row."""
    from deepseek_core import LoadOptions

    executable = device.load(layer_stage(features), LoadOptions())
    x = np.random.default_rng(2).random((items, features), dtype=np.float32)
    pieces = np.array_split(x, max(2, x.nbytes >> 24))
    taken: Mapping[str, Any] = _report.interleave(
        {
            "alone": lambda: [executable.run({"x": piece}) for piece in pieces],
            "together": lambda: executable.run({"x": x}),
        },
        rounds=5,
        clock=clock,
    )
    executable.close()
    return float(taken["alone"].median_s / taken["together"].median_s)


def run_pipeline(gpu: Here, report: Any, folder: Path) -> None:
    """The row of the pipeline."""
    claim = "pipeline: batches in a row vs one by one"
    device = gpu.opened(folder)
    report.at_least(claim, overlap(device, ITEMS, FEATURES), BARS[claim])
    device.close()


# -- the providers -------------------------------------------------------------------------------


def run_providers(gpu: Here, report: Any, folder: Path, args: argparse.Namespace) -> None:
    """The row of TensorRT's provider beside CUDA's."""
    from deepseek_core import LoadOptions, errors

    claim = "TensorRT vs CUDA provider"
    x = np.random.default_rng(3).random((4096, FEATURES), dtype=np.float32)
    devices, found = [], {}
    try:
        for names in ("cuda", "tensorrt"):
            devices.append(gpu.opened(folder, onnx_providers=names))
            executable = devices[-1].load(layer_stage(FEATURES), LoadOptions())
            executable.warmup(len(x))
            found[names] = lambda run=executable.run: run({"x": x})
    except errors.DeviceError as error:
        report.not_run(claim, BARS[claim], str(error))
    else:
        timings = _report.interleave(found, rounds=args.rounds)
        ratio = timings["cuda"].median_s / timings["tensorrt"].median_s
        report.at_least(claim, ratio, BARS[claim])
    for device in devices:
        with suppress(errors.DeepSeekError):
            device.close()


def main() -> int:
    """Run all of it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15, help="rounds of each (default 15)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write machine, versions, rows")
    args = parser.parse_args()
    used = _report.versions(DISTRIBUTIONS)
    _report.print_head("NVIDIA GPU, interleaved rounds", used)
    report = _report.Report(versions=used)
    gpu = here()
    if isinstance(gpu, str):
        print(f"no GPU that can be used: {gpu}")
        for claim, bar in BARS.items():
            report.not_run(claim, bar, "no GPU", UNITS.get(claim, "x"))
        return int(report.finish(args.json))
    with tempfile.TemporaryDirectory() as folder:
        run_matcher(gpu, report, Path(folder), args)
        run_pipeline(gpu, report, Path(folder))
        run_providers(gpu, report, Path(folder), args)
    return int(report.finish(args.json))


if __name__ == "__main__":
    sys.exit(main())
