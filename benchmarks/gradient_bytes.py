"""Bytes of a training step on the wire: compressed gradients beside DDP's all-reduce and its hooks.

The transmit counter of a loopback interface that nobody else uses is read before and after 20
steps, so headers of gloo and TCP, acknowledgements and all else that a step sends are in it.
Contestants: DDP in float32, DDP with torch's hook for fp16 and with PowerSGD of rank 1, and
`CompressedSGD` at 1 %. Three models: one linear layer of a million weights, a perceptron of
203,530, and the convolutions of gradient_loss.py, where losses of the last two are compared.

    python benchmarks/gradient_bytes.py [--json FILE]
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any, Final

from _gradients import FP16, FP32, OURS, POWER, contestant, convolutions, perceptron
from _ranks import in_a_namespace, run_ranks, sent_nbytes
from _report import Report, pin, print_head, versions

STEPS: Final = 20
WARM: Final = 4  # DDP makes its buckets anew after the first step
QUIET_S: Final = 0.3  # until late acknowledgements are counted
RANKS: Final = (2, 4, 8)
MODELS: Final = {
    "1,001,000 weights": ((1000, 1001), 99.4),
    "203,530 weights": ((784, 256, 10), 99.0),
}
CONVOLUTIONS: Final = "206,922 weights of convolutions"


def counted(
    rank: int, barrier: Any, name: str, widths: tuple[int, ...]
) -> tuple[float, float, int]:
    """Bytes and seconds of a step, and the bytes that were predicted; no widths: convolutions."""
    import torch

    torch.manual_seed(0)
    module = perceptron(widths) if widths else convolutions()
    shape = (widths[0],) if widths else (1, 28, 28)
    called, optimizer = contestant(name, module)
    draw = torch.Generator().manual_seed(rank)

    def step() -> None:
        x = torch.randn(16, *shape, generator=draw)
        optimizer.zero_grad()
        called(x).square().mean().backward()
        optimizer.step()

    for _ in range(WARM):
        step()
    time.sleep(QUIET_S)
    barrier.wait()
    before = sent_nbytes()
    barrier.wait()
    start_s = time.perf_counter()
    for _ in range(STEPS):
        step()
    seconds = time.perf_counter() - start_s
    time.sleep(QUIET_S)
    barrier.wait()
    nbytes = sent_nbytes() - before
    barrier.wait()
    return nbytes / STEPS, seconds / STEPS, getattr(optimizer, "wire_nbytes", 0)


def told(of: str, ranks: int, widths: tuple[int, ...]) -> dict[str, tuple[float, float, int]]:
    """What each contestant sends, as `counted` gives it; printed, too."""
    found = {n: run_ranks(counted, ranks, n, widths)[0] for n in (FP32, FP16, POWER, OURS)}
    print(f"\n{of}\n       bytes     saved  ms a step")
    for name, (nbytes, seconds, _) in found.items():
        saved = 100 * (1 - nbytes / found[FP32][0])
        print(f"{nbytes:12,.0f} {saved:8.3f} % {seconds * 1e3:9.1f}  {name}")
    return found


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    pin(cores=2)
    in_a_namespace()
    used = versions(["deepseek-core", "torch", "numpy"])
    print_head("Bytes of a training step on the loopback interface, all ranks together", used)
    report = Report(versions=used)
    for model, (widths, bar) in MODELS.items():
        for ranks in RANKS:
            of = f"{model}, {ranks} ranks"
            found = told(of, ranks, widths)
            nbytes, _, predicted = found[OURS]
            report.at_least(f"bytes saved, {of}", 100 * (1 - nbytes / found[FP32][0]), bar, "%")
            report.at_most(
                f"predicted from counted bytes, {of}", 100 * abs(predicted / nbytes - 1), 2.0, "%"
            )
    of = f"{CONVOLUTIONS}, 2 ranks"
    found = told(of, 2, ())
    report.at_most(f"bytes, of those of PowerSGD, {of}", found[OURS][0] / found[POWER][0], 1 / 3)
    return report.finish(args.json)


if __name__ == "__main__":
    sys.exit(main())
