"""Training loss on Fashion-MNIST with 1 % of the gradients sent, beside all of them and PowerSGD.

Two ranks, equal epochs of the same pictures in the same order, several seeds. Of a perceptron with
101,770 weights in 2,500 steps, `CompressedSGD` stands beside DDP in float32; of a convolution
network with 206,922 in 1,400 steps, also beside torch's PowerSGD of rank 1, which sends three times
as much. The loss is that over all 60,000 training pictures at the end.

Rates rise in the first twentieth of the steps and fall to zero in a straight line, for all alike.
They were chosen by seeds 10 to 12, which are not judged: of .07 and .1 for DDP and .1 and .15 for
`CompressedSGD` on the perceptron, of .1 and .15, and .3 and .4, on the convolutions; before there
was a rise, of .03 to .15 for DDP, and of .05, .07 and .1 for PowerSGD, of which it keeps the best.

FOLDER (or `$DEEPSEEK_DATA`) has `fashion_mnist_train_*.npz` and `fashion_mnist_test.npz`.

    python benchmarks/gradient_loss.py --data FOLDER [--seeds 3] [--json FILE]
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from _gradients import FP32, OURS, POWER, contestant, convolutions, perceptron
from _ranks import run_ranks
from _report import Report, pin, print_head, versions

EXAMPLE: Final = Path(__file__).resolve().parent.parent / "examples" / "compression"
RANKS, BATCH = 2, 128  # pictures of all ranks together
MODELS: Final = {  # steps, rates
    "perceptron": (2500, {FP32: 0.07, OURS: 0.15}),
    "convolutions": (1400, {FP32: 0.1, OURS: 0.4, POWER: 0.05}),
}
RISE: Final = 0.05  # of the steps


def network(name: str, seed: int) -> Any:
    """A new one; pictures are float32 [B, 1, 28, 28]."""
    import torch
    from torch import nn

    torch.manual_seed(seed)
    if name == "perceptron":
        return nn.Sequential(nn.Flatten(), *perceptron((784, 128, 10)))
    return convolutions()


@dataclass(frozen=True, kw_only=True)
class Run:
    """A training: of which model, by which contestant, from which seed."""

    model: str
    name: str
    lr: float
    steps: int
    seed: int
    data: Path


def trained(rank: int, barrier: Any, run: Run) -> tuple[float, float, bytes]:
    """Loss over the training pictures, accuracy over those of the test, a digest of the weights."""
    import hashlib

    import torch

    sys.path.insert(0, str(EXAMPLE))
    import fashion

    pictures, labels = (torch.from_numpy(part) for part in fashion.read("train", run.data))
    module = network(run.model, run.seed)
    called, optimizer = contestant(run.name, module, run.lr)
    draw = torch.Generator().manual_seed(run.seed)
    order = torch.cat([torch.randperm(len(labels), generator=draw) for _ in range(6)])
    for step in range(run.steps):
        for options in optimizer.param_groups:
            options["lr"] = (
                run.lr * min(1, (step + 1) / (RISE * run.steps)) * (1 - step / run.steps)
            )
        mine = order[step * BATCH : (step + 1) * BATCH][rank::RANKS]
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(called(pictures[mine]), labels[mine]).backward()
        optimizer.step()
    barrier.wait()
    weights = b"".join(p.detach().numpy().tobytes() for p in module.parameters())
    digest = hashlib.sha256(weights).digest()
    if rank:
        return 0.0, 0.0, digest
    tests, expected = (torch.from_numpy(part) for part in fashion.read("test", run.data))
    loss, _ = judged(module, pictures, labels)
    _, accuracy = judged(module, tests, expected)
    return loss, accuracy, digest


def judged(module: Any, pictures: Any, labels: Any) -> tuple[float, float]:
    """Mean loss, and the share of right answers."""
    import torch

    with torch.no_grad():
        scores = torch.cat([module(part) for part in pictures.split(2000)])
    loss = torch.nn.functional.cross_entropy(scores, labels)
    return float(loss), float((scores.argmax(1) == labels).float().mean())


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=os.environ.get("DEEPSEEK_DATA"))
    parser.add_argument("--seeds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    if args.data is None:
        parser.error("--data FOLDER, or DEEPSEEK_DATA, names where fashion_mnist_*.npz lie")
    pin(cores=2)
    used = versions(["deepseek-core", "torch", "numpy"])
    print_head("Fashion-MNIST on two ranks, by what is sent of the gradients", used)
    report = Report(versions=used)
    same = True
    for model, (steps, rates) in MODELS.items():
        losses: dict[str, list[float]] = {name: [] for name in rates}
        accuracies: dict[str, list[float]] = {name: [] for name in rates}
        print(f"\n{model}, {steps} steps: loss of training / accuracy of test, by seed")
        for name, lr in rates.items():
            for seed in range(args.seeds):
                run = Run(
                    model=model, name=name, lr=lr, steps=steps, seed=seed, data=args.data
                )  # fmt: skip
                found = run_ranks(trained, RANKS, run)
                losses[name].append(found[0][0])
                accuracies[name].append(found[0][1])
                same = same and (name != OURS or len({digest for *_, digest in found}) == 1)
            pairs = zip(losses[name], accuracies[name], strict=True)
            told = "  ".join(f"{loss:.4f} / {accuracy:.4f}" for loss, accuracy in pairs)
            print(f"  {told}  {name}, rate {lr:g}", flush=True)
        _judge(report, model, losses, accuracies)
    report.at_least("replicas are equal to the bit", float(same), 1.0, unit="")
    return report.finish(args.json)


def _judge(
    report: Report, model: str, losses: dict[str, list[float]], accuracies: dict[str, list[float]]
) -> None:
    loss = {name: statistics.mean(found) for name, found in losses.items()}
    lost = 100 * (statistics.mean(accuracies[FP32]) - statistics.mean(accuracies[OURS]))
    report.at_most(f"accuracy lost to float32, {model}", lost, 0.3, "points")
    report.at_most(f"loss above float32, {model}", 100 * (loss[OURS] / loss[FP32] - 1), 3.0, "%")
    if POWER in loss:
        report.at_most(f"loss over that of PowerSGD, {model}", loss[OURS] / loss[POWER], 1.0)


if __name__ == "__main__":
    sys.exit(main())
