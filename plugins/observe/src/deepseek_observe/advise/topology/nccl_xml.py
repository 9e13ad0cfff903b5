"""NCCL's and RCCL's XML, `<system>`: dumped by NCCL_TOPO_DUMP_FILE, or shipped by a provider."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from xml.etree.ElementTree import Element

import attrs

from deepseek_core import errors
from deepseek_observe.advise.topology.record import Gpu, Link, Nic, Node, Topology, mask_cpus
from deepseek_observe.advise.topology.tree import Leaf, bus_order, distances, pcie_bytes_per_s

_DEEPEST: Final = 64
_MOST_DEVICES: Final = 1024
_VENDORS: Final = {"0x10de": "nvidia", "0x1002": "amd"}
_NVIDIA: Final = ("0x0302", "0x0300")
_AMD: Final = ("0x0380", "0x1200")
_NETWORK: Final = ("0x0200", "0x0207", "0x0c06")
_BRIDGE: Final = "0x0604"
_EFA: Final = "0x1d0f"


@attrs.frozen(kw_only=True)
class _Found:
    element: Element
    bridges: tuple[str, ...]
    numa: int | None
    cpus: tuple[int, ...]

    def told(self, name: str) -> str:
        return self.element.get(name, "").lower()


def of_tree(root: Element, source: str) -> Topology:
    """Read `<system>`.

    Raises:
        ArtifactError: nothing of a machine is in it, or a value that can't be.
    """
    hosts = list(dict.fromkeys(cpu.get("host_hash") for cpu in root.iter("cpu")))
    notes = []
    if len(hosts) > 1:
        notes.append(f"it joins {len(hosts)} machines: the first alone is told")
    own = [cpu for cpu in root.iter("cpu") if cpu.get("host_hash") == hosts[0]] if hosts else []
    if not own:
        raise errors.ArtifactError(
            f"{source} is a <system> without a <cpu>: nothing is told of the machine",
            remedy="dump it again with NCCL_TOPO_DUMP_FILE=topo.xml",
        )
    try:
        nodes = [_node(cpu) for cpu in own]
        found = [one for cpu, node in zip(own, nodes, strict=True) for one in _walk(cpu, node)]
    except ValueError as error:
        raise errors.ArtifactError(
            f"{source}: a value can't be: {error}",
            remedy="dump it again with NCCL_TOPO_DUMP_FILE=topo.xml",
        ) from error
    gpus, nics = _gpus(found), _nics(found)
    bare = sum(one.element.tag == "pci" and not one.told("class") for one in found)
    if bare:
        notes.append(
            f"{bare} PCI devices have no class in it, and NCCL asks the machine what they are: "
            "dump the whole with NCCL_TOPO_DUMP_FILE there"
        )
    if len(gpus) + len(nics) > _MOST_DEVICES:
        raise errors.ArtifactError(
            f"{source} has {len(gpus) + len(nics)} devices, and no machine has",
            remedy="dump it again with NCCL_TOPO_DUMP_FILE=topo.xml",
        )
    placed: list[tuple[Gpu | Nic, _Found]] = [*gpus, *nics]
    leaves = [
        Leaf(name=one.name, bridges=place.bridges, host=f"cpu {place.numa}", numa=place.numa)
        for one, place in placed
    ]
    return Topology(
        source=source,
        form="RCCL XML" if any(gpu.vendor == "amd" for gpu, _ in gpus) else "NCCL XML",
        nodes=[node for node in nodes if node.index >= 0],
        gpus=[gpu for gpu, _ in gpus],
        nics=[nic for nic, _ in nics],
        switches=sorted({bridge for one in found for bridge in one.bridges}),
        links=_links(gpus),
        distances=distances(leaves, ports=False),
        processor=_processor(own[0]),
        notes=notes,
    )


def _node(cpu: Element) -> Node:
    return Node(index=int(cpu.get("numaid", "-1")), cpus=mask_cpus(cpu.get("affinity", "0")))


def _walk(cpu: Element, node: Node) -> Iterator[_Found]:
    numa = node.index if node.index >= 0 else None
    waiting: list[tuple[Element, tuple[str, ...]]] = [(child, ()) for child in reversed(cpu)]
    while waiting:
        element, bridges = waiting.pop()
        if len(bridges) > _DEEPEST:
            raise ValueError(f"more than {_DEEPEST} bridges in a row")
        yield _Found(element=element, bridges=bridges, numa=numa, cpus=node.cpus)
        below = bridges
        if element.get("class", "").lower().startswith(_BRIDGE):
            below = (*bridges, element.get("busid", ""))
        if element.tag == "pci":
            waiting.extend((child, below) for child in reversed(element) if child.tag == "pci")


def _gpus(found: list[_Found]) -> list[tuple[Gpu, _Found]]:
    places = [one for one in found if one.element.tag == "pci" and _vendor(one) is not None]
    places.sort(key=lambda one: bus_order(one.told("busid")))
    # GPUs that ranks ran on have their index; a provider's file has none, and bus ids decide.
    told = [_index(one) for one in places]
    whole = None not in told and len(set(told)) == len(told)
    made = [
        (
            Gpu(
                index=int(index or 0) if whole else place,
                bus=one.told("busid"),
                numa=one.numa,
                cpus=one.cpus,
                vendor=_vendor(one) or "nvidia",
                architecture=_architecture(one.element),
                pcie_bytes_per_s=pcie_bytes_per_s(
                    one.element.get("link_speed", ""), one.element.get("link_width", "")
                ),
            ),
            one,
        )
        for place, (one, index) in enumerate(zip(places, told, strict=True))
    ]
    return sorted(made, key=lambda pair: pair[0].index)


def _vendor(one: _Found) -> str | None:
    kind = one.told("class")
    known = _VENDORS.get(one.told("vendor"))
    if kind.startswith(_NVIDIA):
        return known or "nvidia"
    if kind.startswith(_AMD):
        return known or "amd"
    return None


def _index(one: _Found) -> int | None:
    gpu = one.element.find("gpu")
    dev = "" if gpu is None else gpu.get("dev", "")
    return int(dev) if dev.isdecimal() and len(dev) < 6 else None


def _architecture(element: Element) -> str | None:
    gpu = element.find("gpu")
    if gpu is None:
        return None
    return gpu.get("gcn") or (f"sm{gpu.get('sm')}" if gpu.get("sm") else None)


def _nics(found: list[_Found]) -> list[tuple[Nic, _Found]]:
    # An adapter is a PCI device of a class of networks, or a <nic> that has no PCI address.
    places = [
        one
        for one in found
        if (one.element.tag == "pci" and one.told("class").startswith(_NETWORK))
        or one.element.tag == "nic"
    ]
    places.sort(key=lambda one: bus_order(one.told("busid")))
    made: list[tuple[Nic, _Found]] = []
    for one in places:
        nets = list(one.element.iter("net")) or [Element("net")]
        for net in nets:
            gdr = net.get("gdr")
            rdma = True if gdr == "1" or one.told("class").startswith(_NETWORK[1:]) else None
            if one.told("vendor") == _EFA:
                rdma = True
            if gdr == "0" and net.get("guid", "0x0") == "0x0":
                rdma = False
            nic = Nic(
                name=net.get("name") or f"NIC{len(made)}",
                bus=one.told("busid") or None,
                numa=one.numa,
                bits_per_s=_speed(net.get("speed", "")),
                rdma=rdma,
                device=net.get("name"),
                vendor="aws" if one.told("vendor") == _EFA else None,
            )
            if all(nic.name != other.name for other, _ in made):
                made.append((nic, one))
    return made


def _speed(megabits: str) -> float | None:
    return int(megabits) * 1e6 if megabits.isdecimal() and 0 < int(megabits) < 10**8 else None


def _links(gpus: list[tuple[Gpu, _Found]]) -> list[Link]:
    names = {gpu.bus: gpu.name for gpu, _ in gpus}
    lanes: dict[tuple[str, str, str], int] = {}
    for gpu, one in gpus:
        for tag, kind in (("nvlink", "NV"), ("xgmi", "XGMI"), ("c2c", "C2C")):
            for link in one.element.iter(tag):
                target = link.get("target", "").lower()
                count = link.get("count", "1")
                # NCCL writes a switch as many links to strange addresses, and some VMs as itself.
                other = names.get(target, "switch")
                key = (gpu.name, "switch" if other == gpu.name else other, kind)
                lanes[key] = lanes.get(key, 0) + (int(count) if count.isdecimal() else 1)
    return [
        Link(ends=(one, other), kind=kind, count=count)
        for (one, other, kind), count in lanes.items()
        if other == "switch" or (one < other or (other, one, kind) not in lanes)
    ]


def _processor(cpu: Element) -> str | None:
    vendor = cpu.get("vendor")
    if vendor is None:
        return None
    return f"{vendor} family {cpu.get('familyid', '?')} model {cpu.get('modelid', '?')}"
