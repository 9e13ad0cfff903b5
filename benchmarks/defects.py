"""Defects on magnetic tiles at 224 px: recall and latency of a network pruned and in int8.

The tiles lie in five folds, of each kind about as many; tiles that may show one surface twice are
in the same. For each fold a network is trained on three others (fp32), and
`examples/compression/tiles.toml` is run on it as it stands: prune, recover_bn, distill, ort_x86.
A threshold is chosen on the fourth, at 5 % false alarms; defects are counted on the fold itself,
which nothing is chosen by, and pooled. Two questions are asked. A line is set, by fp32's threshold,
and the recipe's file takes the network's place: how many defects, and how many false alarms, come
of it? And: what if each model has a threshold of its own? Some 150 good tiles choose it, eight of
which are above: that it is off by two of them is the rule, and costs or gives points of recall.
Intervals are of 95 %: Wilson's, and of a difference on the same tiles that of Agresti and Min.

Beside it, without bars: what ONNX Runtime's own quantizer makes of the unpruned network by its
defaults; and with `--control`, which takes twice the time, the unpruned network trained on for as
many epochs as the recipe trains, in case that is what recall comes of.

    python benchmarks/defects.py --data FOLDER [--folds N] [--control] [--quick] [--kept DIR]
                                 [--json FILE]

FOLDER (or `$DEEPSEEK_DATA`) has `magnetic_tile_96.npz`, whose tiles are upscaled from 96 px. With
`--kept` what is done is kept there and gone on from. A fold takes about 6 CPU minutes on an x86
core with bf16, and tells little: two of its 63 defects are three points. The recipe was made on
fold 0. Latency is wall time of
single tiles through the scheduler on the device `cpu`, files in turn: measure it on a machine that
does nothing else.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import tomllib
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from statistics import mean, median
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from _report import Report, pin, print_head, versions

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "compression"
DROP_BAR, P99_BAR = 1.0, 8.0  # points, ms
FP32, INT8 = "fp32", "pruned, int8"
PEER, CONTROL = "unpruned, onnxruntime's int8", "fp32, trained on"


class Judged(NamedTuple):
    """What a model says of a fold's test tiles: hits of defects, alarms of good tiles, AUC.

    `set_hits` and `set_alarms` are those at fp32's threshold. `even` are the hits at a threshold
    chosen on the test itself, where all models have as many alarms: no line can do it, but it tells
    what a threshold cost from what the model did.
    """

    hits: Any
    alarms: Any
    set_hits: Any
    set_alarms: Any
    even: Any
    auc: float


class Fold(NamedTuple):
    """What one fold told, by the model's name."""

    judged: dict[str, Judged]
    p99_ms: dict[str, float]
    p50_ms: dict[str, float]
    coverage: float
    told: str


def run_fold(number: int, arguments: argparse.Namespace, kept: Path) -> Fold:
    """Train, compress by the recipe, and judge all models of a fold."""
    from deepseek_compress.recipe.job import Job
    from deepseek_core import Artifact

    os.environ["TILES_FOLD"] = str(number)
    folder = kept / f"fold-{number}"
    folder.mkdir(parents=True, exist_ok=True)
    share = 0.05 if arguments.quick else 1.0
    reference(folder, share)
    with Job.read(written_recipe(folder, quick=arguments.quick)) as job:
        report = compressed(job, folder / "out")
        files = {FP32: folder / "fp32.onnx", INT8: folder / "out" / "model.ort_x86.onnx"}
        job.export(job.source.model, files[FP32])
        files[PEER] = peer(files[FP32], job, folder)
        if arguments.control:
            files[CONTROL] = trained_on(job, folder)
        answered = {name: answers_of(Artifact.from_path(path), job) for name, path in files.items()}
        judged = {name: judge(*found, answered[FP32].threshold) for name, found in answered.items()}
        files["pruned, fp32"] = folder / "out" / "model.fp32.onnx"
        p50_ms, p99_ms = latencies(files, job)
    shipped = next(v for v in report.variants if v.shipped)
    first, last = report.steps[0].profile, report.steps[-1].profile
    told = (
        f"{first.parameters:,} -> {last.parameters:,} parameters, "
        f"{first.macs / 1e6:.0f} -> {last.macs / 1e6:.0f} M multiply-adds"
    )
    return Fold(judged, p99_ms, p50_ms, shipped.int8_coverage, told)


def reference(folder: Path, share: float) -> None:
    """Train the fp32 network of the fold, unless it was."""
    from tile_data import fold_asked, parts
    from train_tiles import learned
    from weights import save_weights

    from deepseek_compress.train.run import Run

    path = folder / "tiles.npz"
    if not path.exists():
        run = Run(step="fp32", checkpoint=folder / "training.checkpoint", progress=show)
        model = learned(parts(fold_asked())["train"], run, share)
        save_weights(model, folder / "partial.npz")
        (folder / "partial.npz").replace(path)


def written_recipe(folder: Path, *, quick: bool) -> Path:
    """`tiles.toml`, with the weights of the fold."""
    from deepseek_core.contracts.toml import as_toml

    table = tomllib.loads((EXAMPLE / "tiles.toml").read_text(encoding="utf-8"))
    for part in ("model", "data"):
        for key, value in table[part].items():
            if isinstance(value, str) and value.startswith("tiles.py:"):
                table[part][key] = f"{EXAMPLE}/{value}"
    table["model"]["weights"] = "tiles.npz"
    if quick:
        table["step"][-1]["epochs"] = 1
    path = folder / "recipe.toml"
    path.write_text(as_toml(table), encoding="utf-8")
    return path


def compressed(job: Any, output: Path) -> Any:
    """The report of the recipe, run or gone on with unless it ended before."""
    from deepseek_compress.cli.common import read_report
    from deepseek_compress.recipe.run import run

    if (output / "MANIFEST.json").exists():
        return read_report(output)
    return run(job, output, resume=True, progress=show)


def peer(fp32: Path, job: Any, folder: Path) -> Path:
    """What `onnxruntime.quantization` makes of the unpruned file, its options as they are."""
    from deepseek_compress.onnx_graph.ort import ort  # noqa: F401 - its telemetry is off from here

    quantization = import_module("onnxruntime.quantization")
    shape_inference = import_module("onnxruntime.quantization.shape_inference")

    class Reader(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self._batches = job.data.calibration.batches(1)

        def get_next(self) -> Any:
            batch = next(self._batches, None)
            return None if batch is None else dict(batch.inputs)

    prepared, path = folder / "prepared.onnx", folder / "peer.onnx"
    shape_inference.quant_pre_process(str(fp32), str(prepared))
    quantization.quantize_static(str(prepared), str(path), Reader())
    return path


def trained_on(job: Any, folder: Path) -> Path:
    """The unpruned network after as many epochs more, against its own labels."""
    from deepseek_compress.steps.finetune import Finetune
    from deepseek_core import compression

    (link,) = [link for link in job.chain.steps if link.name == "distill"]
    names = ("epochs", "optimizer", "learning_rate", "batch_size", "weight_decay")
    step = Finetune(**{name: link.opened.options[name] for name in names})
    place, path = folder / "control", folder / "control.onnx"
    if path.exists():
        return path
    place.mkdir(exist_ok=True)
    context = compression.StepContext(
        workspace=place, train=job.data.train, provided={"loss": job.data.loss}, progress=show
    )
    model = job.source.model
    job.export(step.apply(model, step.plan(model, context), context).model, path)
    return path


class Answered(NamedTuple):
    """A model's outputs for the test tiles, their labels, and its own threshold."""

    outputs: Any
    labels: Any
    threshold: float


def answers_of(file: Any, job: Any) -> Answered:
    import tiles

    from deepseek_compress.train.onnx_files import onnx_predictor
    from deepseek_compress.train.own_metric import answers

    predict = onnx_predictor(file.read())
    at = tiles.threshold(*answers(predict, job.data.validation, 64))
    outputs, labels = answers(predict, job.data.test, 64)
    return Answered(outputs, labels, at)


def judge(outputs: Any, labels: Any, threshold: float, set_threshold: float) -> Judged:
    """How a model does on the fold's test tiles."""
    import tiles

    def counted(metric: Any, at: float) -> Any:
        return metric(outputs, labels, at).compressed().astype(float)

    scores, defects = tiles.scores(outputs), tiles.defects(labels)
    above = scores[defects][:, None] - scores[~defects][None]
    return Judged(
        hits=counted(tiles.recall, threshold),
        alarms=counted(tiles.false_alarms, threshold),
        set_hits=counted(tiles.recall, set_threshold),
        set_alarms=counted(tiles.false_alarms, set_threshold),
        even=counted(tiles.recall, tiles.threshold(outputs, labels)),
        auc=float((above > 0).mean() + (above == 0).mean() / 2),
    )


def latencies(files: dict[str, Path], job: Any) -> tuple[dict[str, float], dict[str, float]]:
    """Milliseconds of one tile on the budget's device, p50 and p99 of each file."""
    from deepseek_compress.measure.latency import measure_latency

    budget = job.recipe.budget.latency
    found = measure_latency(files, budget, job.example(1), lambda *_: None)
    p50, p99 = ({n: f.quantiles_s[q] * 1e3 for n, f in found.items()} for q in (0.5, 0.99))
    return p50, p99


def show(done: int, of: int, text: str) -> None:
    if sys.stderr.isatty() and done % 10 == 0:
        print(f"\r{done}/{of} {text}   ", end="", file=sys.stderr, flush=True)


def pooled(folds: list[Fold], name: str, what: str) -> Any:
    """Hits or alarms of all folds."""
    import numpy as np

    return np.concatenate([getattr(fold.judged[name], what) for fold in folds])


def percent(found: Any) -> str:
    return f"{found.value:.1%} ({found.low:.1%} to {found.high:.1%})"


def print_tables(folds: list[Fold]) -> None:
    print_recalls(folds, "at fp32's threshold", "set_hits", "set_alarms")
    print_recalls(folds, "each at its own threshold", "hits", "alarms")
    print_ranking(folds)
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"\n  one tile, one thread, ms (load of the machine {load})")
    print(f"  {'':30}{'p50, median fold':>18}{'p99, median':>14}{'p99, worst':>13}")
    for name in folds[0].p99_ms:
        p50, p99 = [f.p50_ms[name] for f in folds], [f.p99_ms[name] for f in folds]
        print(f"  {name:30}{median(p50):18.2f}{median(p99):14.2f}{max(p99):13.2f}")


def print_recalls(folds: list[Fold], title: str, hits_of: str, alarms_of: str) -> None:
    """Recall and false alarms of all models, and recall fold by fold."""
    from deepseek_compress.train.intervals import paired, wilson

    print(f"\n  {title:30}{'recall':26}{'false alarms':22}less fp32, points")
    for name in folds[0].judged:
        hits, alarms = pooled(folds, name, hits_of), pooled(folds, name, alarms_of)
        shares = [percent(wilson(float(part.sum()), len(part))) for part in (hits, alarms)]
        less = paired(pooled(folds, FP32, hits_of), hits).interval
        span = f"{100 * less.value:+.1f} ({100 * less.low:+.1f} to {100 * less.high:+.1f})"
        print(f"  {name:30}{shares[0]:26}{shares[1]:22}{'' if name == FP32 else span}")
    pairs = [[getattr(f.judged[name], hits_of).mean() for name in (FP32, INT8)] for f in folds]
    each = ", ".join(f"{one:.1%} {other:.1%}" for one, other in pairs)
    print(f"  recall of fp32 and of {INT8}, fold by fold: {each}")


def print_ranking(folds: list[Fold]) -> None:
    print(f"\n  {'which no threshold was chosen for':30}  {'AUC':10}recall at 5 % of test's alarms")
    for name in folds[0].judged:
        auc = mean(fold.judged[name].auc for fold in folds)
        print(f"  {name:34}{auc:<10.4f}{pooled(folds, name, 'even').mean():.1%}")


def add_claims(report: Report, folds: list[Fold]) -> None:
    for title, hits_of, alarms_of in (
        ("at fp32's threshold", "set_hits", "set_alarms"),
        ("each at its own threshold", "hits", "alarms"),
    ):
        hits, alarms = pooled(folds, INT8, hits_of), pooled(folds, INT8, alarms_of)
        drop = pooled(folds, FP32, hits_of).mean() - hits.mean()
        claim = f"recall of fp32 less that of {INT8}, {len(hits)} defects, {title}"
        report.at_most(claim, drop * 100, DROP_BAR, "pt")
        more = alarms.mean() - pooled(folds, FP32, alarms_of).mean()
        claim = f"false alarms of {INT8} less those of fp32, {len(alarms)} good tiles, {title}"
        report.at_most(claim, more * 100, DROP_BAR, "pt")
    worst = max(fold.p99_ms[INT8] for fold in folds)
    report.at_most(f"p99 of a tile, {INT8}, one thread, worst fold", worst, P99_BAR, "ms")


def main() -> int:
    """Train, compress, measure, print; say by the exit code whether every claim holds."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("DEEPSEEK_DATA"))
    parser.add_argument("--folds", type=int, default=5, metavar="N", choices=range(1, 6))
    parser.add_argument("--control", action="store_true", help="train fp32 on as long, too")
    parser.add_argument("--quick", action="store_true", help="a twentieth of the epochs, no bars")
    parser.add_argument("--kept", type=Path, metavar="DIR", help="keep what is done, and go on")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows to this file")
    arguments = parser.parse_args()
    if arguments.data is None:
        parser.error("--data FOLDER, or DEEPSEEK_DATA, names where magnetic_tile_96.npz lies")
    pin()
    os.environ["DEEPSEEK_DATA"] = str(arguments.data)
    sys.path.insert(0, str(EXAMPLE))
    used = versions(("deepseek-compress", "torch", "onnx", "onnxruntime", "numpy"))
    print_head("Defects on magnetic tiles at 224 px, upscaled from 96 px", used)
    report = Report(versions=used)
    with ExitStack() as stack:
        kept = arguments.kept or Path(stack.enter_context(TemporaryDirectory()))
        folds = measured(arguments, kept.resolve())
    print_tables(folds)
    if not arguments.quick:
        add_claims(report, folds)
    return report.finish(arguments.json)


def measured(arguments: argparse.Namespace, kept: Path) -> list[Fold]:
    """All folds, a line for each."""
    import torch

    torch.set_num_threads(1)
    folds = []
    for number in range(arguments.folds):
        start_s = time.process_time()
        folds.append(run_fold(number, arguments, kept))
        fold = folds[-1]
        print(
            f"fold {number}: {fold.told}, int8 coverage {fold.coverage:.0%}, "
            f"{time.process_time() - start_s:.0f} CPU s", flush=True,
        )  # fmt: skip
    return folds


if __name__ == "__main__":
    sys.exit(main())
