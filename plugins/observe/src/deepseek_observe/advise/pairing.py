"""Which adapter and which processors each GPU's process takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import attrs

from deepseek_observe.advise.advice import Advice, Kind
from deepseek_observe.advise.topology.record import Gpu, Nic, Topology, cpu_list, rank

_SOURCE: Final = "NCCL user guide, NCCL_NET_GDR_LEVEL and NCCL_IB_HCA; numactl(8)"
_FAR: Final = ("NODE", "SYS")


@attrs.frozen(kw_only=True)
class Pair:
    """A GPU, its adapter at a `distance`, and where its process runs; None where not told."""

    gpu: Gpu
    nic: Nic | None
    distance: str | None
    numa: int | None


def pairs(topology: Topology) -> tuple[Pair, ...]:
    """An adapter for each GPU: of the nearest, one that fewest GPUs have yet.

    GPUs with the least choice choose first, so that one that has several leaves it to them.
    """
    load = {nic.name: 0 for nic in topology.nics}
    order = {nic.name: place for place, nic in enumerate(topology.nics)}
    taken: dict[int, Nic] = {}
    for gpu in sorted(topology.gpus, key=lambda gpu: (len(topology.near(gpu)), gpu.index)):
        near = topology.near(gpu)
        if near:
            taken[gpu.index] = min(near, key=lambda nic: (load[nic.name], order[nic.name]))
            load[taken[gpu.index].name] += 1
    return tuple(_pair(topology, gpu, taken.get(gpu.index)) for gpu in topology.gpus)


def _pair(topology: Topology, gpu: Gpu, nic: Nic | None) -> Pair:
    distance = None if nic is None else topology.distance(gpu.name, nic.name)
    return Pair(gpu=gpu, nic=nic, distance=distance, numa=gpu.numa)


def commands(found: Sequence[Pair]) -> tuple[str, ...]:
    """One line for each GPU that starts its process beside it."""
    return tuple(_command(pair) for pair in found)


def _command(pair: Pair) -> str:
    visible = "HIP_VISIBLE_DEVICES" if pair.gpu.vendor == "amd" else "CUDA_VISIBLE_DEVICES"
    words = [f"{visible}={pair.gpu.index}"]
    if pair.numa is not None:
        words.append(f"numactl --cpunodebind={pair.numa} --membind={pair.numa}")
    elif pair.gpu.cpus:
        words.append(f"taskset -c {cpu_list(pair.gpu.cpus)}")
    return " ".join([*words, "python train.py", f" # {_told(pair)}"])


def advise_pairing(topology: Topology) -> list[Advice]:
    """The pairs as advice, and a warning where GPUs have no adapter near them."""
    if not topology.gpus:
        return []
    found = pairs(topology)
    told = [
        Advice(
            rule="gpu-binding",
            kind=Kind.PAIRING,
            what=f"bind each process beside its GPU: {len(found)} GPUs, "
            f"{len(topology.nics)} adapters",
            why="a process on the GPU's own NUMA node, and the adapter on its own PCIe switch, "
            "keep copies and RDMA off the link between sockets",
            source=_SOURCE,
            paste=commands(found),
        )
    ]
    far = [pair for pair in found if pair.distance in _FAR]
    near = [pair for pair in found if pair.distance is not None and rank(pair.distance) < 4]
    if far and not near:
        told.append(
            Advice(
                rule="nics-far",
                kind=Kind.FACT,
                what=f"no adapter is nearer than {far[0].distance} to any GPU",
                why="the pairs only share the adapters out; on Grace, and in virtual machines, "
                "the matrix does not show what NCCL finds in NCCL_TOPO_DUMP_FILE",
                source=_SOURCE,
            )
        )
    if far and near:
        names = ", ".join(pair.gpu.name for pair in far)
        told.append(
            Advice(
                rule="nic-far",
                kind=Kind.FACT,
                what=f"{names}: no adapter on this side; the nearest is {far[0].distance} away",
                why="what they send crosses host bridges or sockets, and GPUDirect RDMA is not "
                "used over that by default; place ranks that talk to other machines on the others",
                source=_SOURCE,
            )
        )
    return told


def _told(pair: Pair) -> str:
    nic = "no adapter told" if pair.nic is None else f"{_named(pair.nic)} ({pair.distance})"
    where = "" if pair.numa is None else f", NUMA {pair.numa}"
    return f"{pair.gpu.name} -> {nic}{where}"


def _named(nic: Nic) -> str:
    if nic.device not in (None, nic.name):
        return f"{nic.name} {nic.device}"
    return nic.name if nic.device or not nic.bus else f"{nic.name} {nic.bus}"
