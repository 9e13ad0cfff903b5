"""Inspection of magnetic tiles, from files to maps: five folds, baselines beside it, and the time.

The job is that of `ds-sdk app defects`. Tiles become PNG files of their own size (96 x 96 px, as
the data set has them), in folders by class, with masks. In each of five folds a fifth is the test
and another one validation: thresholds and the linear model's decay are chosen on that, and nothing
on the test. Figures of folds are means with a t interval over the folds; classes, recall and false
alarms are pooled, each tile judged once, by the network that never saw it.

They are dealt in two ways, each by class: by picture, as published tables of these tiles are, and
by surface, where `groups.csv` names the surface that each shows (`tile_data.surfaces_of`). The
first asks for new pictures of surfaces like those at hand, some of which were taken up to six
times; the second for surfaces that nobody has seen, so no surface is on both sides.

How draws vary and how a tile is looked at was settled among some ten ways, on validation figures of
three of the folds by surface, with those of their tests in sight: the figures flatter by that.

A tile is looked at four times, mirrored, as is the application's default; figures and times of one
view stand beside. Beside ours: the most frequent class, logistic regression on statistics, a
Gaussian of good tiles (after PaDiM, without a pretrained network); with `--depthwise`, which takes
twice the time, the usual network for small devices, trained for as many steps.

    python benchmarks/defect_inspection.py --data FOLDER [--by picture|surface] [--folds N]
                                           [--depthwise] [--quick] [--kept DIR] [--json FILE]

FOLDER (or `$DEEPSEEK_DATA`) has `magnetic_tile_96.npz`. With `--kept` what is done is kept there
and gone on from. A fold takes about four CPU minutes on an x86 core with bf16. Time is from a PNG
file to its row and map, by a session of one thread and the realtime class, on the fp32 or int8 file
that the export chose; wall time, so measure it on a machine that does nothing else. Its p99 is
printed beside that of the processor time of the same runs, which tells what a busy machine adds.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import mean, median
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from _report import Report, pin, print_head, versions

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "compression"
KINDS = ("good", "blowhole", "break", "crack", "fray", "uneven")
AUROC_BAR, F1_BAR, P99_BAR = 0.96, 0.80, 8.0
STEPS, QUICK_STEPS = 4000, 40  # of a training: what the application takes, and with --quick
CAMERA = 384  # px
TIMED = 400  # pictures of each size
SEED = 0
ONE_VIEW = ", one view"
WAYS = {"picture": "by picture", "surface": "no surface on both sides"}


class Judged(NamedTuple):
    """What a model says of a fold's test tiles, and the threshold that validation chose."""

    said: Any
    at: float | None


class Fold(NamedTuple):
    """A fold: what is so of its test tiles, and what each model says of them."""

    truth: Any
    models: dict[str, Judged]


def write_tiles(source: Path, folder: Path, by: str) -> Path:
    """The tiles as a user has them: PNG files by class, with masks, and maybe their surfaces."""
    from PIL import Image
    from tile_data import read, surfaces_of

    if folder.exists():
        return folder
    x, kinds, masks = read(source)
    rows, whole = [], folder
    folder = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(folder, ignore_errors=True)
    for row, surface in enumerate(surfaces_of(x, masks)):
        name = f"{KINDS[kinds[row]]}/{row:04d}.png"
        for path, picture in ((folder / name, x[row]), (folder / "masks" / name, masks[row] * 255)):
            if kinds[row] or path.parent.parent == folder:
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(picture).save(path)
        rows.append((name, f"surface{surface}"))
    if by == "surface":
        with (folder / "groups.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("picture", "group"), *rows])
    return folder.rename(whole)


def trained(tiles: Path, number: int, arguments: argparse.Namespace, kind: str) -> Any:
    """The context of a fold that was prepared and trained, beside its tiles, and its options."""
    from deepseek_apps.defects.job import Defects
    from deepseek_apps.defects.options import Options
    from deepseek_core import applications

    steps = QUICK_STEPS if arguments.quick else STEPS
    told = {"fold": number, "steps": steps, "source": "magnetic tiles", "network": kind}
    place = tiles.with_name(f"fold-{number}" if kind == "plain" else f"fold-{number}-{kind}")
    context = applications.ApplicationContext(folder=place, progress=show)
    job = Defects(**told)
    if not (context.data / "items.json").exists():
        card = job.prepare(tiles, context)
        for warning in card.warnings:
            print(f"  fold {number}: {warning}", flush=True)
    job.train(SEED, context)
    return context, Options(**told)


def run_fold(tiles: Path, number: int, arguments: argparse.Namespace) -> Fold:
    """Train and judge all models of a fold."""
    import attrs

    from deepseek_apps.defects import evaluating
    from deepseek_apps.defects.kept import Kept

    context, options = trained(tiles, number, arguments, "plain")
    kept = Kept(context.data)
    models = {}
    kinds = ("plain", "depthwise") if arguments.depthwise else ("plain",)
    for kind in kinds:
        if kind != "plain":
            context, options = trained(tiles, number, arguments, kind)
        for more, name in ((options, ""), (attrs.evolve(options, mirrored=False), ONE_VIEW)):
            ours = evaluating.networks_of([SEED], more, kept, context)
            models[ours.name + name] = Judged(ours.said[0], ours.thresholds[0])
    for other in evaluating.baselines_of(kept, options):
        at = other.thresholds[0] if other.thresholds else None
        models[other.name] = Judged(other.said[0], at)
    return Fold(evaluating.truth_of(kept), models)


def figures_of(fold: Fold, name: str) -> dict[str, float]:
    """AUROC, average precision, macro-F1 and AUROC of pixels of a model; what it has of them."""
    from deepseek_apps.defects import measures
    from deepseek_apps.defects.scoring import pixels_of

    said, truth = fold.models[name].said, fold.truth
    found = {
        "AUROC": measures.auroc(said.scores, truth.defects),
        "AP": measures.average_precision(said.scores, truth.defects),
    }
    if said.classes is not None:
        found["macro-F1"] = measures.macro_f1(said.classes, truth.classes, len(KINDS))
    if said.maps is not None:
        maps = pixels_of(said.maps, truth.masks.shape)
        found["pixel AUROC"] = measures.pixel_auroc(maps, truth.masks)
    return found


def print_folds(folds: list[Fold]) -> None:
    """Means over folds with their intervals."""
    from deepseek_apps.shared.intervals import over_seeds

    print(f"\n  mean of {len(folds)} folds (95 %, t over folds), fold by fold")
    for name in folds[0].models:
        every = [figures_of(fold, name) for fold in folds]
        print(f"  {name}")
        for figure in every[0]:
            values = [each[figure] for each in every]
            told = over_seeds(values)
            span = f"{told.value:.3f} ({told.low:.3f} to {told.high:.3f})"
            print(f"    {figure:14}{span:28}{' '.join(f'{value:.3f}' for value in values)}")


def pooled(folds: list[Fold], name: str) -> tuple[Any, Any, Any]:
    """Classes that are so, those that were named, and whether each tile was stopped."""
    import numpy as np

    truth = np.concatenate([fold.truth.classes for fold in folds])
    named = np.concatenate([fold.models[name].said.classes for fold in folds])
    stopped = np.concatenate(
        [fold.models[name].said.scores >= fold.models[name].at for fold in folds]
    )
    return truth, named, stopped


def print_lines(folds: list[Fold], ours: str) -> float:
    """What a line does: recall and false alarms at thresholds for 95 %, classes; macro-F1."""
    from deepseek_apps.defects import measures
    from deepseek_apps.defects.thresholds import share

    print("\n  at thresholds for 95 % recall, chosen on validation; all folds, 95 % (Wilson)")
    for name, judged in folds[0].models.items():
        if judged.at is None:
            continue
        import numpy as np

        defects = np.concatenate([fold.truth.defects for fold in folds])
        stopped = np.concatenate(
            [fold.models[name].said.scores >= fold.models[name].at for fold in folds]
        )
        caught = share(int((stopped & defects).sum()), int(defects.sum()))
        alarms = share(int((stopped & ~defects).sum()), int((~defects).sum()))
        print(
            f"  {name:36} recall {caught.value:.1%} ({caught.low:.1%} to {caught.high:.1%}), false "
            f"alarms per 1,000 good: {1000 * alarms.value:.0f} ({1000 * alarms.low:.0f} to "
            f"{1000 * alarms.high:.0f})"
        )
    truth, named, _ = pooled(folds, ours)
    found = measures.macro_f1(named, truth, len(KINDS))
    told = [
        f"{kind} {(named[truth == number] == number).mean():.2f} of {(truth == number).sum()}"
        for number, kind in enumerate(KINDS)
    ]
    print(f"  named by its class, {ours}: {', '.join(told)}; macro-F1 {found:.3f}")
    return found


def latencies(tiles: Path, arguments: argparse.Namespace) -> dict[str, tuple[float, ...]]:
    """Milliseconds from a PNG file to row and map, by size: p50, p99, and p99 of CPU time."""
    import json

    import attrs
    from PIL import Image

    from deepseek_apps.defects.exporting import export

    context, options = trained(tiles, 0, arguments, "plain")
    targets = {}
    for more, name in ((options, ""), (attrs.evolve(options, mirrored=False), ONE_VIEW)):
        target = targets[name] = tiles.with_name(f"export-{len(more.views)}")
        if not (target / "inspection.json").exists():
            target.mkdir(exist_ok=True)
            export(SEED, target, more, context)
        choice = json.loads((target / "inspection.json").read_text(encoding="utf-8"))["precision"]
        print(f"\n  exported{name}: {choice['shipped']}; {choice['why']}")
    files = sorted(tiles.glob("[!m]*/*.png"))[::2][: 40 if arguments.quick else TIMED]
    large = tiles.with_name("camera")
    large.mkdir(exist_ok=True)
    for file in files:
        with Image.open(file) as picture:
            picture.resize((CAMERA, CAMERA), Image.Resampling.BICUBIC).save(large / file.name)
    found = {}
    for name, target in targets.items():
        found[f"96 x 96{name}"] = timed(target, files)
        found[f"{CAMERA} x {CAMERA}{name}"] = timed(target, [large / file.name for file in files])
    return found


def timed(target: Path, files: list[Path]) -> tuple[float, ...]:
    """p50, p99 and p99 of CPU time of these files, each to its row and map."""
    import numpy as np

    from deepseek_apps.defects.answering import Line
    from deepseek_core import Session

    wall_ms, cpu_ms = [], []
    with Session(threads=1, devices=["cpu"]) as session, Line(target, session) as line:
        for file in files[:20]:
            line.inspect(file)
        for file in files:
            start_s, cpu_s = time.perf_counter(), time.process_time()
            line.inspect(file)
            cpu_ms.append(1e3 * (time.process_time() - cpu_s))
            wall_ms.append(1e3 * (time.perf_counter() - start_s))
    return (median(wall_ms), float(np.percentile(wall_ms, 99)), float(np.percentile(cpu_ms, 99)))


def show(done: int, of: int, text: str) -> None:
    if sys.stderr.isatty() and done % 20 == 0:
        print(f"\r{done}/{of} {text}   ", end="", file=sys.stderr, flush=True)


def main() -> int:
    """Train, judge, measure, print; say by the exit code whether every claim holds."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("DEEPSEEK_DATA"))
    parser.add_argument("--by", choices=tuple(WAYS), help="what is dealt (default: both, in turn)")
    parser.add_argument("--folds", type=int, default=5, metavar="N", choices=range(1, 6))
    parser.add_argument("--depthwise", action="store_true", help="train a depthwise network, too")
    parser.add_argument("--quick", action="store_true", help="40 steps, no bars")
    parser.add_argument("--kept", type=Path, metavar="DIR", help="keep what is done, and go on")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows to this file")
    arguments = parser.parse_args()
    if arguments.data is None:
        parser.error("--data FOLDER, or DEEPSEEK_DATA, names where magnetic_tile_96.npz lies")
    pin()
    sys.path.insert(0, str(EXAMPLE))
    used = versions(("deepseek-apps", "torch", "onnx", "onnxruntime", "numpy", "pillow"))
    print_head("Defects on magnetic tiles, from file to map", used)
    report = Report(versions=used)
    with ExitStack() as stack:
        arguments.kept = (
            arguments.kept or Path(stack.enter_context(TemporaryDirectory()))
        ).resolve()
        measured(arguments, report)
    return report.finish(arguments.json)


def measured(arguments: argparse.Namespace, report: Report) -> None:
    """All folds of each way and times, printed, and what is claimed of them."""
    import torch

    torch.set_num_threads(1)
    for by, told in WAYS.items():
        if arguments.by not in (None, by):
            continue
        place = arguments.kept / by
        place.mkdir(parents=True, exist_ok=True)
        tiles = write_tiles(Path(arguments.data), place / "tiles", by)
        print(f"\n{arguments.folds} folds, {told}", flush=True)
        judge(tiles, f"{arguments.folds} folds, {told}", arguments, report)
    print_times(tiles, arguments, report)


def judge(tiles: Path, told: str, arguments: argparse.Namespace, report: Report) -> None:
    """Train and judge all folds of these tiles."""
    folds = []
    for number in range(arguments.folds):
        folds.append(run_fold(tiles, number, arguments))
        print(f"  fold {number}: {len(folds[-1].truth.classes)} test tiles", flush=True)
    ours = next(iter(folds[0].models))
    print_folds(folds)
    found = print_lines(folds, ours)
    if not arguments.quick:
        mean_auroc = mean(figures_of(fold, ours)["AUROC"] for fold in folds)
        report.at_least(f"AUROC of tiles, {told}", mean_auroc, AUROC_BAR, "")
        report.at_least(f"macro-F1 of six classes, {told}, pooled", found, F1_BAR, "")


def print_times(tiles: Path, arguments: argparse.Namespace, report: Report) -> None:
    """From files to maps, by the network of fold 0."""
    times = latencies(tiles, arguments)
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"\n  from PNG file to row and map, one thread, ms (load of the machine {load})")
    for size, (p50, p99, cpu) in times.items():
        print(f"  {size:20} p50 {p50:.2f}, p99 {p99:.2f}; p99 of CPU time {cpu:.2f}")
    for size, (_, p99, _) in times.items():
        if ONE_VIEW not in size and not arguments.quick:
            report.at_most(f"p99 from file to map at {size} px, one thread", p99, P99_BAR, "ms")


if __name__ == "__main__":
    sys.exit(main())
