"""Fusion: ways to join three modalities, beside single modalities and late fusion, over seeds.

 * Digits in three modalities. **The pairing is synthetic**: a picture (MNIST, reduced and noised),
   a clip (FSDD, noised) and a misspelt number word are paired by class, after each was divided into
   parts. Every join has the same encoders, rows, steps, rate and losses (cross-entropy, and a head
   for each modality) unless its row says otherwise; CPU seconds and parameters stand beside it. The
   single models and late fusion are one training whose losses share nothing but the clipping of the
   gradient. Rows draw parts, pairs, noise and weights anew for each seed.
 * CMU-MOSI, real, where video features mislead (they were fitted on the training labels): seven
   subsets of modalities and corrupted ones, for the gate in three ways and for other joins.

Nothing is chosen by a test part. Intervals are of 95 %, Student's t over seeds; differences are
paired by seed. What is trained is kept below `--kept`, and a run goes on from there.

    python benchmarks/fusion.py --data FOLDER [--quick] [--seeds N] [--only digits|mosi]
                                [--fewer] [--kept DIR] [--json FILE]

FOLDER (or `$DEEPSEEK_DATA`) has `mnist_t10k.npz`, `fsdd_8khz_mulaw.npz` and
`cmu_mosi_utterances.npz`. Takes about 12 CPU minutes on an x86 core; `--quick` takes one.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import _fusion_mosi
from _fusion_digits import MODALITIES, RECIPES, Kept, result
from _paired_digits import LABEL
from _report import NOT_RUN, Report, pin, print_head, versions

FILES = ("mnist_t10k.npz", "fsdd_8khz_mulaw.npz", "cmu_mosi_utterances.npz")
NEEDED = ("late", "concatenation", "gate", "gate over late fusion")
GATES = ("gate", "gate over late fusion")  # alone; and as the application joins
SINGLE_BAR, CONCATENATION_BAR, TEXT_BAR = 15.0, 2.0, -1.0  # points


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean and 95 % interval in points; of one value the interval is not known."""
    from deepseek_fusion.job.scoring import over_seeds

    if len(values) < 2:
        return 100 * values[0], float("-inf"), float("inf")
    found = over_seeds(values)
    return 100 * found.value, 100 * found.low, 100 * found.high


def told(values: Sequence[float], sign: str = "") -> str:
    mean, low, high = interval(values)
    return f"{mean:{sign}6.1f} ({low:{sign}.1f} to {high:{sign}.1f})"


def sentence(one: str, other: str, values: Sequence[float]) -> str:
    """What a paired difference says."""
    mean, low, high = interval(values)
    verdict = (
        f"{one} is better than {other}" if low > 0
        else f"{one} is worse than {other}" if high < 0
        else f"no gain of {one} over {other} is shown"
    )  # fmt: skip
    return f"{verdict}: {mean:+.1f} points ({low:+.1f} to {high:+.1f}) over {len(values)} seeds"


def digits(arguments: argparse.Namespace, report: Report) -> dict[str, Any]:
    """Train, print the table, and check the claims."""
    print(f"\nPaired digits ({LABEL}); test accuracy in %, {arguments.seeds} seeds")
    seeds = range(arguments.seeds)
    names = NEEDED if arguments.fewer else tuple(RECIPES)
    kept = {name: [result(arguments, name, seed) for seed in seeds] for name in names}
    right = {name: [_accuracy(one, "all") for one in found] for name, found in kept.items()}
    for modality in MODALITIES:
        right[f"{modality} alone"] = [_accuracy(one, modality) for one in kept["late"]]
    right["late fusion"] = right.pop("late")
    for name, values in right.items():
        costs = kept.get({"late fusion": "late"}.get(name, name))
        cost = "" if costs is None else _cost(costs)
        print(f"  {told(values)}  {name}{cost}")
    _print_subsets(kept)
    best = max((f"{m} alone" for m in MODALITIES), key=lambda name: sum(right[name]))
    others = (best, "concatenation", "late fusion")
    pairs = (*((gate, other) for gate in GATES for other in others), ("gate", "softmax attention"))
    apart = {
        (one, other): [a - b for a, b in zip(right[one], right[other], strict=True)]
        for one, other in pairs
        if one in right and other in right
    }
    print(f"  paired ({LABEL}):")
    for (one, other), values in apart.items():
        print(f"    {sentence(one, other, values)}")
    _check(report, apart, best)
    return {"label": LABEL, "accuracy": right}


def _accuracy(kept: Kept, subset: str) -> float:
    return float((kept.answers[subset].argmax(1) == kept.classes).mean())


def _cost(kept: Sequence[Kept]) -> str:
    cpu_s = sum(one.cpu_s for one in kept) / len(kept)
    return f": {kept[0].parameters:,} parameters, {cpu_s:.0f} CPU s"


def _print_subsets(kept: Mapping[str, list[Kept]]) -> None:
    print("  one joined model asked with a part of the modalities (no modality dropout):")
    for subset in kept["gate"][0].answers:
        if subset != "all":
            values = [_accuracy(one, subset) for one in kept["gate"]]
            print(f"  {told(values)}  gate: {subset}")


def _check(report: Report, apart: Mapping[tuple[str, str], list[float]], best: str) -> None:
    add = report.at_least
    for gate in GATES:
        for other, bar in ((best, SINGLE_BAR), ("concatenation", CONCATENATION_BAR)):
            gain = interval(apart[gate, other])[0]
            add(f"digits (pairing synthetic): {gate}, by how much above {other}", gain, bar, "pt")


def mosi(arguments: argparse.Namespace, report: Report) -> dict[str, Any]:
    """Train, print the table, and check the claim."""
    count = 1 if arguments.quick else arguments.seeds
    print(f"\nCMU-MOSI, 752 test utterances; accuracy in %, {count} seeds; video misleads")
    found, cpu_s = _fusion_mosi.table(arguments.data, range(count))
    right = {name: [float(one.mean()) for one in rows] for name, rows in found.items()}
    for name, values in right.items():
        print(f"  {told(values) if len(values) > 1 else f'{100 * values[0]:6.1f}'}  {name}")
    print("  " + ", ".join(f"{name}: {s:.1f} CPU s" for name, s in cpu_s.items()))
    whole, alone = " + ".join(_fusion_mosi.MODALITIES), right["late fusion: text"]
    for name in _fusion_mosi.TRIES:
        gains = [a - b for a, b in zip(right[f"{name}: {whole}"], alone, strict=True)]
        print(f"    {sentence(name, 'text alone', gains)}")
        if name.startswith("gate"):
            claim = f"MOSI: {name}, all modalities, over text alone trained apart"
            report.at_least(claim, interval(gains)[0], TEXT_BAR, "pt")
    linear = right["TF-IDF, logistic regression"][0]
    print(f"    logistic regression on the words alone has {100 * linear:.1f} %")
    chosen = "gate, modality dropout"
    gains = [one - linear for one in right[f"{chosen}: {whole}"]]
    claim = f"MOSI: {chosen}, all modalities, over logistic regression on the words"
    report.at_least(claim, interval(gains)[0], TEXT_BAR, "pt")
    return {"accuracy": right}


def main() -> int:
    """Run what was asked for; 0 if every claim holds."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("DEEPSEEK_DATA"))
    parser.add_argument("--quick", action="store_true", help="little of everything, one seed")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", choices=("digits", "mosi"))
    parser.add_argument(
        "--fewer", action="store_true", help=f"of digits, {', '.join(NEEDED)} alone"
    )
    parser.add_argument("--kept", type=Path, help="keeps trainings, and goes on from them")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if arguments.data is None or not all((Path(arguments.data) / name).exists() for name in FILES):
        print(f"--data FOLDER with {', '.join(FILES)} is needed", file=sys.stderr)
        return NOT_RUN
    arguments.data = Path(arguments.data)
    arguments.seeds = 1 if arguments.quick else arguments.seeds
    import torch

    torch.set_num_threads(1)
    used = versions(("deepseek-fusion", "torch", "scikit-learn", "numpy"))
    print_head("fusion of three modalities", used)
    report = Report(versions=used)
    with TemporaryDirectory() as folder:
        arguments.kept = arguments.kept or Path(folder)
        for name, part in (("digits", digits), ("mosi", mosi)):
            if arguments.only in (None, name):
                part(arguments, report)
    return report.finish(arguments.json)


if __name__ == "__main__":
    pin()
    sys.exit(main())
