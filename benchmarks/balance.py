"""Microbatches that follow the speed of the ranks, in real time, beside equal shares.

Two ranks train a small network; one does the work of each microbatch three times, the first one and
then, after half of the steps, the other. Equal shares and those of `Balancer` are timed in one run,
and the last gradient is compared with that of one process.

    python benchmarks/balance.py [--steps 80] [--json FILE]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path
from typing import Any, Final

from _ranks import run_ranks
from _report import Report, pin, print_head, versions

RANKS, MICROBATCHES, SAMPLES, WIDTH = 2, 48, 128, 256
SLOWER: Final = 3


def gradient(net: Any, x: Any, y: Any) -> None:
    """Add the gradient of the sum over some samples, divided by the number of all."""
    (((net(x) - y) ** 2).sum() / (MICROBATCHES * SAMPLES)).backward()


def trained(rank: int, barrier: Any, steps: int, is_balanced: bool) -> tuple[float, float, float]:
    """Median seconds of a step, last imbalance, and how far the gradient is from one process."""
    import torch
    import torch.distributed as dist

    from deepseek_parallel import Balancer
    from deepseek_parallel.shares import imbalance

    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Linear(WIDTH, WIDTH), torch.nn.Tanh(), torch.nn.Linear(WIDTH, 1)
    )
    x, y = torch.randn(MICROBATCHES, SAMPLES, WIDTH), torch.randn(MICROBATCHES, SAMPLES, 1)
    balancer = Balancer(RANKS, MICROBATCHES)
    shares, seconds = balancer.shares(), torch.zeros(RANKS, dtype=torch.float64)
    gradient(net, x[0], y[0])  # loads what torch imports at first
    barrier.wait()
    steps_s = []
    for step in range(steps):
        is_slow = rank == (2 * step >= steps)
        start_s = time.perf_counter()
        net.zero_grad()
        for number in range(sum(shares[:rank]), sum(shares[: rank + 1])):
            for _ in range(SLOWER - 1 if is_slow else 0):  # as much work, which adds nothing
                (0 * net(x[number]).sum()).backward()
            gradient(net, x[number], y[number])
        flat = torch.cat([p.grad.reshape(-1) for p in net.parameters()])
        seconds.zero_()
        seconds[rank] = time.perf_counter() - start_s
        dist.all_reduce(flat)
        dist.all_reduce(seconds)
        balancer.observe(seconds.tolist())
        shares = balancer.shares() if is_balanced else shares
        if not is_balanced:
            balancer = Balancer(RANKS, MICROBATCHES)
        steps_s.append(time.perf_counter() - start_s)
    net.zero_grad()
    for number in range(MICROBATCHES):
        gradient(net, x[number], y[number])
    whole = torch.cat([p.grad.reshape(-1) for p in net.parameters()])
    off = float((flat - whole).abs().max() / whole.abs().max())
    return statistics.median(steps_s), imbalance(seconds.tolist()), off


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=80)
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    pin(cores=2)
    used = versions(["deepseek-parallel", "torch"])
    print_head(f"{RANKS} ranks, one {SLOWER} times slower, {MICROBATCHES} microbatches", used)
    static_s, static_imbalance, _ = run_ranks(trained, RANKS, args.steps, False)[0]
    took_s, last_imbalance, off = run_ranks(trained, RANKS, args.steps, True)[0]
    print(f"equal shares: {1e3 * static_s:.1f} ms a step, last imbalance {static_imbalance:.1%}")
    print(f"balanced:     {1e3 * took_s:.1f} ms a step, last imbalance {last_imbalance:.1%}")
    report = Report(versions=used)
    report.at_least("balanced shares are faster than equal ones, times", static_s / took_s, 1.5)
    report.at_most("gradient off from one process", off, 1e-6, "")
    return report.finish(args.json)


if __name__ == "__main__":
    sys.exit(main())
