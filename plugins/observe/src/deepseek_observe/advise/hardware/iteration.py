"""Time of a training step on a cluster, by a model of the machine: nothing is measured.

Data parallel with sharded states where they do not fit whole: products at a share of the peak, the
gradients' reduction within a node and then between nodes, and a range, for what of the exchange is
hidden behind computing depends on the program. How to divide a model with tensor and pipeline
parallelism is what `ds-sdk train plan` searches.
"""

from __future__ import annotations

from typing import Final

import attrs

from deepseek_core import errors, training
from deepseek_observe.advise.collectives.model import Model
from deepseek_observe.advise.hardware.model import Shape

EFFICIENCY: Final = 0.5
"""Share of the peak: 0.42 to 0.56 for 22B to 1T on A100 (arXiv 2205.05198, table 5)."""

USABLE: Final = 0.92
"""Share of the memory to plan for: the rest is the driver's, the libraries' and fragments."""

_ELEMENT: Final = 2


@attrs.frozen(kw_only=True)
class Iteration:
    """A step: seconds of computing and of exchanging, each on its own.

    `least_s` is with the exchange hidden as far as it can be, `most_s` with none of it hidden.
    `sharded`: states are divided over the ranks; else each rank has them all. A GPU needs
    `needed_nbytes` with a sequence at once, and the smallest has `usable_nbytes`.
    """

    compute_s: float
    exchange_s: float
    optimizer_s: float
    sharded: bool
    needed_nbytes: float
    usable_nbytes: float
    tokens: float
    evidence: str

    @property
    def least_s(self) -> float:
        """All of the exchange that can be is beside the computing."""
        return max(self.compute_s, self.exchange_s) + self.optimizer_s

    @property
    def most_s(self) -> float:
        """One after the other."""
        return self.compute_s + self.exchange_s + self.optimizer_s

    @property
    def fits(self) -> bool:
        """Whether the memory is enough."""
        return self.needed_nbytes <= self.usable_nbytes

    @property
    def bound(self) -> str:
        """`computing` or `exchange`, whichever takes longer."""
        return "computing" if self.compute_s >= self.exchange_s else "exchange"


def iterate(
    cluster: training.Cluster,
    shape: Shape,
    tokens: float,
    *,
    recompute: str = "selective",
    measured: Model | None = None,
) -> Iteration:
    """A step of `tokens` on all ranks together; `measured` is an all-reduce of all of them.

    Raises:
        InputError: fewer tokens than ranks.
    """
    if tokens < cluster.world:
        raise errors.InputError(
            f"{tokens:g} tokens for {cluster.world} GPUs", remedy="give --tokens-per-step 4e6"
        )
    peak = sum(group.num_gpus * group.speed * group.peak(_dtype(group)) for group in cluster.groups)
    memory = min(group.memory_nbytes for group in cluster.groups) * USABLE
    per_node = min(group.gpus_per_node for group in cluster.groups)
    whole = shape.needed_nbytes(1, 1, recompute)
    sharded = cluster.world > 1 and whole > memory
    shards = cluster.world if sharded else 1
    need = shape.needed_nbytes(cluster.world, per_node, recompute) if sharded else whole
    # Sharded: weights are gathered twice and gradients reduced once; else one all-reduce.
    passes = 1.5 if sharded else 1.0
    reduced = _ELEMENT * shape.parameters
    exchange = measured.seconds(reduced) if measured else all_reduce_s(cluster, reduced)
    slowest = min(group.memory_bytes_per_s for group in cluster.groups)
    return Iteration(
        compute_s=shape.flops(tokens, recompute) / (peak * EFFICIENCY),
        exchange_s=exchange * passes,
        optimizer_s=1.5 * shape.states_nbytes(shards) / slowest,
        sharded=sharded,
        needed_nbytes=need,
        usable_nbytes=memory,
        tokens=tokens,
        evidence="model" if measured is None else "model, with the measured all-reduce",
    )


def _dtype(group: training.Group) -> str:
    return next((dtype for dtype in ("bf16", "fp16", "fp32") if dtype in group.flops_per_s), "bf16")


def all_reduce_s(cluster: training.Cluster, nbytes: float) -> float:
    """Reduce-scatter in each node, all-reduce between nodes, all-gather in each node."""
    if cluster.world < 2:
        return 0.0
    nodes = sum(group.nodes for group in cluster.groups)
    within = 0.0
    between = 0.0
    for group in cluster.groups:
        g = group.gpus_per_node
        if g > 1:
            link = group.inside
            within = max(
                within, 2 * (nbytes * (g - 1) / g / link.bytes_per_s + (g - 1) * link.latency_s)
            )
        if nodes > 1:
            link = group.between
            share = nbytes / g
            between = max(
                between,
                2 * (share * (nodes - 1) / nodes / link.bytes_per_s + (nodes - 1) * link.latency_s),
            )
    return within + between
