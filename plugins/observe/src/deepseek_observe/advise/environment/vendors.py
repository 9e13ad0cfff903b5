"""What providers publish for their own networks, which is no mistake there.

A provider is known by variables that only its own network plugin reads. What it asks for is left
alone there, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs


@attrs.frozen(kw_only=True)
class Vendor:
    """`asks` maps variables to the values that are asked for, lower case; () is any value."""

    name: str
    source: str
    known_by: tuple[str, ...]
    asks: Mapping[str, tuple[str, ...]]


VENDORS: Final = (
    Vendor(
        name="AWS EFA",
        source="AWS, Get started with EFA and NCCL; aws-ofi-nccl",
        known_by=("FI_PROVIDER=efa", "FI_EFA_"),
        asks={
            "NCCL_PROTO": ("simple",),
            "NCCL_BUFFSIZE": ("8388608",),
            "NCCL_P2P_NET_CHUNKSIZE": ("524288",),
        },
    ),
    Vendor(
        name="Google GPUDirect-TCPX",
        source="Google Cloud, Maximize GPU network bandwidth: GPUDirect-TCPX",
        known_by=("NCCL_GPUDIRECTTCPX_",),
        asks={
            "NCCL_ALGO": ("ring",),
            "NCCL_PROTO": ("simple",),
            "NCCL_MAX_NCHANNELS": ("8", "12"),
            "NCCL_MIN_NCHANNELS": ("8", "12"),
            "NCCL_P2P_NET_CHUNKSIZE": ("524288",),
            "NCCL_BUFFSIZE": ("4194304", "8388608"),
            "NCCL_NET_GDR_LEVEL": ("pix",),
            "NCCL_P2P_PXN_LEVEL": ("0",),
        },
    ),
    Vendor(
        name="Google GPUDirect-TCPXO",
        source="Google Cloud, Maximize GPU network bandwidth: GPUDirect-TCPXO",
        known_by=("NCCL_FASTRAK_",),
        asks={
            "NCCL_ALGO": ("ring,tree",),
            "NCCL_PROTO": ("simple", "simple,ll128"),
            "NCCL_MIN_NCHANNELS": ("4",),
            "NCCL_P2P_NET_CHUNKSIZE": ("524288",),
            "NCCL_BUFFSIZE": ("8388608",),
            "NCCL_NET_GDR_LEVEL": ("pix",),
            "NCCL_NVLS_ENABLE": ("0",),
        },
    ),
    Vendor(
        name="HPE Slingshot",
        source="CSCS and Isambard, NCCL over Slingshot with aws-ofi-nccl",
        known_by=("FI_CXI_",),
        asks={
            "NCCL_NET_GDR_LEVEL": ("phb", "3"),
            "NCCL_PROTO": ("^ll128",),
            "NCCL_MIN_NCHANNELS": ("4",),
        },
    ),
)


def asked_by(environment: Mapping[str, str], name: str) -> Vendor | None:
    """The provider that asks for a variable as it is set, if its network is used here."""
    value = environment[name].strip().lower().replace(" ", "")
    for vendor in VENDORS:
        wanted = vendor.asks.get(name)
        if wanted is not None and (not wanted or value in wanted) and is_used(vendor, environment):
            return vendor
    return None


def is_used(vendor: Vendor, environment: Mapping[str, str]) -> bool:
    """Whether a variable of its network plugin is set."""
    for sign in vendor.known_by:
        name, equals, value = sign.partition("=")
        if equals:
            if environment.get(name, "").lower() == value:
                return True
        elif any(given.startswith(name) for given in environment):
            return True
    return False
