"""Which group of GPUs holds which stage of which replica."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import attrs

from deepseek_parallel.planning.cluster import Cluster, Link
from deepseek_parallel.planning.mesh import Mesh

ORDERS: Final = ("tp-dp-pp", "tp-pp-dp")
"""How ranks are counted, the fastest first: replicas of a stage side by side, or its stages."""


@attrs.frozen(kw_only=True)
class Grid:
    """`rows` are kinds of replica: the group of each stage, and how many replicas are so.

    `dp_inside` and `pp_inside` tell whether an all-reduce and a hop between stages stay in a node.
    """

    rows: tuple[tuple[tuple[int, ...], int], ...]
    dp_inside: bool
    pp_inside: bool

    @property
    def num_replicas(self) -> int:
        """Replicas of all kinds."""
        return sum(count for _, count in self.rows)

    def groups_of(self, stage: int) -> list[int]:
        """The groups that hold this stage, each once."""
        return sorted({groups[stage] for groups, _ in self.rows})


def grid(cluster: Cluster, mesh: Mesh, order: str) -> Grid:
    """Groups are filled one after the other, tensor-parallel ranks side by side."""
    near, far = (mesh.dp, mesh.pp) if order == "tp-dp-pp" else (mesh.pp, mesh.dp)
    nodes = [group.gpus_per_node for group in cluster.groups]
    near_inside = all(gpus % (near * mesh.tp) == 0 for gpus in nodes)
    far_inside = all(gpus % (near * far * mesh.tp) == 0 for gpus in nodes)
    dp_inside, pp_inside = (
        (near_inside, far_inside) if order == "tp-dp-pp" else (far_inside, near_inside)
    )
    return Grid(rows=_rows(cluster, mesh, order), dp_inside=dp_inside, pp_inside=pp_inside)


def slowest(cluster: Cluster, groups: list[int], *, inside: bool) -> Link:
    """What all of these groups can hold to."""
    links = [cluster.groups[i].inside if inside else cluster.groups[i].between for i in groups]
    return Link(
        bytes_per_s=min(link.bytes_per_s for link in links),
        latency_s=max(link.latency_s for link in links),
    )


def _rows(cluster: Cluster, mesh: Mesh, order: str) -> tuple[tuple[tuple[int, ...], int], ...]:
    if len(cluster.groups) == 1:
        return (((0,) * mesh.pp, mesh.dp),)
    slots = [
        number
        for number, group in enumerate(cluster.groups)
        for _ in range(group.num_gpus // mesh.tp)
    ]
    counts: dict[tuple[int, ...], int] = {}
    for row in _replicas(slots, mesh, order):
        counts[row] = counts.get(row, 0) + 1
    return tuple(counts.items())


def _replicas(slots: list[int], mesh: Mesh, order: str) -> Iterator[tuple[int, ...]]:
    for replica in range(mesh.dp):
        if order == "tp-dp-pp":
            yield tuple(slots[replica :: mesh.dp])
        else:
            yield tuple(slots[replica * mesh.pp : (replica + 1) * mesh.pp])
