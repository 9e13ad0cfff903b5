"""The small training with which the conformance kit holds strategies to one process."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from itertools import pairwise
from typing import Any, Final

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional

from deepseek_core.testing import TrainingCase
from deepseek_parallel.strategies.profiling import profile

_BATCH: Final = 16
_RATE: Final = 0.2
_LIMIT: Final = timedelta(seconds=60)


def case() -> TrainingCase:
    """A classifier of five layers, trained by plain gradient descent."""
    torch.set_num_threads(1)
    model = _model()
    profiled = profile(model, _loss, _batch(0, 0, 2), batch=_BATCH)
    return TrainingCase(
        profile=profiled.profile,
        model=model,
        start=_start,
        batch=_batch,
        loss=_loss,
        update=_update,
        plain=_plain,
    )


def _model() -> nn.Sequential:
    torch.manual_seed(0)
    sizes = (12, 32, 24, 32, 8)
    layers: list[nn.Module] = []
    for wide, next_wide in pairwise(sizes):
        layers += [nn.Linear(wide, next_wide), nn.Tanh()]
    return nn.Sequential(*layers[:-1])


def _start() -> None:
    dist.init_process_group("gloo", timeout=_LIMIT)


def _batch(step: int, begin: int, end: int) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(step)
    x = torch.randn(_BATCH, 12, generator=draw)
    return x[begin:end], x.argmax(1).remainder(8)[begin:end]


def _loss(model: Any, batch: Any) -> Tensor:
    x, label = batch
    return functional.cross_entropy(model(x), label)


def _update(named: Iterable[tuple[str, Any]]) -> None:
    with torch.no_grad():
        for _, parameter in named:
            parameter.sub_(parameter.grad, alpha=_RATE)
            parameter.grad = None


def _plain(steps: int) -> Sequence[float]:
    model, found = _model(), []
    for step in range(steps):
        value = _loss(model, _batch(step, 0, _BATCH))
        value.backward()
        _update(model.named_parameters())
        found.append(float(value.detach()))
    return found
