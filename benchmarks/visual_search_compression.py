"""The visual search's network, compressed by its recipe: speed and accuracy beside the demo's.

    python benchmarks/visual_search_compression.py [--curve] [--kept FOLDER] [--json FILE]

Runs `examples/compression/visual_search.toml`; with --curve variants of it, too: other shares of
the channels' work, and the scaling to 96 pixels kept. Each file is finished as the demo wants it
(raw pictures in, int8 embeddings, matching) and judged as the demo judges: top-1 over all 2,877
queries and 11,569 known pictures. Speed is processor time at one thread, all files in turn: of the
network alone, and with the matching by the SDK's own plan. With --kept, runs are kept there and
gone on with.

The demo's network has seen ImageNet only; the recipe trains on the labels of the known pictures.
So "nothing pruned" stands in the curve as the control: what that training alone gives.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import tomllib
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from _report import Report, Timing, interleave, pin, print_head, versions

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
RECIPE = EXAMPLES / "compression" / "visual_search.toml"
MODELS = EXAMPLES / "visual_search" / "models"
BATCH = 16
NEIGHBORS = 5
RECIPES = "64 px, work / 2 (the recipe)"
DEMO = "the demo, int8"
# Name: the student, and how many times fewer multiply-adds pruning leaves it; 1 for no pruning.
VARIANTS: dict[str, tuple[str, int]] = {
    RECIPES: ("student", 2),
    "64 px, work / 4": ("student", 4),
    "64 px, work / 8": ("student", 8),
    "96 px, work / 3": ("scaled_student", 3),
    "64 px, nothing pruned": ("student", 1),
}


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--kept", type=Path, metavar="FOLDER", help="where runs are kept")
    parser.add_argument("--rounds", type=int, default=15, help="default: %(default)s")
    parser.add_argument("--batches", type=int, default=10, help="default: %(default)s")
    parser.add_argument("--curve", action="store_true", help="the variants, too")
    arguments = parser.parse_args()
    pin()
    with tempfile.TemporaryDirectory(prefix="visual-search-") as folder:
        return measured(arguments, arguments.kept or Path(folder))


def measured(arguments: argparse.Namespace, kept: Path) -> int:
    """Run, finish, measure, judge."""
    sys.path[:0] = [str(EXAMPLES / "compression"), str(EXAMPLES / "visual_search")]
    from dataset import load_crops, split_by_board

    used = versions(["deepseek-core", "deepseek-compress", "torch", "onnxruntime", "numpy"])
    print_head("The network of the visual search, compressed by its recipe", used)
    gallery, queries = split_by_board(load_crops())
    files = {"the demo, fp32": MODELS / "visual_search_fp32.onnx"}
    files[DEMO] = MODELS / "visual_search_int8.onnx"
    reports = {}
    for name, (student, less) in list(VARIANTS.items())[: None if arguments.curve else 1]:
        output = compressed(kept, student, less)
        reports[name] = json.loads((output / "report.json").read_text(encoding="utf-8"))
        files[name] = finished(output, gallery)
    known = {name: embedded(file, gallery) for name, file in files.items()}
    right = {name: hits(file, known[name], gallery, queries) for name, file in files.items()}
    alone = network_times(files, queries, arguments)
    whole = search_times(files, known, queries, arguments)
    print_table(files, reports, right, alone, whole)
    report = Report(versions=used)
    judge(report, right, alone, whole)
    return report.finish(arguments.json)


def compressed(kept: Path, student: str, less: int) -> Path:
    """The folder of a run of that variant, made or gone on with."""
    from deepseek_compress.recipe.job import Job
    from deepseek_compress.recipe.run import run

    output = kept / f"{student}-{less}"
    if (output / "MANIFEST.json").exists():
        return output
    kept.mkdir(parents=True, exist_ok=True)
    recipe = kept / f"{student}-{less}.toml"
    recipe.write_text(variant(student, less), encoding="utf-8")
    started_s = time.process_time()
    with Job.read(recipe) as job:
        run(job, output, resume=output.exists(), progress=told())
    print(f"\n{output.name}: {time.process_time() - started_s:.0f} s of processor time", flush=True)
    return output


def told() -> Any:
    """Progress as lines on stderr, one every minute."""
    last_s = [0.0]

    def progress(done: int, of: int, text: str) -> None:
        if time.monotonic() > last_s[0] + 60:
            last_s[0] = time.monotonic()
            print(f"{text} ({done}/{of})", file=sys.stderr, flush=True)

    return progress


def variant(student: str, less: int) -> str:
    """The recipe with another student or share, as text."""
    from deepseek_core.contracts.toml import as_toml

    table = tomllib.loads(RECIPE.read_text(encoding="utf-8"))
    table["model"]["student"] = f"visual_search.py:{student}"
    for part in ("model", "data"):
        for key, value in table[part].items():
            if isinstance(value, str):
                table[part][key] = str(RECIPE.parent / value)
    table["step"][0]["macs"] = f"/{less}"
    if less == 1:
        del table["step"][0]
    del table["budget"]["macs"]
    return as_toml(table)


def finished(output: Path, gallery: Any) -> Path:
    """The int8 file of a run, as the demo takes models."""
    import onnx
    from searchable import known_sample, searchable

    path = output.with_suffix(".onnx")
    if not path.exists():
        model = onnx.load(output / "model.ort_x86.onnx")
        made = searchable(model, known_sample(gallery.images))
        path.write_bytes(made.SerializeToString(deterministic=True))
    return path


def opened(file: Path) -> Any:
    """The network of a file, without its matching, at one thread."""
    import onnx

    from deepseek_onnx.ort import ort

    with tempfile.TemporaryDirectory() as folder:
        part = str(Path(folder) / "embedding.onnx")
        onnx.utils.extract_model(str(file), part, ["images"], ["embedding"])
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        return ort.InferenceSession(part, options, providers=["CPUExecutionProvider"])


def embedded(file: Path, crops: Any) -> Any:
    """Embeddings of all pictures by a file's own network."""
    import numpy as np

    session = opened(file)
    found = [session.run(None, {"images": images})[0] for images in split(crops)]
    return np.concatenate(found)


def split(crops: Any) -> list[Any]:
    """Pictures in batches."""
    return [crops.images[at : at + BATCH] for at in range(0, len(crops), BATCH)]


def hits(file: Path, known: Any, gallery: Any, queries: Any) -> Any:
    """For each query whether its nearest known picture has its class.

    In float64, in which sums of int8 products are exact.
    """
    import numpy as np

    asked, there = (array.astype(np.float64) for array in (embedded(file, queries), known))
    norms = np.square(there).sum(axis=1)
    nearest = [
        (norms - 2 * asked[at : at + 256] @ there.T).argmin(axis=1)
        for at in range(0, len(asked), 256)
    ]
    return gallery.labels[np.concatenate(nearest)] == queries.labels


def network_times(files: dict[str, Path], queries: Any, arguments: Any) -> dict[str, Timing]:
    """Seconds of the networks alone for some batches."""
    batches = split(queries)[: arguments.batches]

    def run(session: Any) -> None:
        for images in batches:
            session.run(None, {"images": images})

    calls = {name: partial(run, opened(file)) for name, file in files.items()}
    return interleave(calls, rounds=arguments.rounds, clock=time.process_time)


def search_times(
    files: dict[str, Path], known: dict[str, Any], queries: Any, arguments: Any
) -> dict[str, Timing]:
    """Seconds of pictures to neighbors by plans of the SDK, all on one device."""
    import numpy as np

    from deepseek_core import Session

    batches = [{"images": images} for images in split(queries)[: arguments.batches]]
    with (
        tempfile.TemporaryDirectory() as cache,
        Session(threads=1, cache_dir=Path(cache)) as session,
        ExitStack() as stack,
    ):

        def planned(name: str) -> Any:
            graph = session.load(files[name])
            bound = graph.bind(gallery=known[name], k=np.array([NEIGHBORS]))
            pins = {stage.name: "onnx:cpu" for stage in bound.stages}
            return stack.enter_context(session.plan(bound, batch=BATCH, pin=pins))

        plans = {name: planned(name) for name in files}
        calls = {
            name: lambda plan=plan: [r["indices"] for r in plan.stream(iter(batches))]
            for name, plan in plans.items()
        }
        return interleave(calls, rounds=arguments.rounds, clock=time.process_time)


def print_table(
    files: dict[str, Path],
    reports: dict[str, Any],
    right: dict[str, Any],
    alone: dict[str, Timing],
    whole: dict[str, Timing],
) -> None:
    """The curve: accuracy against speed and size."""
    print(f"\n{len(next(iter(right.values())))} queries; speed as a multiple of {DEMO}")
    print(f"  {'top-1':>7} {'correct':>7} {'network':>8} {'search':>7} {'MiB':>6} {'M MACs':>7}")
    for name, file in files.items():
        steps = reports[name]["steps"] if name in reports else None
        macs = f"{steps[-1]['profile']['macs'] / 1e6:.1f}" if steps else "-"
        network, search = (t[DEMO].median_s / t[name].median_s for t in (alone, whole))
        print(
            f"  {right[name].mean():7.4f} {right[name].sum():7d} {network:7.2f}x {search:6.2f}x "
            f"{file.stat().st_size / 2**20:6.2f} {macs:>7}  {name}"
        )


def judge(
    report: Report, right: dict[str, Any], alone: dict[str, Timing], whole: dict[str, Timing]
) -> None:
    """The claims of this benchmark: those of the recipe as it lies there."""
    for what, times in (("network alone", alone), ("network and matching", whole)):
        gain = times[DEMO].median_s / times[RECIPES].median_s
        report.at_least(f"the recipe's file over the demo's int8, {what}", gain, 1.5)
    loss = float(right[DEMO].mean() - right[RECIPES].mean()) * 100
    report.at_most("top-1 points that the recipe's file loses to the demo's int8", loss, 1.0, "pt")


if __name__ == "__main__":
    sys.exit(main())
