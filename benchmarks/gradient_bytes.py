"""Bytes of a training step on the wire: compressed gradients beside DDP's all-reduce and its hooks.

The transmit counter of a loopback interface that nobody else uses is read before and after 20
steps, so headers of gloo and TCP, acknowledgements and all else that a step sends are in it.
Contestants: DDP in float32, DDP with torch's hook for fp16 and with PowerSGD of rank 1, and
`CompressedSGD` at 1 %. Two models: one linear layer of a million weights, a perceptron of 203,530.

    python benchmarks/gradient_bytes.py [--json FILE]
"""

from __future__ import annotations

import argparse
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

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
FP32, FP16, POWER, OURS = "DDP, float32", "DDP, fp16 hook", "DDP, PowerSGD rank 1", "CompressedSGD"


def perceptron(widths: tuple[int, ...]) -> Any:
    """Linear layers of these widths with ReLU between, without the last layer's bias."""
    import torch

    torch.manual_seed(0)
    pairs = list(pairwise(widths))
    layers: list[Any] = []
    for given, made in pairs:
        layers += [torch.nn.Linear(given, made, bias=len(pairs) > 1), torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


def contestant(name: str, module: Any, lr: float = 0.01) -> tuple[Any, Any]:
    """What is called with a batch, and the optimizer."""
    import torch
    from torch.distributed.algorithms.ddp_comm_hooks import default_hooks
    from torch.distributed.algorithms.ddp_comm_hooks import powerSGD_hook as power
    from torch.nn.parallel import DistributedDataParallel

    from deepseek_parallel import CompressedSGD

    if name == OURS:
        return module, CompressedSGD(module.parameters(), lr=lr)
    wrapped = DistributedDataParallel(module)
    if name == FP16:
        wrapped.register_comm_hook(None, default_hooks.fp16_compress_hook)
    elif name == POWER:
        state = power.PowerSGDState(None, matrix_approximation_rank=1, start_powerSGD_iter=2)
        wrapped.register_comm_hook(state, power.powerSGD_hook)
    return wrapped, torch.optim.SGD(module.parameters(), lr=lr, momentum=0.9)


def counted(
    rank: int, barrier: Any, name: str, widths: tuple[int, ...]
) -> tuple[float, float, int]:
    """Bytes and seconds of a step, and the bytes that were predicted."""
    import torch

    module = perceptron(widths)
    called, optimizer = contestant(name, module)
    draw = torch.Generator().manual_seed(rank)

    def step() -> None:
        x = torch.randn(16, widths[0], generator=draw)
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
            found = {n: run_ranks(counted, ranks, n, widths)[0] for n in (FP32, FP16, POWER, OURS)}
            print(f"\n{model}, {ranks} ranks\n       bytes     saved  ms a step")
            for name, (nbytes, seconds, _) in found.items():
                saved = 100 * (1 - nbytes / found[FP32][0])
                print(f"{nbytes:12,.0f} {saved:8.3f} % {seconds * 1e3:9.1f}  {name}")
            nbytes, _, predicted = found[OURS]
            of = f"{model}, {ranks} ranks"
            report.at_least(f"bytes saved, {of}", 100 * (1 - nbytes / found[FP32][0]), bar, "%")
            report.at_most(
                f"predicted from counted bytes, {of}", 100 * abs(predicted / nbytes - 1), 2.0, "%"
            )
    return report.finish(args.json)


if __name__ == "__main__":
    sys.exit(main())
