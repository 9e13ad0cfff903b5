"""GPUs in nodes, and the links between them; groups may differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs

from deepseek_core import errors
from deepseek_parallel.planning import checks

_MOST_GPUS: Final = 65_536


@attrs.frozen(kw_only=True)
class Link:
    """What one GPU sends at once: `bytes_per_s` in one direction, and `latency_s` of a message."""

    bytes_per_s: float
    latency_s: float

    def __attrs_post_init__(self) -> None:
        checks.above_zero(self.bytes_per_s, "a link's bytes_per_s")
        checks.not_below_zero(self.latency_s, "a link's latency_s")


@attrs.frozen(kw_only=True)
class Group:
    """`nodes` equal nodes of equal GPUs.

    `flops_per_s` is the peak of dense matrix products by dtype. `inside` links the GPUs of a node;
    `between` is one GPU's share of the network between nodes. `speed` is what was measured as a
    share of what these figures promise: 0.8 for a GPU that takes 1.25 times as long.

    Raises:
        InputError: a figure that can't be.
    """

    name: str
    nodes: int
    gpus_per_node: int
    flops_per_s: Mapping[str, float]
    memory_nbytes: float
    memory_bytes_per_s: float
    inside: Link
    between: Link
    speed: float = 1.0

    def __attrs_post_init__(self) -> None:
        of = f"of the group {self.name!r}"
        for name in ("nodes", "gpus_per_node"):
            checks.counted(getattr(self, name), f"{name} {of}")
        for name in ("memory_nbytes", "memory_bytes_per_s", "speed"):
            checks.above_zero(getattr(self, name), f"{name} {of}")
        for dtype, rate in self.flops_per_s.items():
            checks.above_zero(rate, f"flops_per_s.{dtype} {of}")

    @property
    def num_gpus(self) -> int:
        """All its GPUs."""
        return self.nodes * self.gpus_per_node

    def peak(self, dtype: str) -> float:
        """Operations in a second at most.

        Raises:
            InputError: the group says nothing of this dtype.
        """
        if dtype not in self.flops_per_s:
            known = ", ".join(self.flops_per_s) or "none"
            raise errors.InputError(
                f"the group {self.name!r} gives no flops_per_s for {dtype}",
                remedy=f"use a dtype that it has ({known}), or add its figure to the cluster",
            )
        return self.flops_per_s[dtype]


@attrs.frozen(kw_only=True)
class Cluster:
    """Groups in the order in which ranks are counted."""

    groups: tuple[Group, ...]

    def __attrs_post_init__(self) -> None:
        if not self.groups:
            raise errors.InputError("the cluster has no group", remedy="add a [[group]]")
        checks.counted(self.world, "the cluster's number of GPUs", _MOST_GPUS)

    @property
    def world(self) -> int:
        """All GPUs."""
        return sum(group.num_gpus for group in self.groups)


GIB: Final = 2**30

GPUS: Final = {
    "a100-80g": Group(
        name="a100-80g",
        nodes=1,
        gpus_per_node=8,
        flops_per_s={"bf16": 312e12, "fp16": 312e12, "fp32": 19.5e12},
        memory_nbytes=80 * GIB,
        memory_bytes_per_s=2.039e12,
        inside=Link(bytes_per_s=300e9, latency_s=5e-6),
        between=Link(bytes_per_s=25e9, latency_s=10e-6),
    ),
    "h100-80g": Group(
        name="h100-80g",
        nodes=1,
        gpus_per_node=8,
        flops_per_s={"bf16": 989e12, "fp16": 989e12, "fp32": 67e12},
        memory_nbytes=80 * GIB,
        memory_bytes_per_s=3.35e12,
        inside=Link(bytes_per_s=450e9, latency_s=5e-6),
        between=Link(bytes_per_s=50e9, latency_s=10e-6),
    ),
    "v100-32g": Group(
        name="v100-32g",
        nodes=1,
        gpus_per_node=8,
        flops_per_s={"fp16": 125e12, "fp32": 15.7e12},
        memory_nbytes=32 * GIB,
        memory_bytes_per_s=0.9e12,
        inside=Link(bytes_per_s=150e9, latency_s=5e-6),
        between=Link(bytes_per_s=6.25e9, latency_s=10e-6),
    ),
}
"""NVIDIA's data sheets of the SXM boards (dense rates), in nodes as DGX: eight network ports of 200
Gbit/s (A100) or 400 (H100), four of 100 (V100). Latencies are assumed."""
