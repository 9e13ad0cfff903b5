"""hwloc's XML, `<topology>`: lstopo --of xml, versions 2.x and 3.0."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final
from xml.etree.ElementTree import Element

import attrs

from deepseek_core import errors
from deepseek_observe.advise.topology.record import Gpu, Nic, Node, Topology, mask_cpus
from deepseek_observe.advise.topology.tree import Leaf, bus_order, distances

_DEEPEST: Final = 128
_IO: Final = ("Bridge", "PCIDev", "OSDev", "Misc")
_KIND: Final = re.compile(r"([0-9a-f]{4}) \[([0-9a-f]{4}):([0-9a-f]{4})\]")
_GPU_VENDORS: Final = {"10de": "nvidia", "1002": "amd"}
_EFA: Final = "1d0f"
_CONSOLES: Final = ("515e", "5159", "4752")  # ATI's chips of servers' consoles
_REMEDY: Final = "write it again: lstopo --of xml topo.xml"


@attrs.frozen(kw_only=True)
class _Place:
    element: Element
    bridges: tuple[str, ...] = ()
    host: str | None = None
    nodeset: str | None = None
    cpuset: str | None = None
    depth: int = 0


def of_tree(root: Element, source: str) -> Topology:
    """Read `<topology>`.

    Raises:
        ArtifactError: an older version, or a value that can't be.
    """
    version = root.get("version", "1.x")
    if not re.fullmatch(r"[23]\.\d+", version):
        raise errors.ArtifactError(
            f"{source} is of hwloc {version}, and 2.x and 3.x are read", remedy=_REMEDY
        )
    try:
        places = list(_walk(root))
        nodes = [_node(one.element) for one in places if one.element.get("type") == "NUMANode"]
        devices = [one for one in places if one.element.get("type") == "PCIDev"]
        devices.sort(key=lambda one: bus_order(one.element.get("pci_busid", "")))
        gpus, nics = _gpus(devices), _nics(devices)
    except ValueError as error:
        raise errors.ArtifactError(
            f"{source}: a value can't be: {error}", remedy=_REMEDY
        ) from error
    placed: list[tuple[Gpu | Nic, _Place]] = [*gpus, *nics]
    if not nodes and not devices:
        raise errors.ArtifactError(f"{source} has neither a NUMA node nor a device", remedy=_REMEDY)
    return Topology(
        source=source,
        form=f"hwloc XML {version}",
        nodes=sorted(nodes, key=lambda node: node.index),
        gpus=[gpu for gpu, _ in gpus],
        nics=[nic for nic, _ in nics],
        switches=sorted({bridge for one in devices for bridge in one.bridges}),
        distances=distances(
            [
                Leaf(name=one.name, bridges=place.bridges, host=place.host, numa=one.numa)
                for one, place in placed
            ],
            ports=True,
        ),
        processor=_processor(places),
        sockets=sum(one.element.get("type") == "Package" for one in places) or None,
        complete=True,
        notes=() if devices else ("it has no PCI devices: run lstopo --whole-io as root",),
    )  # fmt: skip


def _walk(root: Element) -> Iterator[_Place]:
    waiting = [_Place(element=child) for child in root if child.tag == "object"]
    while waiting:
        place = waiting.pop()
        yield place
        if place.depth > _DEEPEST:
            raise ValueError(f"more than {_DEEPEST} objects in one another")
        below = _below(place)
        waiting.extend(
            attrs.evolve(below, element=child, depth=place.depth + 1)
            for child in reversed(place.element) if child.tag == "object"
        )  # fmt: skip


def _below(place: _Place) -> _Place:
    element = place.element
    kind = element.get("type")
    if kind == "Bridge":
        if element.get("bridge_type", "").startswith("0"):  # from the host to PCI
            return attrs.evolve(place, host=element.get("bridge_pci", "?"))
        # A root port belongs to the host bridge: only what follows it is a switch.
        return attrs.evolve(place, bridges=(*place.bridges, element.get("pci_busid", "")))
    if kind in _IO:
        return place
    return attrs.evolve(
        place,
        nodeset=element.get("nodeset") or place.nodeset,
        cpuset=element.get("cpuset") or place.cpuset,
    )


def _node(element: Element) -> Node:
    memory = element.get("local_memory", "")
    return Node(
        index=int(element.get("os_index", "0")),
        cpus=mask_cpus(element.get("cpuset", "0")),
        memory_nbytes=int(memory) if memory.isdecimal() else None,
    )


def _gpus(devices: list[_Place]) -> list[tuple[Gpu, _Place]]:
    found: list[tuple[Gpu, _Place]] = []
    for one in devices:
        kind, vendor, device = _kind(one.element)
        if kind[:2] not in ("03", "12") or vendor not in _GPU_VENDORS or device in _CONSOLES:
            continue
        gpu = Gpu(
            index=len(found),
            bus=one.element.get("pci_busid"),
            numa=_numa(one),
            cpus=mask_cpus(one.cpuset or "0"),
            vendor=_GPU_VENDORS[vendor],
            pcie_bytes_per_s=_link(one.element),
        )
        found.append((gpu, one))
    return found


def _nics(devices: list[_Place]) -> list[tuple[Nic, _Place]]:
    found: list[tuple[Nic, _Place]] = []
    for one in devices:
        kind, vendor, _ = _kind(one.element)
        if kind not in ("0200", "0207", "0c06"):
            continue
        names = [child.get("name", "") for child in one.element if child.get("type") == "OSDev"]
        verbs = [name for name in names if "_" in name or name.startswith(("mlx", "rocep", "ibp"))]
        name = next(iter([*verbs, *names]), None) or f"NIC{len(found)}"
        nic = Nic(
            name=name,
            bus=one.element.get("pci_busid"),
            numa=_numa(one),
            rdma=True if kind != "0200" or verbs or vendor == _EFA else None,
            device=name if names else None,
            vendor="aws" if vendor == _EFA else None,
        )
        found.append((nic, one))
    return found


def _kind(element: Element) -> tuple[str, str, str]:
    found = _KIND.match(element.get("pci_type", "").lower())
    return (found[1], found[2], found[3]) if found else ("", "", "")


def _link(element: Element) -> float | None:
    try:
        gigabytes = float(element.get("pci_link_speed", "0"))
    except ValueError:
        return None
    return gigabytes * 1e9 if 0 < gigabytes < 1e4 else None


def _numa(one: _Place) -> int | None:
    nodes = mask_cpus(one.nodeset or "0")
    return nodes[0] if len(nodes) == 1 else None


def _processor(places: list[_Place]) -> str | None:
    for one in places:
        for info in one.element:
            if info.tag == "info" and info.get("name") == "CPUModel":
                return info.get("value")
    return None
