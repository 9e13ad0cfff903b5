"""Distillation: what pruned networks keep of their teacher on Fashion-MNIST, over seeds.

A seed decides everything: the teacher's weights and the order of its samples, which channels
`random` removes, and the order in which students learn. Teachers learn from 20,000 pictures in 6
epochs; accuracies are of the 10,000 test pictures, which nothing is chosen by. Intervals are of
95 %: over seeds by Student's t, of one network against another on the same pictures by Agresti and
Min. Students are made and taught by the steps of recipes: prune, recover_bn, distill, finetune.

 * parameters / 3.7 by several scores, `random` as control, 3 epochs with the teacher; and by
   `cis_mean` without a teacher;
 * a tenth of the parameters, 4 epochs: pruned or drawn at random, with a teacher or without; and
   the first as int8 for ONNX Runtime;
 * a student of a tenth of the parameters that learns from all 60,000 pictures, half of them
   mirrored, in 8 epochs, from `examples/compression/data/teacher.npz`.

    python benchmarks/distillation.py --data FOLDER [--quick] [--seeds N] [--kept DIR] [--json FILE]

FOLDER (or `$DEEPSEEK_DATA`) has `fashion_mnist_*.npz`. With `--kept` trainings are kept there and
gone on from. Takes about 25 CPU minutes on an x86 core with bf16; `--quick` takes one.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from _report import Report, pin, print_head, versions

EXAMPLE = Path(__file__).parents[1] / "examples" / "compression"
SCORES = ("cis_mean", "cis_frequency", "l1", "taylor", "random")
SHAPE = (1, 1, 28, 28)
TEACHER = {"epochs": 6, "learning_rate": 0.1}
STUDENT = {"learning_rate": 0.05}
DROP_BAR = 1.0  # points
SHARE_BAR, INT8_BAR = 98.5, 98.3  # percent of the teacher's accuracy
ABSOLUTE_BAR = 92.0


class Amount(NamedTuple):
    """How much is trained: pictures, epochs of teachers and of both sorts of students."""

    pictures: int
    teacher: int
    smaller: int
    tenth: int
    whole: int


FULL = Amount(pictures=20_000, teacher=6, smaller=3, tenth=4, whole=8)
QUICK = Amount(pictures=2_000, teacher=2, smaller=1, tenth=1, whole=0)


class Bench:
    """The data, and how a seed's networks are made from them; `kept` is where trainings lie."""

    def __init__(self, arguments: argparse.Namespace, kept: Path) -> None:
        import fashion
        import numpy as np

        from deepseek_compress.samples.accept import as_samples
        from deepseek_compress.samples.names import Expected

        self.amount = QUICK if arguments.quick else FULL
        self.kept = kept
        expected = Expected(inputs={"x": SHAPE})
        x, y = fashion.read("train", arguments.data)
        rows = np.random.default_rng(0).permutation(len(x))[: self.amount.pictures]
        self.train = as_samples((x[rows], y[rows]), expected)
        self.calibration = as_samples((x[rows[:512]], y[rows[:512]]), expected)
        self.whole = as_samples(fashion.Augmented(x, y), expected)
        self.test = as_samples(fashion.read("test", arguments.data), expected)

    def context(self, name: str, seed: int, original: Any = None, samples: Any = None) -> Any:
        """What a step is told; its workspace has a name of its own for each training."""
        from deepseek_core import compression

        folder = self.kept / f"{name}_{seed}_{self.amount.pictures}"
        folder.mkdir(parents=True, exist_ok=True)
        return compression.StepContext(
            workspace=folder,
            train=samples or self.train,
            calibration=self.calibration,
            original=original,
            seed=seed,
            progress=show,
        )

    def accuracy(self, model: Any) -> Any:
        """On the test pictures."""
        from deepseek_compress.train.evaluate import accuracy
        from deepseek_compress.train.predictor import torch_predictor

        return accuracy(torch_predictor(model), self.test)

    def teacher(self, seed: int) -> Any:
        """The network of a seed, drawn and trained."""
        import torch
        from resnet import small_resnet

        from deepseek_compress.steps.finetune import Finetune

        torch.manual_seed(seed)
        step = Finetune(**{**TEACHER, "epochs": self.amount.teacher})
        return applied(step, small_resnet(), self.context("teacher", seed))


def show(done: int, of: int, text: str) -> None:
    if sys.stderr.isatty() and done % 10 == 0:
        print(f"\r{done}/{of} {text}   ", end="", file=sys.stderr, flush=True)


def applied(step: Any, model: Any, context: Any) -> Any:
    """What a step makes of a model."""
    return step.apply(model, step.plan(model, context), context).model


def pruned(model: Any, context: Any, score: str, divisor: float) -> Any:
    from deepseek_compress.steps.prune import Prune
    from deepseek_compress.steps.recover_bn import RecoverBn

    smaller = applied(Prune(score=score, parameters=f"/{divisor}"), model, context)
    return applied(RecoverBn(), smaller, context)


def taught(model: Any, context: Any, epochs: int) -> Any:
    """With the teacher of the context, or without any."""
    from deepseek_compress.steps.distill import Distill
    from deepseek_compress.steps.finetune import Finetune

    step = Finetune if context.original is None else Distill
    return applied(step(**STUDENT, epochs=epochs), model, context)


def redrawn(model: Any, seed: int) -> Any:
    """The same structure, with weights drawn anew."""
    import torch

    from deepseek_compress.modules import copied

    torch.manual_seed(seed)
    fresh = copied(model)
    for part in fresh.modules():
        if hasattr(part, "reset_parameters"):
            part.reset_parameters()
    return fresh


def students(bench: Bench, seed: int) -> dict[str, Any]:
    """Evaluations of a seed's teacher and of all its students, by name."""
    teacher = bench.teacher(seed)
    found = {"teacher": bench.accuracy(teacher)}
    amount = bench.amount
    for score in SCORES:
        context = bench.context(f"{score}", seed, teacher)
        smaller = pruned(teacher, context, score, 3.7)
        found[f"/3.7 {score}"] = bench.accuracy(taught(smaller, context, amount.smaller))
    alone = bench.context("alone", seed)
    smaller = pruned(teacher, alone, "cis_mean", 3.7)
    found["/3.7 cis_mean, no teacher"] = bench.accuracy(taught(smaller, alone, amount.smaller))
    return found | tenths(bench, teacher, seed)


def tenths(bench: Bench, teacher: Any, seed: int) -> dict[str, Any]:
    """Students of a tenth of the parameters."""
    epochs, found = bench.amount.tenth, {}
    start = pruned(teacher, bench.context("tenth", seed), "cis_mean", 10)
    best = taught(start, bench.context("tenth", seed, teacher), epochs)
    found["/10 pruned + teacher"] = bench.accuracy(best)
    found["/10 pruned + teacher, int8"] = int8(bench, best, bench.context("tenth", seed))
    found["/10 pruned"] = bench.accuracy(taught(start, bench.context("tenth_alone", seed), epochs))
    fresh, context = redrawn(start, seed), bench.context("drawn", seed, teacher)
    found["/10 drawn + teacher"] = bench.accuracy(taught(fresh, context, epochs))
    alone = bench.context("drawn_alone", seed)
    found["/10 drawn"] = bench.accuracy(taught(fresh, alone, epochs))
    return found


def int8(bench: Bench, model: Any, context: Any) -> Any:
    """The evaluation of a network as ONNX Runtime's int8 file."""
    from deepseek_compress.lower.export import export_onnx
    from deepseek_compress.steps.lower import LowerForOnnxRuntime
    from deepseek_compress.train.evaluate import accuracy
    from deepseek_compress.train.onnx_files import onnx_predictor
    from deepseek_core import Artifact

    path = context.workspace / "student.onnx"
    export_onnx(model, {"x": SHAPE}, path)
    given = Artifact.from_bytes(path.read_bytes(), format="onnx")
    lowered = applied(LowerForOnnxRuntime(), given, context)
    return accuracy(onnx_predictor(lowered.read()), bench.test)


def absolute(bench: Bench) -> tuple[Any, Any, float]:
    """The committed teacher, its student from all pictures, and how many times that is smaller."""
    import fashion

    from deepseek_compress.profile import parameters_of

    teacher = fashion.trained(str(EXAMPLE / "data" / "teacher.npz"))
    context = bench.context("whole", 0, teacher, bench.whole)
    start = pruned(teacher, context, "cis_mean", 10)
    student = taught(start, context, bench.amount.whole)
    times = parameters_of(teacher) / parameters_of(student)
    return bench.accuracy(teacher), bench.accuracy(student), times


def told(found: Any, digits: str = ".2f") -> str:
    """A mean with its interval; of one seed there is none."""
    if found.count < 2:
        return f"{found.value:{digits}}"
    return f"{found.value:{digits}} ({found.low:{digits}} to {found.high:{digits}})"


def print_table(runs: Sequence[dict[str, Any]]) -> None:
    from deepseek_compress.train.intervals import over_seeds

    print(f"\n  {'accuracy, %':32}{'mean, interval':25}{'less teacher, points':25}seeds")
    for name in runs[0]:
        scores = [run[name].score.value * 100 for run in runs]
        drops = over_seeds([100 * (r[name].score.value - r["teacher"].score.value) for r in runs])
        each = " ".join(f"{score:.2f}" for score in scores)
        print(f"  {name:32}{told(over_seeds(scores)):25}{told(drops, '+.2f'):25}{each}")


def print_controls(runs: Sequence[dict[str, Any]]) -> None:
    """What each score has over `random`, seed by seed, in the words that the interval allows."""
    from deepseek_compress.train.intervals import over_seeds

    print("\n  over random, points")
    for score in SCORES[:-1]:
        names = (f"/3.7 {score}", "/3.7 random")
        pairs = [[100 * run[name].score.value for name in names] for run in runs]
        found = over_seeds([one - other for one, other in pairs])
        words = "no significant difference" if len(runs) > 1 else "one seed says nothing"
        if found.low > 0 or found.high < 0:
            words = "better" if found.low > 0 else "worse"
        print(f"  {score:16}{told(found, '+.2f'):25}{words}")


def judge(report: Report, runs: Sequence[dict[str, Any]]) -> None:
    from deepseek_compress.train.intervals import over_seeds

    def share(name: str) -> float:
        return over_seeds(
            [100 * r[name].score.value / r["teacher"].score.value for r in runs]
        ).value

    drop = over_seeds(
        [100 * (r["teacher"].score.value - r["/3.7 cis_mean"].score.value) for r in runs]
    )
    count = len(runs)
    claim = f"parameters / 3.7 by cis_mean: drop, mean of {count} seeds"
    report.at_most(claim, drop.value, DROP_BAR, "pt")
    report.at_most(f"{claim}, upper end of the interval", drop.high, DROP_BAR, "pt")
    best, small = "/10 pruned + teacher", "/10 pruned + teacher, int8"
    report.at_least(f"a tenth: share of the teacher, {count} seeds", share(best), SHARE_BAR, "%")
    report.at_least(
        f"a tenth, int8: share of the teacher, {count} seeds", share(small), INT8_BAR, "%"
    )


def main() -> int:
    """Train, measure, print, and say by the exit code whether every claim holds."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("DEEPSEEK_DATA"))
    parser.add_argument("--quick", action="store_true", help="2,000 pictures, one seed, no bars")
    parser.add_argument("--seeds", type=int, default=3, metavar="N")
    parser.add_argument("--kept", type=Path, metavar="DIR", help="keep trainings, and go on")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows to this file")
    arguments = parser.parse_args()
    if arguments.data is None:
        parser.error("--data FOLDER, or DEEPSEEK_DATA, names where fashion_mnist_*.npz lie")
    pin()
    sys.path.insert(0, str(EXAMPLE))
    used = versions(("deepseek-compress", "torch", "onnxruntime", "numpy"))
    print_head("Distillation: networks of a quarter and a tenth on Fashion-MNIST", used)
    report = Report(versions=used)
    with ExitStack() as stack:
        kept = arguments.kept or Path(stack.enter_context(TemporaryDirectory()))
        measured(Bench(arguments, kept), 1 if arguments.quick else arguments.seeds, report)
    return report.finish(arguments.json)


def measured(bench: Bench, seeds: int, report: Report) -> None:
    """Run all, and add the claims."""
    import torch

    torch.set_num_threads(1)
    runs = []
    for seed in range(seeds):
        start_s = time.process_time()
        runs.append(students(bench, seed))
        print(f"seed {seed}: {time.process_time() - start_s:.0f} CPU s", flush=True)
    print_table(runs)
    print_controls(runs)
    if bench.amount is QUICK:
        return
    judge(report, runs)
    teacher, student, times = absolute(bench)
    print(f"\n  all pictures: teacher {teacher.score.value:.2%}, ", end="")
    score = student.score
    print(f"student {score.value:.2%} ({score.low:.2%} to {score.high:.2%}), {times:.1f}x smaller")
    report.at_least(
        "all 60,000 pictures: a student's accuracy", score.value * 100, ABSOLUTE_BAR, "%"
    )
    report.at_least("all 60,000 pictures: how many times it is smaller", times, 10.0)


if __name__ == "__main__":
    sys.exit(main())
