"""A parameter server beside synchronous SGD on Fashion-MNIST: loss at equal samples.

Four workers, of which one takes three times as long for a batch, one is killed (SIGKILL) after a
third of the steps, one leaves there, and two join at half of them. The server steps by the mean of
eight gradients of 16 pictures, whoever gives them; the synchronous run, one process that takes what
all ranks would together, by the same 128 pictures. Rate, momentum, schedule, first weights and
order of the pictures are the same. The loss is that over all 60,000 training pictures at the end.
Beside it stands the server without what it does against staleness: weights as they are, not ahead.

FOLDER (or `$DEEPSEEK_DATA`) has `fashion_mnist_train_*.npz` and `fashion_mnist_test.npz`.

    python benchmarks/parameter_server.py --data FOLDER [--seeds 3] [--first 0] [--json FILE]
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from _report import Report, pin, print_head, versions
from gradient_loss import EXAMPLE, judged, network

STEPS: Final = {"perceptron": 2500, "convolutions": 700}
RATE, MOMENTUM, BATCH = 0.05, 0.9, 128
PER_STEP: Final = 8
BOUND: Final = 3
SLOW: Final = 3.0
"""Times as long as the others that worker 0 takes for a batch."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """A training: of which model, from which seed."""

    model: str
    seed: int
    data: Path


def pictures(data: Path, part: str) -> Any:
    """Pictures float32 [N, 1, 28, 28] and their labels [N]."""
    import torch

    if str(EXAMPLE) not in sys.path:
        sys.path.append(str(EXAMPLE))
    import fashion

    return tuple(torch.from_numpy(found) for found in fashion.read(part, data))


def order_of(seed: int) -> Any:
    """Pictures by position, over six epochs."""
    import torch

    draw = torch.Generator().manual_seed(seed)
    return torch.cat([torch.randperm(60_000, generator=draw) for _ in range(6)])


def stepper(module: Any, steps: int) -> tuple[Any, Any]:
    """SGD, and what sets its rate for the step after `version`."""
    import torch

    optimizer = torch.optim.SGD(module.parameters(), lr=RATE, momentum=MOMENTUM)

    def set_rate(version: int) -> None:
        for options in optimizer.param_groups:
            options["lr"] = RATE * (1 - version / steps)

    return optimizer, set_rate


def synchronous(run: Run) -> tuple[float, float]:
    """Loss and accuracy."""
    import torch

    steps = STEPS[run.model]
    inputs, labels = pictures(run.data, "train")
    module, order = network(run.model, run.seed), order_of(run.seed)
    optimizer, set_rate = stepper(module, steps)
    for step in range(steps):
        set_rate(step)
        mine = order[step * BATCH : (step + 1) * BATCH]
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(module(inputs[mine]), labels[mine]).backward()
        optimizer.step()
    return judged(module, inputs, labels)[0], judged(module, *pictures(run.data, "test"))[1]


def worker(address: str, run: Run, slow: float, leave: int | None) -> None:
    """One process that computes batches."""
    import torch

    from deepseek_parallel import work_at_server

    torch.set_num_threads(1)
    inputs, labels = pictures(run.data, "train")
    module, order = network(run.model, run.seed), order_of(run.seed)
    size = BATCH // PER_STEP

    def gradient(number: int) -> None:
        begin_s = time.perf_counter()
        mine = order[number * size : (number + 1) * size]
        torch.nn.functional.cross_entropy(module(inputs[mine]), labels[mine]).backward()
        time.sleep(0.002)  # so that two cores carry all workers at their speeds
        time.sleep((slow - 1) * (time.perf_counter() - begin_s))

    work_at_server(module.parameters(), gradient, address=address, steps=leave)


def served(run: Run, *, ahead: bool) -> tuple[float, float, list[int]]:
    """Loss, accuracy and the staleness of each gradient; workers leave, die and join."""
    from deepseek_parallel import ParameterServer

    context, steps = multiprocessing.get_context("spawn"), STEPS[run.model]
    module = network(run.model, run.seed)
    optimizer, set_rate = stepper(module, steps)
    inputs, labels = pictures(run.data, "train")
    workers: list[Any] = []
    home = str(Path(__file__).resolve().parent)
    if home not in sys.path:  # torch looks for a package `cuda`, and cuda.py here takes it away
        sys.path.insert(0, home)

    def join(slow: float = 1.0, leave: int | None = None) -> None:
        given = server.address, run, slow, leave
        process = context.Process(target=worker, args=given, daemon=True)
        process.start()
        workers.append(process)

    def after_step(version: int) -> None:
        set_rate(version)
        if version == steps // 3:
            workers[1].kill()  # SIGKILL
        if version == steps // 2:
            join()
            join()

    server = ParameterServer(
        module.parameters(), optimizer, steps=steps, per_step=PER_STEP, bound=BOUND,
        after_step=after_step, ahead=ahead,
    )  # fmt: skip
    set_rate(0)
    join(slow=SLOW)
    join()
    join(leave=steps * PER_STEP // 12)
    join()
    server.serve()
    for process in workers:
        process.join(10)
    loss, _ = judged(module, inputs, labels)
    return loss, judged(module, *pictures(run.data, "test"))[1], server.seen


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=os.environ.get("DEEPSEEK_DATA"))
    parser.add_argument("--seeds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--first", type=int, default=0, help="the first seed (default: 0)")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    if args.data is None:
        parser.error("--data FOLDER, or DEEPSEEK_DATA, names where fashion_mnist_*.npz lie")
    pin(cores=2)
    used = versions(["deepseek-core", "torch", "numpy"])
    print_head("Fashion-MNIST at a parameter server", used)
    report = Report(versions=used)
    for model, steps in STEPS.items():
        losses: dict[str, list[float]] = {"synchronous": [], "server": [], "not ahead": []}
        accuracies: dict[str, list[float]] = {name: [] for name in losses}
        ages: list[int] = []
        print(f"\n{model}, {steps} steps: loss of training / accuracy of test, by seed")
        for seed in range(args.first, args.first + args.seeds):
            run = Run(model=model, seed=seed, data=Path(args.data))
            found = synchronous(run)
            losses["synchronous"].append(found[0])
            accuracies["synchronous"].append(found[1])
            for name in ("server", "not ahead"):
                loss, accuracy, seen = served(run, ahead=name == "server")
                losses[name].append(loss)
                accuracies[name].append(accuracy)
                ages += seen if name == "server" else []
        for name, found_losses in losses.items():
            pairs = zip(found_losses, accuracies[name], strict=True)
            told = "  ".join(f"{loss:.4f} / {accuracy:.4f}" for loss, accuracy in pairs)
            print(f"  {told}  {name}", flush=True)
        counts = ", ".join(
            f"{age}: {n / len(ages):.1%}" for age, n in sorted(Counter(ages).items())
        )
        print(f"  steps that a gradient was old: mean {statistics.mean(ages):.2f}, {counts}")
        mean = {name: statistics.mean(found) for name, found in losses.items()}
        off = 100 * (mean["server"] / mean["synchronous"] - 1)
        report.at_most(f"loss above synchronous, {model}", off, 2.0, "%")
        plain = 100 * (mean["not ahead"] / mean["synchronous"] - 1)
        print(f"  without weights ahead: {plain:+.1f} %")
        report.at_most(f"steps that a gradient was old, {model}", max(ages), BOUND, "steps")
    return report.finish(args.json)


if __name__ == "__main__":
    sys.exit(main())
