"""`ds-sdk tune` on Fashion-MNIST beside a grid of 16 batches and rates.

Each point of the grid trains for five epochs, and so does what `tune` says, with the seed of its
grid; accuracy is that of the 10,000 pictures of the test, which `tune` never sees, in the mean over
seeds. The best of the grid is chosen by that very figure. What `tune` costs is told with its child
processes, in samples with the training that follows, and in seconds of the processor.

The peer is `Tuner.lr_find` of Lightning for the smallest batch, run by the Python of an environment
that has it (`--lightning PYTHON`); without it, the rule that it follows: the rate where the loss
falls most steeply in a range test.

    python -m venv /tmp/peer
    /tmp/peer/bin/pip install lightning==2.6.6 numpy -e core -e plugins/compress_torch
    python benchmarks/tune.py --data FOLDER [--seeds 3] [--lightning PYTHON] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from _report import Report, pin, print_head, versions

HERE: Final = Path(__file__).resolve().parent
BUILD: Final = f"{HERE / '_tune_problem.py'}:build"
NEAR, COLLAPSED = 5.0, 20.0  # points below the best; percent right


@dataclass(frozen=True, kw_only=True)
class Seed:
    """What one seed gave: accuracies in percent, costs of the grid and of `tune`."""

    grid: dict[tuple[int, float], float]
    tuned: float
    setting: str
    peer: float
    peer_rate: float
    samples: float
    samples_with_training: float
    cpu: float
    cpu_with_training: float
    refused: bool
    diverging: float
    instead: float
    false_alarms: int


def cpu_s() -> float:
    """Of this process and those it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


class Lab:
    """The pictures, and trainings on them."""

    def __init__(self, seed: int) -> None:
        import _tune_problem as problem

        self._problem, self._seed = problem, seed
        self._train, self._test = problem.pictures("train"), problem.pictures("test")
        self.length = len(self._train[1])

    def accuracy(self, batch: int, rate: float, warm: int = 0, start: float | None = None) -> float:
        """Of a training with a rate that is constant after `warm` steps; in percent."""
        import torch

        problem, (x, y), (test_x, test_y) = self._problem, self._train, self._test
        torch.manual_seed(self._seed)
        model = problem.network()
        optimizer = problem.optimizer(model.parameters())
        draw = torch.Generator().manual_seed(self._seed)
        order = torch.cat(
            [torch.randperm(self.length, generator=draw) for _ in range(problem.EPOCHS)]
        )
        begin = rate if start is None else start
        for step, which in enumerate(order.split(batch)):
            for group in optimizer.param_groups:
                group["lr"] = begin + (rate - begin) * (min(1.0, step / warm) if warm else 1.0)
            optimizer.zero_grad()
            problem.loss(model, (x[which], y[which])).backward()
            optimizer.step()
        with torch.no_grad():
            return 100 * float((model(test_x).argmax(1) == test_y).float().mean())


def run(seed: int, lightning: str | None) -> Seed:
    """The grid, `tune`, its training, and what is refused."""
    import _tune_problem as problem
    from deepseek_observe.tune.tune import Wanted, tune

    lab = Lab(seed)
    begin_s = cpu_s()
    grid = {(b, r): lab.accuracy(b, r) for b in problem.BATCHES for r in problem.RATES}
    grid_s = cpu_s() - begin_s
    grid_samples = len(grid) * problem.EPOCHS * lab.length

    begin_s = cpu_s()
    found = tune(
        BUILD,
        Wanted(
            low=problem.BATCHES[0], high=problem.BATCHES[-1], seed=seed,
            samples=problem.EPOCHS * lab.length,
        ),
    )  # fmt: skip
    assert found is not None
    tune_s = cpu_s() - begin_s
    target, outcome = found
    plan = outcome.plan
    begin_s = cpu_s()
    tuned = lab.accuracy(plan.batch, plan.rate, plan.warmup_steps, plan.warmup_start)
    final_s = cpu_s() - begin_s
    seen = outcome.seen
    refused, instead = refusal(seed, lab)
    peer_rate = lightning_rate(lightning, seed) if lightning else steepest(target.problem, seed)
    return Seed(
        grid=grid, tuned=tuned,
        setting=f"a batch of {plan.batch}, rate {plan.rate:.4f}, warm-up {plan.warmup_steps}",
        peer=lab.accuracy(problem.BATCHES[0], peer_rate), peer_rate=peer_rate,
        samples=100 * seen / grid_samples,
        samples_with_training=100 * (seen + problem.EPOCHS * lab.length) / grid_samples,
        cpu=100 * tune_s / grid_s, cpu_with_training=100 * (tune_s + final_s) / grid_s,
        refused=refused, diverging=lab.accuracy(*problem.DIVERGING), instead=instead,
        false_alarms=false_alarms(target.problem, grid, seed),
    )  # fmt: skip


def refusal(seed: int, lab: Lab) -> tuple[bool, float]:
    """Whether the diverging setting is refused, and the accuracy of what is told to use instead."""
    import _tune_problem as problem
    from deepseek_observe.tune.errors import Diverges
    from deepseek_observe.tune.tune import Wanted, tune

    batch, rate = problem.DIVERGING
    samples = problem.EPOCHS * lab.length
    try:
        tune(BUILD, Wanted(low=batch, high=batch, rate=rate, seed=seed, samples=samples))
    except Diverges as error:
        assert error.rate is not None
        return True, lab.accuracy(batch, error.rate)
    return False, 0.0


def false_alarms(tuned: Any, grid: dict[tuple[int, float], float], seed: int) -> int:
    """Points of the grid that train to within some points of the best, and would be refused."""
    from deepseek_observe.tune.plan import BatchPlan
    from deepseek_observe.tune.rates import Course
    from deepseek_observe.tune.tune import check_plan

    train, held = tuned.data.divided(seed)
    course = Course(batch=1, steps=1, train=train, held=held, seed=seed)
    best = max(grid.values())
    count = 0
    for (batch, rate), accuracy in grid.items():
        plan = BatchPlan(
            batch=batch, micro=batch, accumulate=1, rate=rate, warmup_steps=0, warmup_start=rate,
            rule="given",
        )  # fmt: skip
        if accuracy >= best - NEAR:
            count += not check_plan(tuned, plan, course)
    return count


def steepest(tuned: Any, seed: int) -> float:
    """The rate where the loss falls most in a range test, smoothed; as Lightning's `lr_find`."""
    import numpy as np

    from _tune_problem import BATCHES
    from deepseek_observe.tune.problem import kept, restore
    from deepseek_observe.tune.rates import sweep
    from deepseek_observe.tune.samples import Stream

    begin = kept(tuned)
    swept = sweep(tuned, Stream(tuned.data.divided(seed)[0], seed), BATCHES[0])
    restore(tuned, begin)
    losses, smooth = [], 0.0
    for number, loss in enumerate(swept.losses):
        smooth = 0.98 * smooth + 0.02 * loss
        losses.append(smooth / (1 - 0.98 ** (number + 1)))
    return swept.rates[int(np.gradient(np.array(losses[10:])).argmin()) + 10]


def lightning_rate(python: str, seed: int) -> float:
    """What Lightning's `lr_find` suggests."""
    done = subprocess.run(
        [python, str(HERE / "_tune_lightning.py"), str(seed)],
        check=True, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    return float(json.loads(done.stdout.strip().splitlines()[-1])["rate"])


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=os.environ.get("DEEPSEEK_DATA"))
    parser.add_argument("--seeds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--lightning", metavar="PYTHON", help="of an environment that has it")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    if args.data is None:
        parser.error("--data FOLDER, or DEEPSEEK_DATA, names where fashion_mnist_*.npz lie")
    os.environ["DEEPSEEK_DATA"] = str(args.data.resolve())
    pin()
    used = versions(["deepseek-core", "deepseek-observe", "torch", "numpy"])
    print_head("Fashion-MNIST: tune beside a grid of 16", used)
    seeds = []
    for seed in range(args.seeds):
        one = run(seed, args.lightning)
        print(
            f"  seed {seed}: {one.tuned:.2f} % with {one.setting}; best of the grid "
            f"{max(one.grid.values()):.2f}; peer {one.peer:.2f} with rate {one.peer_rate:.4f}",
            flush=True,
        )
        seeds.append(one)
    return judged(seeds, args.json)


def judged(seeds: list[Seed], path: Path | None) -> int:
    """Print the grid and the claims."""
    report = Report(versions=versions(["deepseek-core", "deepseek-observe", "torch", "numpy"]))
    grid = {at: statistics.mean(one.grid[at] for one in seeds) for at in seeds[0].grid}
    rates = sorted({rate for _, rate in grid})
    print("\n  batch " + " ".join(f"{rate:>8g}" for rate in rates))
    for batch in sorted({batch for batch, _ in grid}):
        print(f"  {batch:5d} " + " ".join(f"{grid[batch, rate]:8.2f}" for rate in rates))

    def mean(name: str) -> float:
        return statistics.mean(getattr(one, name) for one in seeds)

    best = max(grid.values())
    print(
        f"\n  tuned {mean('tuned'):.2f}, best of the grid {best:.2f}, peer {mean('peer'):.2f}"
        f"\n  cost of the grid's: samples {mean('samples'):.1f} %, with the training "
        f"{mean('samples_with_training'):.1f} %; processor {mean('cpu'):.1f} %, with the training "
        f"{mean('cpu_with_training'):.1f} %"
        f"\n  the diverging setting {mean('diverging'):.2f}, what is told instead "
        f"{mean('instead'):.2f}"
    )
    report.at_most("accuracy below the best of the grid", best - mean("tuned"), 0.3, "points")
    report.at_most(
        "samples of tune and the training after it, of the grid's",
        mean("samples_with_training"), 25.0, "%",
    )  # fmt: skip
    report.at_most("processor seconds of tune, of the grid's", mean("cpu"), 25.0, "%")
    report.at_least("the setting that diverges is refused", mean("refused"), 1.0, "of seeds")
    report.at_most(
        "accuracy of the setting that diverges", max(one.diverging for one in seeds), COLLAPSED, "%"
    )
    report.at_most(
        "points of the grid that train and would be refused",
        sum(one.false_alarms for one in seeds), 0, "",
    )  # fmt: skip
    return report.finish(path)


if __name__ == "__main__":
    sys.exit(main())
