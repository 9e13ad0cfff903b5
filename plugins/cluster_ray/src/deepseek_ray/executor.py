"""A plan of any session on a cluster, with the devices that it has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from deepseek_core import Executor, Plan, places
from deepseek_ray.cluster import open_cluster


class RayExecutor(Executor):
    """Opens the devices of a plan in actors, on the node of this process.

    `Session(executor="ray")` does more: it plans over the devices of all nodes.
    """

    def __init__(self, plan: Plan, options: places.PlaceOptions | None = None) -> None:
        self._cluster = open_cluster(options or places.PlaceOptions())
        try:
            self._plan = plan.elsewhere(self._cluster)
        except BaseException:
            self._cluster.close()
            raise

    def stream(self, batches: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
        """Outputs of the batches in order, as the plan would give them."""
        yield from self._plan.stream(batches)

    def close(self) -> None:
        """End the actors, and leave the cluster."""
        self._plan.close()
        self._cluster.close()
