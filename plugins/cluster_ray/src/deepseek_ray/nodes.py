"""The nodes of a cluster as Ray lists them."""

from __future__ import annotations

from collections import Counter
from typing import Final

import attrs

from deepseek_core import errors

_PREFIX: Final = "ds:"


@attrs.frozen(kw_only=True)
class Node:
    """One node: its name here, Ray's id, its cores, the kinds of devices that it reserves.

    `cpus` are those that Ray may give to jobs, 0 on a head that is to have none.
    """

    name: str
    id: str
    cores: int = 1
    cpus: int = 0
    kinds: frozenset[str] = frozenset()
    is_home: bool = False

    def resource(self, kind: str) -> str | None:
        """The custom resource that a device of this kind takes one of; None: nothing is counted.

        An operator gives a node `ds:gpu=2` so that no more than two jobs use its GPUs.
        """
        return f"{_PREFIX}{kind}" if kind in self.kinds else None


def alive_nodes() -> tuple[Node, ...]:
    """The nodes that are up, by name; names that several have get a piece of their ids.

    Raises:
        DeviceUnavailable: none is.
    """
    import ray

    home = ray.get_runtime_context().get_node_id()
    rows = [row for row in ray.nodes() if row["Alive"]]
    if not rows:
        raise errors.DeviceUnavailable(
            "the Ray cluster has no node that is up", device_id="ray", remedy="ray status"
        )
    names = Counter(str(row["NodeName"]) for row in rows)
    found = []
    for row in rows:
        name, resources = str(row["NodeName"]), row["Resources"]
        found.append(
            Node(
                name=name if names[name] == 1 else f"{name}-{row['NodeID'][:6]}",
                id=row["NodeID"],
                cores=max(1, int(resources.get("CPU", 1))),
                cpus=int(resources.get("CPU", 0)),
                kinds=frozenset(
                    r.removeprefix(_PREFIX) for r in resources if r.startswith(_PREFIX)
                ),
                is_home=row["NodeID"] == home,
            )
        )
    return tuple(sorted(found, key=lambda node: node.name))
