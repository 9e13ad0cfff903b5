"""Rules on which interfaces and adapters are used."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from deepseek_observe.advise.advice import Kind
from deepseek_observe.advise.environment.names import Filter, filter_of
from deepseek_observe.advise.environment.rule import Case, Hit, Rule
from deepseek_observe.advise.environment.variables import GUIDE
from deepseek_observe.advise.pairing import pairs

_IFNAME: Final = "NCCL_SOCKET_IFNAME"
_GLOO: Final = ("GLOO_SOCKET_IFNAME", "TP_SOCKET_IFNAME")
_INSIDE: Final = ("docker", "veth", "virbr", "br-", "cni", "flannel", "cali", "podman")
_TORCH: Final = "PyTorch, torch.distributed, Common environment variables"
_LOOPBACKS: Final = ("localhost", "127.0.0.1", "::1", "[::1]", "0.0.0.0")  # noqa: S104
_FIRST: Final = 'export MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)'
_OWN: Final = ("mlx", "ibp", "rocep", "bnxt", "irdma")


def _given(case: Case) -> Filter | None:
    found = filter_of(case.env.get(_IFNAME, ""))
    return found if found.names else None


def _lets_loopback_in(case: Case) -> Iterator[Hit]:
    found = _given(case)
    if found is not None and found.excludes and found.takes("lo"):
        value = case.env[_IFNAME].strip()
        yield Hit(
            variable=_IFNAME,
            what=f"{_IFNAME}={value} lets the loopback interface in",
            why="a list of exclusions replaces the built-in one (`lo` and `docker`), and `lo` "
            "reaches no other machine: ranks wait for each other",
            paste=(f"export {_IFNAME}={value},lo",),
        )


def _is_loopback(case: Case) -> Iterator[Hit]:
    if case.many_machines is False:
        return
    found = _given(case)
    if found is not None and not found.excludes and all(name == "lo" for name in found.names):
        yield _loopback(_IFNAME)
    for name in _GLOO:
        if case.low(name) == "lo":
            yield _loopback(name)


def _loopback(name: str) -> Hit:
    return Hit(
        variable=name,
        what=f"{name}=lo reaches this machine alone",
        why="ranks on another machine can't connect to a loopback address",
        paste=(f"unset {name}",),
    )


def _is_inside(case: Case) -> Iterator[Hit]:
    for name in (_IFNAME, *_GLOO):
        found = filter_of(case.env.get(name, ""))
        inside = [one for one in found.names if one.startswith(_INSIDE)]
        if inside and not found.excludes:
            yield Hit(
                variable=name,
                what=f"{name} takes {', '.join(inside)}, a bridge inside this machine",
                why="its addresses are of containers, and other machines do not reach them",
                paste=(f"unset {name}",),
            )


def _is_absent(case: Case) -> Iterator[Hit]:
    for name in (_IFNAME, *_GLOO) if case.interfaces else ():
        found = filter_of(case.env.get(name, ""))
        if found.names and not found.excludes and not found.taken(case.interfaces or ()):
            yield Hit(
                variable=name,
                what=f"{name}={case.env[name]} names no interface of this machine",
                why=f"it has {', '.join(case.interfaces or ())}",
                paste=(f"unset {name}",),
            )


def _is_not_of_gloo(case: Case) -> Iterator[Hit]:
    for name in _GLOO:
        value = case.env.get(name, "").strip()
        if value[:1] in ("^", "="):
            yield Hit(
                variable=name,
                what=f"{name}={value} is written as NCCL reads it, and Gloo does not",
                why="Gloo takes whole names, separated by commas; it finds no interface "
                f"{value!r} and stops",
                paste=(_of_gloo(case, name),),
            )


def _of_gloo(case: Case, name: str) -> str:
    found = _given(case)
    if found is None or found.excludes or len(found.names) != 1:
        return f"unset {name}"
    return f"export {name}={found.names[0]}  # a whole name"


def _gloo_is_open(case: Case) -> Iterator[Hit]:
    found = _given(case)
    told = found is not None and not found.excludes and len(found.names) == 1
    if told and case.many_machines and not case.env.get(_GLOO[0]):
        yield Hit(
            variable=_GLOO[0],
            what=f"set {_GLOO[0]} to the interface that NCCL has",
            why="Gloo (groups on the CPU, checkpoints, object collectives) looks for its own: by "
            "the host's name, which is often on another network or the loopback",
            paste=(_of_gloo(case, _GLOO[0]),),
        )


def _master_is_here(case: Case) -> Iterator[Hit]:
    if case.many_machines and case.low("MASTER_ADDR") in _LOOPBACKS:
        yield Hit(
            variable="MASTER_ADDR",
            what=f"MASTER_ADDR={case.env['MASTER_ADDR']} on a run of several machines",
            why="each machine looks for rank 0 on itself, and the others wait until they give up",
            paste=(
                _FIRST
                if any(name.startswith("SLURM_") for name in case.env)
                else "export MASTER_ADDR=ADDRESS_OF_THE_MACHINE_OF_RANK_0",
            ),
        )


def _hca_is_absent(case: Case) -> Iterator[Hit]:
    for name in ("NCCL_IB_HCA", "UCX_NET_DEVICES"):
        found = filter_of(case.env.get(name, ""))
        names = [one for one in found.names if one.startswith(_OWN)]
        if not case.devices or not names or found.excludes:
            continue
        absent = [one for one in names if not any(has.startswith(one) for has in case.devices)]
        if absent:
            yield Hit(
                variable=name,
                what=f"{name} names {', '.join(absent)}, which this machine has not",
                why=f"its adapters are {', '.join(case.devices)}",
                paste=(f"unset {name}",),
            )


def _hca_takes_more(case: Case) -> Iterator[Hit]:
    found = filter_of(case.env.get("NCCL_IB_HCA", ""))
    if found.exact:
        return
    for one in found.names:
        more = [has for has in case.devices if has.startswith(one) and has != one]
        if one in case.devices and more and not set(more) <= set(found.names):
            sign = "^" if found.excludes else ""
            exact = f"export NCCL_IB_HCA={sign}={','.join(found.names)}"
            yield Hit(
                variable="NCCL_IB_HCA",
                what=f"NCCL_IB_HCA: {one} means {', '.join(more)} too",
                why="names are prefixes unless the list begins with `=`",
                paste=(exact,),
            )


def _hca_leaves_out(case: Case) -> Iterator[Hit]:
    found = filter_of(case.env.get("NCCL_IB_HCA", ""))
    if not found.names or not case.devices or case.topology is None:
        return
    taken = found.taken(case.devices)
    wanted = {
        str(pair.nic.device) for pair in pairs(case.topology)
        if pair.nic is not None and pair.nic.rdma is not False
        and pair.distance in ("PIX", "PXB", "PHB")
    }  # fmt: skip
    left = sorted(wanted - set(taken))
    if taken and left:
        yield Hit(
            variable="NCCL_IB_HCA",
            what=f"NCCL_IB_HCA leaves out {', '.join(left)}, the nearest of some GPUs",
            why=f"{len(wanted)} adapters are near GPUs, and {len(wanted) - len(left)} of them "
            "carry all that is sent",
            paste=("unset NCCL_IB_HCA",),
        )


RULES: Final = (
    Rule(
        name="ifname-lets-loopback-in", kind=Kind.WARNING, check=_lets_loopback_in,
        source=f"{GUIDE}, NCCL_SOCKET_IFNAME; NVIDIA/nccl issue 286, horovod pull request 700",
    ),
    Rule(name="ifname-loopback", kind=Kind.WARNING, check=_is_loopback,
         source=f"{GUIDE}, NCCL_SOCKET_IFNAME; NVIDIA/nccl issue 286"),
    Rule(name="ifname-inside", kind=Kind.WARNING, check=_is_inside,
         source=f"{GUIDE}, NCCL_SOCKET_IFNAME; horovod issue 310"),
    Rule(name="ifname-absent", kind=Kind.WARNING, check=_is_absent,
         source="the interfaces of this machine"),
    Rule(name="gloo-syntax", kind=Kind.WARNING, check=_is_not_of_gloo, source=_TORCH),
    Rule(name="gloo-interface", kind=Kind.SET, check=_gloo_is_open, source=_TORCH),
    Rule(name="master-loopback", kind=Kind.WARNING, check=_master_is_here, source=_TORCH),
    Rule(name="hca-absent", kind=Kind.WARNING, check=_hca_is_absent, source="the topology"),
    Rule(name="hca-prefix", kind=Kind.WARNING, check=_hca_takes_more,
         source=f"{GUIDE}, NCCL_IB_HCA"),
    Rule(name="hca-partial", kind=Kind.WARNING, check=_hca_leaves_out,
         source=f"the topology; {GUIDE}, NCCL_IB_HCA"),
)  # fmt: skip
