"""One machine out of several files about it."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from deepseek_observe.advise.topology.record import Topology


def joined(topologies: Sequence[Topology]) -> Topology | None:
    """The first that has GPUs, with processors and speeds from those that have no GPUs.

    Two files with GPUs may be of two machines, so nothing goes from one to the other.
    """
    if not topologies:
        return None
    base = next((one for one in topologies if one.gpus), topologies[0])
    for other in topologies:
        if other is base or other.gpus:
            continue
        if other.complete and not base.complete:
            base = attrs.evolve(base, nodes=other.nodes, complete=True)
        base = attrs.evolve(
            base,
            nics=base.nics or other.nics,
            processor=base.processor or other.processor,
            sockets=base.sockets or other.sockets,
        )
    return base
