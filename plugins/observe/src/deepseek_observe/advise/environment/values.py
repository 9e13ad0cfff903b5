"""Rules on values that can't be meant, and on names that nothing reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from difflib import get_close_matches
from typing import Final

from deepseek_observe.advise.advice import Kind
from deepseek_observe.advise.environment.rule import Case, Hit, Rule
from deepseek_observe.advise.environment.variables import (
    DEBUGGING,
    ELSEWHERE,
    GONE,
    GUIDE,
    SOURCES_ONLY,
    SYSTEM,
    TORCH_RENAMED,
)

_OURS: Final = ("NCCL_", "RCCL_", "GLOO_", "UCX_", "TORCH_NCCL_", "CUDA_", "FI_", "OMP_", "MASTER_")
_KNOWN: Final = frozenset((*SYSTEM, *DEBUGGING, *SOURCES_ONLY, *ELSEWHERE, *GONE, *TORCH_RENAMED))
_GLOO: Final = ("GLOO_SOCKET_IFNAME", "GLOO_DEVICE_TRANSPORT")
_LEVELS: Final = ("loc", "nvl", "pix", "pxb", "pxn", "phb", "node", "sys", "c2c", "p2c")
_CLOSE: Final = 0.9


def _one_of(*words: str) -> tuple[str, Callable[[str], bool]]:
    return " or ".join(word.upper() for word in words), lambda value: value in words


def _within(least: int, most: int) -> tuple[str, Callable[[str], bool]]:
    return f"{least} to {most}", lambda value: value.isdecimal() and least <= int(value) <= most


def _level(value: str) -> bool:
    return value in _LEVELS or value.isdecimal()


_ALLOWED: Final = {
    "NCCL_DEBUG": _one_of("version", "warn", "info", "trace", "abort", "none", "error"),
    "NCCL_SOCKET_FAMILY": _one_of("af_inet", "af_inet6"),
    "NCCL_IB_ADDR_FAMILY": _one_of("af_inet", "af_inet6"),
    "NCCL_CROSS_NIC": _within(0, 2),
    "NCCL_IB_TIMEOUT": _within(1, 31),
    "NCCL_SOCKET_NTHREADS": _within(1, 16),
    "NCCL_NSOCKS_PERTHREAD": _within(1, 64),
    "NCCL_IB_QPS_PER_CONNECTION": _within(1, 128),
    "NCCL_NVLS_ENABLE": _within(0, 2),
    "NCCL_IB_PCI_RELAXED_ORDERING": _within(0, 2),
    "NCCL_P2P_LEVEL": (f"one of {', '.join(_LEVELS).upper()}", _level),
    "NCCL_NET_GDR_LEVEL": (f"one of {', '.join(_LEVELS).upper()}", _level),
    "NCCL_COLLNET_ENABLE": _within(0, 1),
    "GLOO_DEVICE_TRANSPORT": _one_of("tcp", "tcp_tls", "uv", "ibverbs"),
}


def _is_out_of_range(case: Case) -> Iterator[Hit]:
    for name, (told, allows) in _ALLOWED.items():
        value = case.low(name)
        if value and "$" not in value and not allows(value):
            infinite = name == "NCCL_IB_TIMEOUT" and value.isdecimal()
            yield Hit(
                variable=name,
                what=f"{name}={case.env[name].strip()} is not {told}",
                why="it waits without end" if infinite else "it is not read as meant",
                paste=(f"unset {name}",),
            )
    threads, sockets = (
        case.low(f"NCCL_{name}") for name in ("SOCKET_NTHREADS", "NSOCKS_PERTHREAD")
    )
    if threads.isdecimal() and sockets.isdecimal() and int(threads) * int(sockets) > 64:
        yield Hit(
            variable="NCCL_NSOCKS_PERTHREAD",
            what=f"NCCL_SOCKET_NTHREADS x NCCL_NSOCKS_PERTHREAD is "
            f"{int(threads) * int(sockets)}, and 64 is the most",
            why="NCCL cuts it down, or fails",
            paste=("export NCCL_SOCKET_NTHREADS=4", "export NCCL_NSOCKS_PERTHREAD=4"),
        )


def _is_mistyped(case: Case) -> Iterator[Hit]:
    for name in case.env:
        known = _KNOWN if name.startswith("NCCL_") else _GLOO if name.startswith("GLOO_") else ()
        if not known or name in known:
            continue
        close = get_close_matches(name, known, n=1, cutoff=_CLOSE)
        # A longer name with a known one in it is mostly a plugin's own.
        if close and not name.startswith(f"{close[0]}_"):
            yield Hit(
                variable=name,
                what=f"{name}: nothing reads it; {close[0]} is meant?",
                why="a variable with a wrong name is ignored in silence",
                paste=(f"unset {name}", f"export {close[0]}={case.env[name]}"),
            )


def _has_stray_marks(case: Case) -> Iterator[Hit]:
    for name, value in case.env.items():
        if not name.startswith(_OURS) or not value.strip() or "$" in value:
            continue
        bare = value.strip().strip("'\"`").strip()
        if (value != value.strip() or value.strip()[0] in "'\"`") and bare:
            yield Hit(
                variable=name,
                what=f"{name} has quotes or spaces in its value: {value!r}",
                why="docker's --env-file, Kubernetes and nccl.conf keep them, and no name matches",
                paste=(f"export {name}={bare}",),
            )


def _is_given_twice(case: Case) -> Iterator[Hit]:
    for name, values in case.twice.items():
        if name.startswith(_OURS):
            yield Hit(
                variable=name,
                what=f"{name} is set {len(values)} times: {', '.join(values)}",
                why="the last one wins; the others look as if they held",
            )


def _names_no_file(case: Case) -> Iterator[Hit]:
    for name in sorted(case.absent):
        yield Hit(
            variable=name,
            what=f"{name}={case.env.get(name, '')} is not there",
            why="NCCL goes on without it: in a virtual machine, with a topology that is wrong",
            paste=(f"unset {name}",),
        )


RULES: Final = (
    Rule(name="file-absent", kind=Kind.WARNING, check=_names_no_file,
         source=f"{GUIDE}, NCCL_TOPO_FILE"),
    Rule(name="value-out-of-range", kind=Kind.WARNING, check=_is_out_of_range, source=GUIDE),
    Rule(name="name-mistyped", kind=Kind.WARNING, check=_is_mistyped,
         source="names in the NCCL user guide and in NCCL's sources"),
    Rule(name="value-quoted", kind=Kind.WARNING, check=_has_stray_marks,
         source="docker run --env-file; NCCL user guide, NCCL_CONF_FILE"),
    Rule(name="set-twice", kind=Kind.WARNING, check=_is_given_twice, source="the file itself"),
)  # fmt: skip
