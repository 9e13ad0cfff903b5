"""Rules on what is for debugging, is gone, or hides the fast network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from deepseek_observe.advise.advice import Kind
from deepseek_observe.advise.environment.rule import Case, Hit, Rule
from deepseek_observe.advise.environment.variables import (
    DEBUGGING,
    DEFAULTS,
    GONE,
    GUIDE,
    TUNING,
)
from deepseek_observe.advise.environment.vendors import VENDORS, asked_by, is_used

_WHY: Final = {
    "NCCL_P2P_DISABLE": "GPUs then exchange through host memory instead of NVLink or PCIe",
    "NCCL_P2P_LEVEL": "it bounds how far apart GPUs may be that reach each other directly; "
    "NCCL chooses by the machine",
    "NCCL_SHM_DISABLE": "ranks of a machine then talk through the network",
    "NCCL_IB_DISABLE": "traffic between machines then goes over TCP, and GPUDirect RDMA is off",
    "NCCL_ALGO": "NCCL chooses the algorithm by size and topology; a forced one is slower at "
    "other sizes, and since 2.24 fails where it can't be used",
    "NCCL_PROTO": "NCCL chooses the protocol by size; a forced one is slower at other sizes",
    "NCCL_BUFFSIZE": "buffers are sized for the platform; larger ones take memory of each peer",
    "NCCL_NTHREADS": "it is set by the architecture of the GPU",
    "NCCL_NET_GDR_LEVEL": "it bounds where adapters read GPU memory directly; NCCL chooses by "
    "the topology, and a level that is too near sends all through host memory",
    "NCCL_NET_GDR_READ": "NCCL chooses by the platform",
    "NCCL_NVLS_ENABLE": "NVLink SHARP speeds all-reduce within a machine of Hopper GPUs or later",
    "NCCL_PXN_DISABLE": "GPUs can't use adapters of others over NVLink then",
    "NCCL_DMABUF_ENABLE": "GPUDirect RDMA may be lost with it",
    "NCCL_CUMEM_ENABLE": "buffer registration, NVLS and multi-node NVLink need it",
    "NCCL_MAX_CTAS": "fewer blocks leave bandwidth unused; more take it from computing",
    "NCCL_IB_PCI_RELAXED_ORDERING": "0 slows GPUDirect RDMA in virtual machines",
}
_LOUD: Final = ("all", "coll", "call", "p2p")


def _is_for_debugging(case: Case) -> Iterator[Hit]:
    for name in DEBUGGING:
        value = case.env.get(name, "").strip()
        if not value or name in GONE or _is_default(name, value):
            continue
        if name in TUNING and value != "0":
            continue
        if asked_by(case.env, name) is not None:
            continue
        yield Hit(
            variable=name,
            what=f"{name}={value} is for debugging",
            why=_WHY.get(name, "the guide says not to keep it in production or in scripts: "
                         "suboptimal behavior, crashes or hangs"),
            paste=(f"unset {name}",),
        )  # fmt: skip


def _is_default(name: str, value: str) -> bool:
    if name == "NCCL_NVLS_ENABLE" and value == "1":  # as 2, says the guide
        return True
    return value.lower() == DEFAULTS.get(name, "\0").lower()


def _can_corrupt(case: Case) -> Iterator[Hit]:
    value = case.low("NCCL_PROTO").replace(" ", "")
    forced = not value.startswith("^") and "ll128" in value.split(",")
    if forced and asked_by(case.env, "NCCL_PROTO") is None:
        yield Hit(
            variable="NCCL_PROTO",
            what=f"NCCL_PROTO={case.env['NCCL_PROTO']} forces LL128 on",
            why="where the platform does not keep stores of 128 bytes whole, data is "
            "corrupted in silence",
            paste=("unset NCCL_PROTO",),
        )


def _is_gone(case: Case) -> Iterator[Hit]:
    for name, (since, instead) in GONE.items():
        if not case.env.get(name, "").strip() or asked_by(case.env, name) is not None:
            continue
        now = "" if instead is None else f"; {instead} is there now, for experiments"
        yield Hit(
            variable=name,
            what=f"{name} was {since}",
            why=f"it does nothing, or soon will not{now}",
            paste=(f"unset {name}",),
        )


def _fixes_gid(case: Case) -> Iterator[Hit]:
    value = case.low("NCCL_IB_GID_INDEX")
    if value and value != "-1":
        yield Hit(
            variable="NCCL_IB_GID_INDEX",
            what=f"NCCL_IB_GID_INDEX={value} fixes the address of each port",
            why="since 2.21 NCCL finds it on each machine, by NCCL_IB_ADDR_FAMILY and "
            "NCCL_IB_ROCE_VERSION_NUM; indices differ from machine to machine and change with "
            "addresses. Keep it for older versions only",
            paste=("unset NCCL_IB_GID_INDEX",),
        )


def _hides_network(case: Case) -> Iterator[Hit]:
    if case.low("NCCL_NET") == "socket" and _has_fast(case):
        yield Hit(
            variable="NCCL_NET",
            what="NCCL_NET=Socket passes the fast network by",
            why="all between machines then goes over TCP",
            paste=("unset NCCL_NET",),
        )
    if case.low("NCCL_NET_PLUGIN") == "none":
        for vendor in VENDORS:
            if is_used(vendor, case.env):
                yield Hit(
                    variable="NCCL_NET_PLUGIN",
                    what=f"NCCL_NET_PLUGIN=none, and {vendor.name} needs its plugin",
                    why="without it NCCL knows TCP alone there",
                    paste=("unset NCCL_NET_PLUGIN",),
                    source=vendor.source,
                )
    aws = any(nic.vendor == "aws" for nic in (case.topology.nics if case.topology else ()))
    if aws and case.low("FI_PROVIDER") not in ("", "efa"):
        yield Hit(
            variable="FI_PROVIDER",
            what=f"FI_PROVIDER={case.env['FI_PROVIDER']} on a machine with EFA adapters",
            why="libfabric then leaves them out",
            paste=("export FI_PROVIDER=efa",),
        )


def _has_fast(case: Case) -> bool:
    nics = case.topology.nics if case.topology else ()
    return any(nic.rdma for nic in nics) or any(
        name.startswith(("mlx5_", "ibp", "rocep")) for name in case.devices
    ) or bool(case.env.get("NCCL_IB_HCA"))  # fmt: skip


def _logs_each_call(case: Case) -> Iterator[Hit]:
    level = case.low("NCCL_DEBUG")
    loud = {word.strip() for word in case.low("NCCL_DEBUG_SUBSYS").split(",")} & set(_LOUD)
    if level == "trace" or (level == "info" and loud):
        yield Hit(
            variable="NCCL_DEBUG",
            what=f"NCCL_DEBUG={case.env['NCCL_DEBUG']}"
            + (f" with NCCL_DEBUG_SUBSYS={case.env['NCCL_DEBUG_SUBSYS']}" if loud else "")
            + " writes a line for each call",
            why="it slows each collective, and fills disks",
            paste=("unset NCCL_DEBUG_SUBSYS", "export NCCL_DEBUG=WARN"),
        )


def _logs_over_others(case: Case) -> Iterator[Hit]:
    path = case.env.get("NCCL_DEBUG_FILE", "").strip()
    if path and "%p" not in path and not path.startswith("/dev/std"):
        yield Hit(
            variable="NCCL_DEBUG_FILE",
            what=f"NCCL_DEBUG_FILE={path} is one file for all processes",
            why="each process starts the file over, and lines are lost",
            paste=(f"export NCCL_DEBUG_FILE={path}.%h.%p",),
        )
    elif path.startswith("~"):
        yield Hit(
            variable="NCCL_DEBUG_FILE",
            what=f"NCCL_DEBUG_FILE={path}: `~` is not expanded",
            why="NCCL takes the path as it is",
            paste=(f"export NCCL_DEBUG_FILE=$HOME{path[1:]}",),
        )


RULES: Final = (
    Rule(name="proto-ll128", kind=Kind.WARNING, check=_can_corrupt,
         source=f"{GUIDE}, NCCL_PROTO"),
    Rule(name="network-hidden", kind=Kind.WARNING, check=_hides_network,
         source=f"{GUIDE}, NCCL_NET and NCCL_NET_PLUGIN"),
    Rule(name="debug-file-shared", kind=Kind.WARNING, check=_logs_over_others,
         source=f"{GUIDE}, NCCL_DEBUG_FILE"),
    Rule(name="debugging-variable", kind=Kind.UNSET, check=_is_for_debugging,
         source=f"{GUIDE}, Debugging"),
    Rule(name="gone-variable", kind=Kind.UNSET, check=_is_gone, source=GUIDE),
    Rule(name="gid-index", kind=Kind.UNSET, check=_fixes_gid,
         source=f"{GUIDE}, NCCL_IB_GID_INDEX, NCCL_IB_ADDR_FAMILY"),
    Rule(name="debug-each-call", kind=Kind.UNSET, check=_logs_each_call,
         source=f"{GUIDE}, NCCL_DEBUG and NCCL_DEBUG_SUBSYS"),
)  # fmt: skip
