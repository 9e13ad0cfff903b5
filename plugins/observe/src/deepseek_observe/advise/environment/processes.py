"""Rules on CUDA, ROCm, PyTorch and threads, and what to set for a machine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from deepseek_observe.advise.advice import Kind
from deepseek_observe.advise.environment.rule import Case, Hit, Rule
from deepseek_observe.advise.environment.variables import GUIDE, TORCH_RENAMED

_CUDA: Final = "CUDA C++ Programming Guide, CUDA Environment Variables"
_TORCH: Final = "PyTorch, ProcessGroupNCCL Environment Variables"
_VISIBLE: Final = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")
_SWITCHES: Final = (
    ("CUDA_LAUNCH_BLOCKING", "waits for each kernel before the next is launched", _CUDA),
    ("AMD_SERIALIZE_KERNEL", "waits for each kernel before the next is launched",
     "HIP, Environment variables"),
    ("PYTORCH_NO_CUDA_MEMORY_CACHING", "asks the driver for each tensor's memory",
     "PyTorch, CUDA Environment Variables"),
    ("TORCH_NCCL_BLOCKING_WAIT", "blocks the host at each collective, so that nothing is launched "
     "ahead", _TORCH),
)  # fmt: skip
_FAST_BITS: Final = 100e9


def _slows(case: Case) -> Iterator[Hit]:
    for name, what, source in _SWITCHES:
        if case.is_on(name):
            yield Hit(
                variable=name, what=f"{name}={case.env[name]} {what}", source=source,
                why="it is for finding errors; computing and communication no longer overlap",
                paste=(f"unset {name}",),
            )  # fmt: skip
    if case.low("TORCH_DISTRIBUTED_DEBUG") == "detail":
        yield Hit(
            variable="TORCH_DISTRIBUTED_DEBUG",
            what="TORCH_DISTRIBUTED_DEBUG=DETAIL checks each collective on all ranks first",
            why="each collective then waits for another one, over Gloo",
            source="PyTorch, torch.distributed, Debugging",
            paste=("unset TORCH_DISTRIBUTED_DEBUG",),
        )
    if case.low("NVIDIA_TF32_OVERRIDE") == "0":
        yield Hit(
            variable="NVIDIA_TF32_OVERRIDE",
            what="NVIDIA_TF32_OVERRIDE=0 takes TF32 from all libraries",
            why="products in float32 are up to eight times slower on A100, whatever the program "
            "asks for",
            source="cuBLAS, Environment variables",
            paste=("unset NVIDIA_TF32_OVERRIDE",),
        )


def _is_renamed(case: Case) -> Iterator[Hit]:
    for old, new in TORCH_RENAMED.items():
        if old in case.env and new in case.env and case.low(old) != case.low(new):
            yield Hit(
                variable=old,
                what=f"{old}={case.env[old]} and {new}={case.env[new]}",
                why="they are the old and the new name of one setting",
                paste=(f"unset {old}",),
            )


def _hangs(case: Case) -> Iterator[Hit]:
    for name in ("TORCH_NCCL_ASYNC_ERROR_HANDLING", "NCCL_ASYNC_ERROR_HANDLING"):
        if case.low(name) == "0":
            yield Hit(
                variable=name,
                what=f"{name}=0: no rank learns that another one failed",
                why="collectives wait for a rank that is gone until the job's time is over",
                paste=(f"unset {name}",),
            )


def _sees(case: Case) -> Iterator[Hit]:
    gpus = len(case.topology.gpus) if case.topology else 0
    for name in _VISIBLE:
        if name not in case.env:
            continue
        words = [word.strip() for word in case.env[name].split(",")]
        numbers = [int(word) for word in words if word.isdecimal()]
        if len(set(numbers)) < len(numbers):
            yield _visible(case, name, "names a GPU twice", "the list ends before the second one")
        elif "-1" in words[:1] or words in ([""], ["NoDevFiles"]):
            if case.topology is not None and not gpus:
                continue  # there is none to hide
            yield _visible(case, name, "hides all GPUs", "the list ends at what is no GPU")
        elif gpus and (gone := [number for number in numbers if number >= gpus]):
            told = ", ".join(map(str, gone))
            yield _visible(case, name, f"names {told}, and there are {gpus} GPUs",
                           "the list ends there, and GPUs after it are hidden too")  # fmt: skip
    given = [name for name in _VISIBLE if case.env.get(name)]
    if len(given) > 1 and len({case.low(name) for name in given}) > 1:
        yield _visible(case, given[1], f"and {given[0]} choose different GPUs",
                       "the second chooses among those that the first has left")  # fmt: skip


def _visible(case: Case, name: str, what: str, why: str) -> Hit:
    return Hit(variable=name, what=f"{name}={case.env[name]} {what}", why=why,
               paste=(f"unset {name}",))  # fmt: skip


def _takes_more_threads(case: Case) -> Iterator[Hit]:
    threads = case.low("OMP_NUM_THREADS").split(",")[0]
    cpus = case.topology.cpus if case.topology else None
    ranks = case.ranks_here
    if threads.isdecimal() and cpus and ranks and int(threads) * ranks > cpus:
        most = max(1, cpus // ranks)
        yield Hit(
            variable="OMP_NUM_THREADS",
            what=f"OMP_NUM_THREADS={threads} for each of {ranks} ranks on {cpus} processors",
            why="threads wait for each other's processors, in each parallel loop",
            paste=(f"export OMP_NUM_THREADS={most}",),
        )
    pinned = case.env.get("GOMP_CPU_AFFINITY", "").strip()
    if pinned and ranks and ranks > 1:
        yield Hit(
            variable="GOMP_CPU_AFFINITY",
            what=f"GOMP_CPU_AFFINITY={pinned} binds all {ranks} ranks to the same processors",
            why="each process counts from the first of the list",
            paste=("unset GOMP_CPU_AFFINITY",),
        )


def _sockets_are_few(case: Case) -> Iterator[Hit]:
    nics = case.topology.nics if case.topology else ()
    plain = bool(nics) and all(nic.rdma is False for nic in nics)
    fast = any((nic.bits_per_s or 0) >= _FAST_BITS for nic in nics)
    if plain and fast and not case.env.get("NCCL_SOCKET_NTHREADS"):
        yield Hit(
            variable="NCCL_SOCKET_NTHREADS",
            what="set NCCL_SOCKET_NTHREADS and NCCL_NSOCKS_PERTHREAD to 4",
            why="one socket and thread do not fill 100 Gbit/s of plain Ethernet",
            paste=("export NCCL_SOCKET_NTHREADS=4", "export NCCL_NSOCKS_PERTHREAD=4"),
        )


def _amd_needs(case: Case) -> Iterator[Hit]:
    topology = case.topology
    if topology is None or len(topology.gpus) < 2:
        return
    amd = all(gpu.vendor == "amd" for gpu in topology.gpus)
    if amd and not topology.lanes("XGMI") and not case.is_on("HSA_FORCE_FINE_GRAIN_PCIE"):
        yield Hit(
            variable="HSA_FORCE_FINE_GRAIN_PCIE",
            what="set HSA_FORCE_FINE_GRAIN_PCIE=1",
            why="these GPUs are joined by PCIe alone, and RCCL's direct access between them "
            "needs it",
            paste=("export HSA_FORCE_FINE_GRAIN_PCIE=1",),
        )


RULES: Final = (
    Rule(name="error-handling-off", kind=Kind.WARNING, check=_hangs, source=_TORCH),
    Rule(name="torch-renamed", kind=Kind.WARNING, check=_is_renamed, source=_TORCH),
    Rule(name="gpus-hidden", kind=Kind.WARNING, check=_sees, source=_CUDA),
    Rule(name="threads-too-many", kind=Kind.WARNING, check=_takes_more_threads,
         source="OpenMP 5.2, OMP_NUM_THREADS; GCC libgomp, GOMP_CPU_AFFINITY"),
    Rule(name="slow-switch", kind=Kind.UNSET, check=_slows, source=_TORCH),
    Rule(name="sockets", kind=Kind.SET, check=_sockets_are_few,
         source=f"{GUIDE}, NCCL_SOCKET_NTHREADS"),
    Rule(name="rccl-pcie", kind=Kind.SET, check=_amd_needs, source="RCCL usage tips"),
)  # fmt: skip
