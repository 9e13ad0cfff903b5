"""One record of a machine: processors, GPUs, network adapters, and how far apart they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import attrs

from deepseek_core import errors

DISTANCES: Final = ("PIX", "PXB", "PHB", "NODE", "SYS")
"""From near to far, in the words of `nvidia-smi topo -m`; `NV#` and `XGMI` are nearer than all."""


def rank(distance: str) -> int:
    """Order of a distance: 0 for a direct link, then as in `DISTANCES`."""
    return DISTANCES.index(distance) + 1 if distance in DISTANCES else 0


def _row(values: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(values)


@attrs.frozen(kw_only=True)
class Node:
    """A NUMA node and its `cpus`, as indices; `memory_nbytes` where the file says it."""

    index: int
    cpus: tuple[int, ...] = attrs.field(default=(), converter=_row)
    memory_nbytes: int | None = None


@attrs.frozen(kw_only=True)
class Gpu:
    """A GPU: `index` is that of the driver (order of bus ids) where the file gives none."""

    index: int
    bus: str | None = None
    numa: int | None = None
    cpus: tuple[int, ...] = attrs.field(default=(), converter=_row)
    vendor: str = "nvidia"
    architecture: str | None = None
    pcie_bytes_per_s: float | None = None

    @property
    def name(self) -> str:
        """`GPU0`."""
        return f"GPU{self.index}"


@attrs.frozen(kw_only=True)
class Nic:
    """A network adapter; `rdma` is None where the file does not say."""

    name: str
    bus: str | None = None
    numa: int | None = None
    bits_per_s: float | None = None
    rdma: bool | None = None
    device: str | None = None
    vendor: str | None = None


@attrs.frozen(kw_only=True)
class Link:
    """A direct link of two GPUs, or of one and a switch: `count` lanes of NV, XGMI or C2C."""

    ends: tuple[str, str]
    kind: str
    count: int = 1


@attrs.frozen(kw_only=True)
class Topology:
    """A machine as one file told it.

    `distances` holds what lies between two devices by both names, in either order once. What a file
    does not say is empty or None; `notes` say what of it could not be used. `complete`: its nodes
    are all of the machine, with all their processors.
    """

    source: str
    form: str
    nodes: tuple[Node, ...] = attrs.field(default=(), converter=_row)
    gpus: tuple[Gpu, ...] = attrs.field(default=(), converter=_row)
    nics: tuple[Nic, ...] = attrs.field(default=(), converter=_row)
    switches: tuple[str, ...] = attrs.field(default=(), converter=_row)
    links: tuple[Link, ...] = attrs.field(default=(), converter=_row)
    distances: Mapping[tuple[str, str], str] = attrs.field(factory=dict)
    processor: str | None = None
    sockets: int | None = None
    complete: bool = False
    notes: tuple[str, ...] = attrs.field(default=(), converter=_row)

    def distance(self, one: str, other: str) -> str | None:
        """What lies between two devices; None where the file does not say.

        Raises:
            InputError: no such device.
        """
        for name in (one, other):
            if name not in self.names:
                raise errors.InputError(
                    f"{self.source} has no device {name!r}",
                    remedy=f"it has {', '.join(sorted(self.names)) or 'none'}",
                )
        found = self.distances.get((one, other))
        return self.distances.get((other, one)) if found is None else found

    @property
    def names(self) -> frozenset[str]:
        """Names of all GPUs and adapters."""
        return frozenset([gpu.name for gpu in self.gpus] + [nic.name for nic in self.nics])

    @property
    def fabric(self) -> tuple[Nic, ...]:
        """Adapters that GPUs send through: those known to do RDMA, else all."""
        return tuple(nic for nic in self.nics if nic.rdma) or self.nics

    def near(self, gpu: Gpu) -> tuple[Nic, ...]:
        """The fabric's adapters that are nearest to a GPU, all equally near, in their order."""
        known = [(nic, self.distance(gpu.name, nic.name)) for nic in self.fabric]
        told = [(nic, rank(far)) for nic, far in known if far is not None]
        least = min((far for _, far in told), default=0)
        return tuple(nic for nic, far in told if far == least)

    @property
    def cpus(self) -> int | None:
        """All logical processors; None where the file names none, or those near GPUs alone."""
        if not self.complete:
            return None
        seen = {cpu for node in self.nodes for cpu in node.cpus}
        return len(seen) or None

    def lanes(self, kind: str = "NV") -> int:
        """The most direct lanes of a kind that a GPU has to one other GPU, or to switches."""
        return max((link.count for link in self.links if link.kind == kind), default=0)


def mask_cpus(mask: str) -> tuple[int, ...]:
    """`00ff,ffff0000` or `0x00ff` -> the indices of the bits that are set.

    Raises:
        ValueError: it is not a mask.
    """
    groups = [part.strip().lower().removeprefix("0x") for part in mask.split(",")]
    value = int("".join(part.rjust(8, "0") if place else part for place, part in enumerate(groups))
                or "0", 16)  # fmt: skip
    if value.bit_length() > 65_536:
        raise ValueError(f"a mask of {value.bit_length()} bits")
    return tuple(bit for bit in range(value.bit_length()) if value >> bit & 1)


def list_cpus(text: str) -> tuple[int, ...]:
    """`0-3,8` -> (0, 1, 2, 3, 8).

    Raises:
        ValueError: it is not such a list.
    """
    found: list[int] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        first, _, last = part.partition("-")
        begin, end = int(first), int(last or first)
        if not 0 <= begin <= end < 65_536:
            raise ValueError(f"{part!r} is not a range of processors")
        found.extend(range(begin, end + 1))
    return tuple(found)


def cpu_list(cpus: Iterable[int]) -> str:
    """(0, 1, 2, 8) -> `0-2,8`."""
    runs: list[list[int]] = []
    for cpu in sorted(set(cpus)):
        if runs and cpu == runs[-1][1] + 1:
            runs[-1][1] = cpu
        else:
            runs.append([cpu, cpu])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)
