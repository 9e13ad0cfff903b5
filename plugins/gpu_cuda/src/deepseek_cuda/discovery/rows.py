"""A machine's GPUs as rows of devices: each state with its reason and what to do. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import attrs

from deepseek_core import DeviceInfo
from deepseek_cuda.discovery.gpus import Fault, Gpu, Machine, Trouble, Unit, Version
from deepseek_cuda.discovery.runtime import Runtime
from deepseek_cuda.discovery.visible import Refusal, View

KIND: Final = "gpu"
_LEAVE_OUT: Final = "DEEPSEEK_DISABLE_PLUGINS=gpu_cuda"
# CUDA's release notes: the oldest driver of each major version, which serves all its minor ones.
_DRIVERS: Final = {12: 525, 13: 580}
# What each major version still compiles for: 13 begins with Turing.
_CAPABILITIES: Final[Mapping[int, Version]] = {12: (5, 0), 13: (7, 5)}
# The last builds on the index for CUDA 12, by the requirements of their extra `cuda`.
_FOR_CUDA_12: Final = 'pip install "onnxruntime-gpu[cuda,cudnn]<1.27"'


_WHO_MAY: Final = (
    "ls -l /dev/nvidia* (it shows who may: usermod -aG GROUP USER; in a job of Slurm: \
srun --gpus=1 COMMAND)"
)
_TROUBLES: Final[Mapping[Trouble, tuple[str, str]]] = {
    "not loaded": (
        "the driver is installed, and its kernel module is not loaded", "modprobe nvidia",
    ),
    "mismatch": ("driver and kernel module are of two versions, as after an update", "reboot"),
    "no permission": (
        "this user may not open /dev/nvidiactl",
        "ls -l /dev/nvidiactl (it shows who may; usermod -aG GROUP USER)",
    ),
    "failed": ("the driver answers", "nvidia-smi (it shows more; often a reboot helps)"),
}  # fmt: skip
# In a container: its libraries and devices are those that it was started with.
_AGAIN: Final = "docker restart CONTAINER (on the host; nvidia-smi there shows more)"
_FAULTS: Final[Mapping[Fault, tuple[str, str]]] = {
    "lost": ("it fell off the bus", "reboot (before it: dmesg | grep -i xid shows the cause)"),
    "reset": ("it has to be reset", "nvidia-smi --gpu-reset -i {index} (or reboot)"),
    "denied": ("this process may not open it", _WHO_MAY),
    "silent": ("it does not answer", "reboot (before it: dmesg | grep -i xid shows the cause)"),
}


@attrs.frozen(kw_only=True)
class Host:
    """What the system says beside NVML.

    A card of NVIDIA on the PCI bus; a container around us; a Jetson, whose GPU is on no bus; the
    driver's libraries that Windows lends to Linux.
    """

    card: str | None = None
    is_container: bool = False
    is_jetson: bool = False
    is_wsl: bool = False


def trouble_of(machine: Machine, host: Host) -> Refusal | None:
    """Why NVML told of no GPU at all that is for this process."""
    if machine.trouble is None:
        if not machine.gpus:
            reason = f"driver {machine.driver} is here, and no GPU"
            return Refusal(reason=reason, remedy="lspci -d 10de: (it lists the cards on the bus)")
        if all(gpu.fault == "denied" for gpu in machine.gpus):
            number, words = len(machine.gpus), machine.gpus[0].words
            reason = f"this process may not open any of {number} GPUs (NVML: {words})"
            return Refusal(reason=reason, remedy=_WHO_MAY)
        return None
    if machine.trouble == "no library":
        return _without_driver(host)
    reason, remedy = _TROUBLES[machine.trouble]
    if machine.trouble == "failed":
        reason = f"{reason}: {machine.words}"
    is_stale = host.is_container and machine.trouble in ("failed", "mismatch")
    return Refusal(reason=reason, remedy=_AGAIN if is_stale else remedy)


def _without_driver(host: Host) -> Refusal:
    if host.is_wsl:
        reason = (
            "the driver's libraries of WSL are in /usr/lib/wsl/lib, where the loader does not look"
        )
        return Refusal(
            reason=reason, remedy="export LD_LIBRARY_PATH=/usr/lib/wsl/lib:$LD_LIBRARY_PATH"
        )
    if host.is_jetson:
        reason = "the driver of this Jetson has no NVML (libnvidia-ml.so.1)"
        return Refusal(reason=reason, remedy=f"{_LEAVE_OUT} (or JetPack 6 or newer)")
    if host.card is None:
        reason = "no NVIDIA GPU on the PCI bus and no driver"
        remedy = f"{_LEAVE_OUT} (or a machine with one)"
        return Refusal(reason=reason, remedy=remedy, is_absent=True)
    if host.is_container:
        reason = f"a GPU is there (PCI {host.card}), and this container has no driver"
        return Refusal(reason=reason, remedy="docker run --gpus all ... (NVIDIA Container Toolkit)")
    reason = f"a GPU is there (PCI {host.card}), and no driver (libnvidia-ml.so.1)"
    return Refusal(reason=reason, remedy="apt-get install nvidia-driver")


def rows(machine: Machine, view: View, runtime: Runtime, host: Host) -> Iterator[DeviceInfo]:
    """A row for each unit that this process sees and each GPU at fault; one if there is none.

    GPUs that CUDA_VISIBLE_DEVICES hides, or that are not for this process, have no row as long as
    another is left.
    """
    trouble = trouble_of(machine, host)
    if trouble is not None:
        yield _none(trouble)
        return
    ours = [gpu for gpu in machine.gpus if gpu.fault != "denied"]
    faulty = [gpu for gpu in ours if gpu.fault is not None]
    for gpu in faulty:
        yield _faulty(gpu, machine)
    for unit in view.units:
        yield _row(unit, machine, runtime, refusal(unit, machine, view, runtime))
    if view.refusal is not None and len(faulty) < len(ours):
        yield _none(view.refusal)


def refusal(unit: Unit, machine: Machine, view: View, runtime: Runtime) -> Refusal | None:
    """The first thing that keeps a unit from being used; None: it can be."""
    refused = view.refused.get(unit.id)
    if refused is not None:
        return refused
    if runtime.reason is not None:
        return Refusal(reason=runtime.reason, remedy=runtime.remedy or "ds-sdk doctor")
    return _too_old(unit, machine, runtime)


def _too_old(unit: Unit, machine: Machine, runtime: Runtime) -> Refusal | None:
    """A driver serves every minor version of the CUDA that it knows, and all majors before."""
    if runtime.cuda is None:
        return None
    major = runtime.cuda[0]
    if machine.cuda is not None and machine.cuda[0] < major:
        return Refusal(
            reason=f"driver {machine.driver} is too old: it serves CUDA {_dotted(machine.cuda)}, "
            f"and onnxruntime {runtime.version} was built for {_dotted(runtime.cuda)}",
            remedy=_for_older_driver(machine.cuda[0], major),
        )
    oldest, capability = _CAPABILITIES.get(major), unit.gpu.capability
    if oldest is not None and capability is not None and capability < oldest:
        return Refusal(
            reason=f"its compute capability is {_dotted(capability)}, and onnxruntime "
            f"{runtime.version}, built for CUDA {major}, begins at {_dotted(oldest)}",
            remedy=_FOR_CUDA_12 if capability >= _CAPABILITIES[12] else _LEAVE_OUT,
        )
    return None


def _for_older_driver(serves: int, needed: int) -> str:
    newer = f"update the driver to {_DRIVERS[needed]} or newer" if needed in _DRIVERS else ""
    update = "apt-get install --only-upgrade nvidia-driver"
    if serves == 12:
        return f"{_FOR_CUDA_12} (or {newer or update})"
    return f"{update} ({newer})" if newer else update


def _row(unit: Unit, machine: Machine, runtime: Runtime, refused: Refusal | None) -> DeviceInfo:
    capability = _dotted(unit.gpu.capability) if unit.gpu.capability else "?"
    facts = unit.name, capability, str(unit.mem_bytes), machine.driver, runtime.version
    return DeviceInfo(
        id=unit.id,
        kind=KIND,
        name=f"{unit.name} (compute capability {capability})",
        evidence="hardware",
        fingerprint="|".join(facts),
        vendor="NVIDIA",
        driver=machine.driver,
        mem_bytes=unit.mem_bytes,
        status="unavailable" if refused else "available",
        reason=refused.reason if refused else None,
        remedy=refused.remedy if refused else None,
    )


def _faulty(gpu: Gpu, machine: Machine) -> DeviceInfo:
    reason, remedy = _FAULTS[gpu.fault or "silent"]
    return DeviceInfo(
        id=f"cuda:{gpu.index}",
        kind=KIND,
        name=f"NVIDIA GPU {gpu.index}",
        evidence="hardware",
        vendor="NVIDIA",
        driver=machine.driver,
        status="unavailable",
        reason=f"{reason} (NVML: {gpu.words})",
        remedy=remedy.format(index=gpu.index),
    )


def _none(refusal: Refusal) -> DeviceInfo:
    return DeviceInfo(
        id="cuda",
        kind=KIND,
        name="NVIDIA GPU",
        evidence="hardware",
        status="unavailable",
        reason=refusal.reason,
        remedy=refusal.remedy,
        absent=refusal.is_absent,
    )


def _dotted(version: Version) -> str:
    return f"{version[0]}.{version[1]}"
