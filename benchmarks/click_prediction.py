"""Click prediction beside linear models, boosted trees and deepctr-torch, over five splits.

    python benchmarks/click_prediction.py --data FOLDER [--json FILE] [--quick]

FOLDER has online_shoppers_intention.csv.gz (UCI Online Shoppers Purchasing Intention, CC BY 4.0)
and ml_latest_small_ratings.csv.gz with ml_latest_small_movies.csv.gz (MovieLens, GroupLens terms).

1. Shopper sessions: 70 % to train on, 10 % for validation, 20 % to test, five splits at random.
   Each split is prepared, trained, evaluated and exported as `ds-sdk app ctr` does it.
2. MovieLens: a rating of 4 or more is a click; of each user the last tenth by time is tested on,
   the tenth before it is for validation. Three seeds of one split.

Intervals are 95 %, by Student's t over splits or seeds; differences are paired. `--quick` runs one
split of the sessions, for a look.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from _report import Report, pin, print_head, versions

SESSIONS = {
    "target": "Revenue",
    "categories": "OperatingSystems,Browser,Region,TrafficType",
    "tuning": "full",
}
FILMS = {
    "target": "rating",
    "click_from": "4",
    "categories": "user,film",
    "split": "time_in_group",
    "time": "timestamp",
    "group": "user",
    "test": 0.1,
    "validation": 0.1,
    "batch": 1024,
    "min_count": 2,
    "tuning": "small",
}
PEERS = ("deepctr-torch DeepFM", "deepctr-torch DCN")

Figures = dict[str, dict[str, float]]
"""Of each measure and model, the figure of one split."""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder of the data sets")
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    parser.add_argument("--quick", action="store_true", help="one split of the sessions alone")
    parser.add_argument("--splits", type=int, default=5, help="splits of the sessions")
    args = parser.parse_args()
    pin()
    used = versions(("torch", "scikit-learn", "onnxruntime", "deepctr-torch", "deepseek-apps"))
    print_head("Click prediction", used)
    report = Report(versions=used)
    with tempfile.TemporaryDirectory() as folder:
        _sessions(Path(folder), args.data, report, 1 if args.quick else args.splits)
        if not args.quick:
            _films(Path(folder), args.data, report)
    return report.finish(args.json)


def _sessions(folder: Path, data: Path, report: Report, splits: int) -> None:
    source = folder / "sessions.csv"
    source.write_bytes(gzip.decompress((data / "online_shoppers_intention.csv.gz").read_bytes()))
    runs = [
        _run(folder / f"split-{seed}", source, {**SESSIONS, "split_seed": seed}, seed)
        for seed in range(splits)
    ]
    _print_table(f"Shopper sessions, {splits} splits", runs)
    ours, boosting, raw = _names()
    ahead = _over([run["AUC"][ours] - run["AUC"][boosting] for run in runs])
    gain = _over([_improvement(run, ours, raw) for run in runs])
    error = _over([run["calibration error"][ours] for run in runs])
    report.at_least(f"sessions: AUC over {boosting} {_told(ahead, 4)}", ahead[0], 0.0, "")
    report.at_least(f"sessions: RelaImpr over {raw} {_told(gain, 1)} %", gain[0], 12.0, "%")
    report.at_most(f"sessions: calibration error {_told(error, 4)}", error[0], 0.02, "")
    apart = max(run["onnx"][ours] for run in runs) * 1e5
    report.at_most("sessions: the ONNX file apart from the model, in 1e-5", apart, 1.0, "")


def _films(folder: Path, data: Path, report: Report) -> None:
    source = folder / "films.csv"
    source.write_text(_joined(data), encoding="utf-8")
    runs = [_run(folder / f"films-{seed}", source, FILMS, seed) for seed in range(3)]
    _print_table("MovieLens, the last tenth of each user, 3 seeds", runs)
    ours, _, raw = _names()
    linear = max((raw, "logistic regression, bins"), key=lambda name: runs[0]["AUC"][name])
    ahead = _over([run["AUC"][ours] - run["AUC"][linear] for run in runs])
    outcome = "a gain" if ahead[1] > 0 else "no gain" if ahead[2] >= 0 else "a loss"
    print(f"\nMovieLens: {outcome} over {linear}, AUC {_told(ahead, 4)}")
    report.at_least(f"films: AUC over {linear} {_told(ahead, 4)}", ahead[0], 0.01, "")


def _joined(data: Path) -> str:
    """Ratings with the genres and the year of their film, as one CSV file."""
    films = {}
    for row in _rows(data / "ml_latest_small_movies.csv.gz"):
        identity, title, genres = row.values()
        year = title.strip()[-5:-1]
        films[identity] = (genres.partition("|")[0], genres, year if year.isdigit() else "")
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["user", "film", "genre", "genres", "year", "rating", "timestamp"])
    for row in _rows(data / "ml_latest_small_ratings.csv.gz"):
        user, film, rating, moment = row.values()
        writer.writerow([user, film, *films.get(film, ("", "", "")), rating, moment])
    return out.getvalue()


def _rows(path: Path) -> Sequence[Mapping[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _names() -> tuple[str, str, str]:
    from deepseek_apps.ctr.baselines import BOOSTING, RAW
    from deepseek_apps.ctr.evaluating import OURS

    return OURS, BOOSTING, RAW


def _run(folder: Path, source: Path, options: Mapping[str, Any], seed: int) -> Figures:
    """One split or seed: all steps of the job, then the peers on the same parts."""
    from deepseek_apps.ctr.job import Ctr
    from deepseek_core import applications

    job = Ctr(**options)
    folder.mkdir()
    card = job.prepare(source, applications.ApplicationContext(folder=folder))
    context = applications.ApplicationContext(folder=folder, card=card)
    context.seed(seed).mkdir()
    job.train(seed, context)
    found = job.evaluate([seed], context)
    figures: Figures = {measure.name: {} for measure in found.measures}
    figures["cpu s"], figures["parameters"] = {}, {}
    for score in found.scores:
        figures[score.measure.name][score.model] = score.interval.value
        figures["cpu s"][score.model] = score.cpu_s or 0.0
        figures["parameters"][score.model] = float(score.parameters or 0)
    figures["onnx"] = {_names()[0]: _apart(job, seed, context)}
    for note in (*card.warnings, found.notes[-1]):
        print(f"  {folder.name}: {note}", flush=True)
    _add_peers(figures, folder, options, seed)
    return figures


def _apart(job: Any, seed: int, context: Any) -> float:
    """The largest difference of the exported file, over the test part and rows with holes."""
    from deepseek_apps.ctr.data.parts import parts_of
    from deepseek_apps.ctr.data.preparing import load_data
    from deepseek_apps.ctr.export.model import FILE, largest_difference
    from deepseek_apps.ctr.fitted import read_stack
    from deepseek_apps.ctr.job import with_holes

    target = context.folder / "export"
    target.mkdir()
    job.export(seed, target, context)
    parts = parts_of(load_data(context.data), job.options, "")
    stack, content = read_stack(context.seed(seed)), (target / FILE).read_bytes()
    return max(
        largest_difference(content, stack, inputs)
        for inputs in (parts.test.inputs, with_holes(parts.test.inputs))
    )


def _add_peers(figures: Figures, folder: Path, options: Mapping[str, Any], seed: int) -> None:
    """Run deepctr-torch in a process of its own, if it is installed."""
    import numpy as np

    from deepseek_apps.ctr.data.preparing import load_data
    from deepseek_apps.ctr.measures import auc, log_loss, reliability

    if "deepctr-torch" not in versions(("deepctr-torch",)):
        print("  deepctr-torch is not installed: pip install deepctr-torch==0.3.0")
        return
    given, out = folder / "options.json", folder / "peers.npz"
    given.write_text(json.dumps(dict(options)), encoding="utf-8")
    script = Path(__file__).with_name("_click_peers.py")
    command = [sys.executable, str(script), str(folder), str(given), str(seed), str(out)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=dict(os.environ))
    target = load_data(folder / "data").of("test").target
    with np.load(out) as held:
        for name in PEERS:
            figures["AUC"][name] = auc(target, held[name])
            figures["log loss"][name] = log_loss(target, held[name])
            figures["calibration error"][name] = reliability(target, held[name]).error
            figures["cpu s"][name] = float(held[f"cpu_s of {name}"])


def _improvement(run: Figures, one: str, base: str) -> float:
    from deepseek_apps.ctr.measures import relative_improvement

    return 100.0 * relative_improvement(run["AUC"][one], run["AUC"][base])


def _over(values: Sequence[float]) -> tuple[float, float, float]:
    from deepseek_apps.shared.intervals import over_seeds

    found = over_seeds(values)
    return found.value, found.low, found.high


def _told(interval: tuple[float, float, float], digits: int) -> str:
    value, low, high = (f"{one:.{digits}f}" for one in interval)
    return f"{value} ({low} to {high})"


def _print_table(title: str, runs: Sequence[Figures]) -> None:
    """Mean and interval of each model, over splits or seeds; differences are ours less theirs."""
    ours, _, raw = _names()
    print(f"\n{title}")
    print(f"  {'model':30} {'AUC':25} {'log loss':25} {'calibration error':25} "
          f"{'RelaImpr %':20} {'ours ahead, AUC':25} CPU s  parameters")  # fmt: skip
    for name in runs[0]["AUC"]:
        columns = [
            _told(_over([run[measure][name] for run in runs]), 4)
            for measure in ("AUC", "log loss", "calibration error")
        ]
        gain = _told(_over([_improvement(run, name, raw) for run in runs]), 1)
        ahead = _told(_over([run["AUC"][ours] - run["AUC"][name] for run in runs]), 4)
        spent = sum(run["cpu s"][name] for run in runs) / len(runs)
        size = runs[0]["parameters"].get(name)
        print(f"  {name:30} {columns[0]:25} {columns[1]:25} {columns[2]:25} {gain:20} {ahead:25} "
              f"{spent:5.1f}  {'' if size is None else f'{size:,.0f}'}", flush=True)  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(main())
