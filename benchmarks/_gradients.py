"""Networks, and ways to exchange their gradients, that several benchmarks compare."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

FP32, FP16, POWER, OURS = "DDP, float32", "DDP, fp16 hook", "DDP, PowerSGD rank 1", "CompressedSGD"


def convolutions() -> Any:
    """Of 206,922 weights; pictures are float32 [B, 1, 28, 28]."""
    from torch import nn

    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(1568, 128), nn.ReLU(), nn.Linear(128, 10),
    )  # fmt: skip


def perceptron(widths: tuple[int, ...]) -> Any:
    """Linear layers of these widths with ReLU between, without the last layer's bias."""
    import torch

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
