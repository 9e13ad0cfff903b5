"""The ranks of this run as a cluster: products, copies and messages, timed for a moment."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Final

import torch
import torch.distributed as dist

from deepseek_core import training
from deepseek_parallel.lost import rank_errors

_WIDTH: Final = 384
_NBYTES: Final = 4 * 2**20
_ROUNDS: Final = 5
_MEMORY_NBYTES: Final = 2.0**30
"""A rank's memory where the system does not tell it."""


def measured_cluster(device: str = "cpu") -> training.Cluster:
    """All ranks as one group, as fast as the slowest; equal on all of them, in about 0.1 s.

    `device` is what the ranks compute on and send from, as torch names it.

    Raises:
        RankLost: another rank does not answer.
    """
    ranks, local = dist.get_world_size(), int(os.environ.get("LOCAL_WORLD_SIZE", "0"))
    per_node = local if local and ranks % local == 0 else ranks
    with rank_errors("measuring the ranks"):
        mine = [_flop_s(device), _copied_byte_s(device), *_link(device), -_memory_nbytes(device)]
        figures = _slowest(mine, device)
    flop_s, copied_s, message_s, byte_s, memory = figures
    link = training.Link(bytes_per_s=1 / max(byte_s, 1e-12), latency_s=message_s)
    group = training.Group(
        name="ranks of this run",
        nodes=ranks // per_node,
        gpus_per_node=per_node,
        flops_per_s=dict.fromkeys(("fp32", "bf16", "fp16"), 1 / flop_s),
        memory_nbytes=-memory,
        memory_bytes_per_s=1 / copied_s,
        inside=link,
        between=link,
    )
    return training.Cluster(groups=(group,))


def _slowest(figures: list[float], device: str) -> list[float]:
    """The largest of each on any rank."""
    told = torch.tensor(figures, dtype=torch.float64, device=device)
    dist.all_reduce(told, dist.ReduceOp.MAX)
    return [float(figure) for figure in told.cpu()]


def _fastest_s(deed: Callable[[], object], device: str) -> float:
    """Seconds of a deed that was done before: the least of some, as others use the machine too."""
    deed()
    _finish(device)
    found = []
    for _ in range(_ROUNDS):
        begin_s = time.perf_counter()
        deed()
        _finish(device)
        found.append(time.perf_counter() - begin_s)
    return min(found)


def _finish(device: str) -> None:
    """Wait for what the device still does."""
    if device != "cpu":
        torch.get_device_module(device).synchronize()


def _flop_s(device: str) -> float:
    """Seconds of an operation in a product of matrices."""
    one = torch.ones(_WIDTH, _WIDTH, device=device)
    return _fastest_s(lambda: one @ one, device) / (2 * _WIDTH**3)


def _copied_byte_s(device: str) -> float:
    """Seconds of a byte that is read or written."""
    one = torch.ones(_NBYTES // 4, device=device)
    return _fastest_s(one.clone, device) / (2 * _NBYTES)


def _link(device: str) -> tuple[float, float]:
    """Seconds of a message, and of a byte, in an all-reduce of all ranks."""
    ranks = dist.get_world_size()
    if ranks == 1:
        return 0.0, 1e-12
    small = torch.ones(1, device=device)
    large = torch.ones(_NBYTES // 4, device=device)
    small_s = _fastest_s(lambda: dist.all_reduce(small), device)
    large_s = _fastest_s(lambda: dist.all_reduce(large), device)
    sent = 2 * (ranks - 1) / ranks * _NBYTES
    return small_s / (2 * (ranks - 1)), max(large_s - small_s, 0.0) / sent


def _memory_nbytes(device: str) -> float:
    """This rank's share of what is free now."""
    if device != "cpu":
        return float(torch.get_device_module(device).mem_get_info()[0])
    local = int(os.environ.get("LOCAL_WORLD_SIZE", dist.get_world_size()))
    try:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return _MEMORY_NBYTES
    return max(free / max(local, 1), 1.0)
