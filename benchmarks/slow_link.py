"""A training step behind a slow link: compressed gradients beside DDP in float32.

The loopback interface that the ranks alone use is shaped to 100 Mbit/s by Linux's token bucket
(`tc`), for all of them together. This kernel has no delay to add (netem), so a message takes what
the machine takes; both contestants send few. Then without the shape, where compression does not
pay: what was measured stands beside what `ds-sdk train run --dry-run` says of it.

    python benchmarks/slow_link.py [--rate 100mbit] [--json FILE]
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

from _gradients import FP32, OURS, contestant, perceptron
from _ranks import in_a_namespace, run_ranks
from _report import Report, pin, print_head, versions
from gradient_bytes import MODELS

RANKS: Final = (2, 4)
STEPS: Final = 6
WARM: Final = 3


def shaped(rate: str | None) -> None:
    """Shape the loopback interface of this namespace, or take the shape away."""
    subprocess.run(["ip", "link", "set", "lo", "mtu", "1500"], check=True)
    subprocess.run(["tc", "qdisc", "del", "dev", "lo", "root"], check=False, capture_output=True)
    if rate is not None:
        shape = ["tbf", "rate", rate, "burst", "64kb", "latency", "2s"]
        subprocess.run(["tc", "qdisc", "add", "dev", "lo", "root", *shape], check=True)


def stepped(rank: int, barrier: Any, name: str, widths: tuple[int, ...]) -> tuple[float, int]:
    """Median seconds of a step, and how many weights there are."""
    import torch

    module = perceptron(widths)
    called, optimizer = contestant(name, module)
    draw = torch.Generator().manual_seed(rank)
    found = []
    for _ in range(WARM + STEPS):
        x = torch.randn(16, widths[0], generator=draw)
        barrier.wait()
        start_s = time.perf_counter()
        optimizer.zero_grad()
        called(x).square().mean().backward()
        optimizer.step()
        found.append(time.perf_counter() - start_s)
    return statistics.median(found[WARM:]), sum(p.numel() for p in module.parameters())


def add_steps(report: Report, rate: str) -> None:
    """Steps with the shape and without."""
    from deepseek_parallel.pays import compared, loopback

    for model, (widths, _) in MODELS.items():
        for ranks in RANKS:
            print(f"\n{model}, {ranks} ranks\n{'':24}{'ms a step':>12}{'faster':>9}")
            for shape in (rate, None):
                shaped(shape)
                both, length = {}, 0
                for name in (FP32, OURS):
                    both[name], length = max(run_ranks(stepped, ranks, name, widths))
                times = both[FP32] / both[OURS]
                link = f"at {shape}" if shape else "not shaped"
                for name, seconds in both.items():
                    shown = f"{times:8.2f}x" if name == OURS else ""
                    print(f"{name + ', ' + link:32}{seconds * 1e3:9.1f}{shown}")
                if shape:
                    claim = f"compressed step over DDP at {shape}, {model}, {ranks} ranks"
                    report.at_least(claim, times, 5.0)
                    continue
                told = compared(length, 0.01, ranks, loopback())
                print(f"{'the plan: an exchange is':32}{'':9}{told.speedup:8.2f}x as fast; it pays "
                      f"below {told.even_bytes_per_s / 1e6:.0f} MB/s")  # fmt: skip
                claim = f"the plan says that it does not pay, {model}, {ranks} ranks"
                report.at_most(claim, told.speedup, 1.0)


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rate", default="100mbit", help="default: %(default)s")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    if shutil.which("tc") is None or shutil.which("ip") is None:
        print("tc and ip are missing (Debian: iproute2); nothing was measured")
        return 3
    pin(cores=2)
    in_a_namespace()
    used = versions(["deepseek-core", "torch", "numpy"])
    print_head("A training step behind a slow link", used)
    report = Report(versions=used)
    add_steps(report, args.rate)
    shaped(None)
    return report.finish(args.json)


if __name__ == "__main__":
    sys.exit(main())
