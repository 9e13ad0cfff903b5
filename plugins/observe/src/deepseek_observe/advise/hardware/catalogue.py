"""Devices and processors, by their makers' data sheets. Nothing here was measured.

Rates are of dense products, in operations a second; links in bytes a second and direction. The
names are those of `ds-sdk train plan` where it knows the device.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs

from deepseek_core import training

GIB: Final = 2**30
_DGX: Final = "systems of eight with an adapter for each GPU"


@attrs.frozen(kw_only=True)
class Device:
    """An accelerator and the system that it mostly comes in.

    `between` is one adapter of the network; `watts` the board's most; `host` the processor that
    systems of it were built with; `since` the year.
    """

    name: str
    told: str
    flops_per_s: Mapping[str, float]
    memory_nbytes: float
    memory_bytes_per_s: float
    inside_bytes_per_s: float
    between_bytes_per_s: float
    watts: float
    since: int
    host: str
    source: str
    per_node: int = 8
    pcie_bytes_per_s: float = 32e9

    def group(self, nodes: int) -> training.Group:
        """So many systems of it, as a cluster has them."""
        return training.Group(
            name=self.name,
            nodes=nodes,
            gpus_per_node=self.per_node,
            flops_per_s=dict(self.flops_per_s),
            memory_nbytes=self.memory_nbytes,
            memory_bytes_per_s=self.memory_bytes_per_s,
            inside=training.Link(bytes_per_s=self.inside_bytes_per_s, latency_s=5e-6),
            between=training.Link(bytes_per_s=self.between_bytes_per_s, latency_s=10e-6),
        )

    @property
    def half_precision(self) -> str:
        """`bf16`, or `fp16` where the device has no bf16."""
        return "bf16" if "bf16" in self.flops_per_s else "fp16"

    @property
    def peak(self) -> float:
        """Operations a second in half precision."""
        return self.flops_per_s[self.half_precision]


@attrs.frozen(kw_only=True)
class Processor:
    """A socket of a host: `pair_lanes` are the PCIe lanes of two together at most."""

    name: str
    told: str
    cores: int
    memory_bytes_per_s: float
    pair_lanes: int
    watts: float
    source: str


DEVICES: Final = {
    device.name: device
    for device in (
        Device(
            name="v100-32g", told="NVIDIA V100 SXM2 32 GB", since=2018, host="xeon-8168",
            flops_per_s={"fp16": 125e12, "fp32": 15.7e12}, memory_nbytes=32 * GIB,
            memory_bytes_per_s=0.9e12, inside_bytes_per_s=150e9, between_bytes_per_s=6.25e9,
            watts=300, pcie_bytes_per_s=16e9, source=f"NVIDIA V100 data sheet; DGX-1, {_DGX} pair",
        ),
        Device(
            name="a100-40g", told="NVIDIA A100 SXM4 40 GB", since=2020, host="epyc-7742",
            flops_per_s={"bf16": 312e12, "fp16": 312e12, "fp32": 19.5e12},
            memory_nbytes=40 * GIB, memory_bytes_per_s=1.555e12, inside_bytes_per_s=300e9,
            between_bytes_per_s=25e9, watts=400, source=f"NVIDIA A100 data sheet; DGX A100, {_DGX}",
        ),
        Device(
            name="a100-80g", told="NVIDIA A100 SXM4 80 GB", since=2020, host="epyc-7763",
            flops_per_s={"bf16": 312e12, "fp16": 312e12, "fp32": 19.5e12},
            memory_nbytes=80 * GIB, memory_bytes_per_s=2.039e12, inside_bytes_per_s=300e9,
            between_bytes_per_s=25e9, watts=400, source=f"NVIDIA A100 data sheet; HGX A100, {_DGX}",
        ),
        Device(
            name="h100-80g", told="NVIDIA H100 SXM5 80 GB", since=2022, host="xeon-8480",
            flops_per_s={"bf16": 989e12, "fp16": 989e12, "fp32": 67e12, "fp8": 1979e12},
            memory_nbytes=80 * GIB, memory_bytes_per_s=3.35e12, inside_bytes_per_s=450e9,
            between_bytes_per_s=50e9, watts=700, pcie_bytes_per_s=64e9,
            source=f"NVIDIA H100 data sheet; DGX H100, {_DGX}",
        ),
        Device(
            name="h200-141g", told="NVIDIA H200 SXM 141 GB", since=2024, host="xeon-8480",
            flops_per_s={"bf16": 989e12, "fp16": 989e12, "fp32": 67e12, "fp8": 1979e12},
            memory_nbytes=140 * GIB, memory_bytes_per_s=4.8e12, inside_bytes_per_s=450e9,
            between_bytes_per_s=50e9, watts=700, pcie_bytes_per_s=64e9,
            source=f"NVIDIA H200 data sheet; DGX H200, {_DGX}",
        ),
        Device(
            name="b200-180g", told="NVIDIA B200 180 GB", since=2025, host="xeon-8570",
            flops_per_s={"bf16": 2250e12, "fp16": 2250e12, "fp32": 75e12, "fp8": 4500e12},
            memory_nbytes=179 * GIB, memory_bytes_per_s=8.0e12, inside_bytes_per_s=900e9,
            between_bytes_per_s=50e9, watts=1000, pcie_bytes_per_s=64e9,
            source=f"NVIDIA DGX B200 data sheet, {_DGX}",
        ),
        Device(
            name="mi300x-192g", told="AMD Instinct MI300X 192 GB", since=2023, host="epyc-9654",
            flops_per_s={"bf16": 1307e12, "fp16": 1307e12, "fp32": 163.4e12, "fp8": 2615e12},
            memory_nbytes=192 * GIB, memory_bytes_per_s=5.3e12, inside_bytes_per_s=448e9,
            between_bytes_per_s=50e9, watts=750, pcie_bytes_per_s=64e9,
            source=f"AMD Instinct MI300X data sheet and platform, {_DGX}",
        ),
        Device(
            name="l40s-48g", told="NVIDIA L40S 48 GB (PCIe)", since=2023, host="epyc-9654",
            flops_per_s={"bf16": 362e12, "fp16": 362e12, "fp32": 91.6e12, "fp8": 733e12},
            memory_nbytes=48 * GIB, memory_bytes_per_s=0.864e12, inside_bytes_per_s=32e9,
            between_bytes_per_s=12.5e9, watts=350,
            source="NVIDIA L40S data sheet; no NVLink; the network is assumed, 100 Gbit/s a GPU",
        ),
    )
}  # fmt: skip

PROCESSORS: Final = {
    processor.name: processor
    for processor in (
        Processor(
            name="epyc-7763", told="AMD EPYC 7763", cores=64, memory_bytes_per_s=204.8e9,
            pair_lanes=160,  watts=280, source="AMD EPYC 7003 data sheet",
        ),
        Processor(
            name="epyc-7742", told="AMD EPYC 7742", cores=64, memory_bytes_per_s=204.8e9,
            pair_lanes=160,  watts=225, source="AMD EPYC 7002 data sheet",
        ),
        Processor(
            name="epyc-9654", told="AMD EPYC 9654", cores=96, memory_bytes_per_s=460.8e9,
            pair_lanes=160,  watts=360, source="AMD EPYC 9004 data sheet",
        ),
        Processor(
            name="xeon-8168", told="Intel Xeon Platinum 8168", cores=24,
            memory_bytes_per_s=128e9, pair_lanes=96,  watts=205,
            source="Intel ARK",
        ),
        Processor(
            name="xeon-8480", told="Intel Xeon Platinum 8480+", cores=56,
            memory_bytes_per_s=307.2e9, pair_lanes=160,  watts=350,
            source="Intel ARK",
        ),
        Processor(
            name="xeon-8570", told="Intel Xeon Platinum 8570", cores=56,
            memory_bytes_per_s=358.4e9, pair_lanes=160,  watts=350,
            source="Intel ARK",
        ),
    )
}  # fmt: skip
