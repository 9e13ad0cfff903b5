"""Which GPUs this process may use: CUDA_VISIBLE_DEVICES and MIG, as CUDA reads them.

Pure: records in, records out. The rules are those of the CUDA programming guide (environment
variables) and of NVIDIA's MIG user guide (device enumeration): a list ends at its first entry that
names nothing, a repeated one leaves nothing, and a process gets one MIG instance and then no GPU.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from attrs import frozen

from deepseek_cuda.discovery.gpus import Gpu, Unit

VARIABLE: Final = "CUDA_VISIBLE_DEVICES"
ORDER: Final = "CUDA_DEVICE_ORDER"
_BY_BUS: Final = "PCI_BUS_ID"
_OF_SLURM: Final = "NoDevFiles"  # what a job gets that asked for no GPU
_NUMBER: Final = re.compile(r"[+-]?\d+")
_OLD_MIG: Final = re.compile(r"MIG-(GPU-[0-9a-f-]+)/(\d+)/(\d+)")


@frozen(kw_only=True)
class Refusal:
    """Why a unit, or all of them, can't be used by this process.

    `is_absent` says that this machine has no GPU at all.
    """

    reason: str
    remedy: str
    is_absent: bool = False


@frozen(kw_only=True)
class View:
    """The units that CUDA_VISIBLE_DEVICES leaves, in CUDA's order, as far as it can be told.

    `refused` are those that CUDA will not give this process, by id; `refusal` is set where none
    is left, or where nothing can be said about any.
    """

    units: tuple[Unit, ...] = ()
    refused: Mapping[str, Refusal]
    refusal: Refusal | None = None


def view(gpus: Sequence[Gpu], environment: Mapping[str, str]) -> View:
    """What this process sees of these GPUs, those at fault left out.

    CUDA does not count GPUs that a process may not open, as in a job of Slurm.
    """
    gpus = [gpu for gpu in gpus if gpu.fault != "denied"]
    present = [gpu for gpu in gpus if not gpu.fault]
    value = environment.get(VARIABLE)
    if value is None:
        return _enumerated([unit for gpu in present for unit in _units(gpu)])
    entries = _entries(value)
    if entries and _NUMBER.match(entries[0]):
        refusal = _unnumbered(gpus, entries, value, environment.get(ORDER, ""))
        if refusal is not None:
            return View(refused={}, refusal=refusal)
        chosen = _by_number(present, entries)
    else:
        chosen = _by_uuid(present, entries)
    if not chosen:
        return View(refused={}, refusal=_hidden(value, gpus))
    return _enumerated(chosen)


def _entries(value: str) -> list[str]:
    return [entry.strip() for entry in value.split(",")]


def _units(gpu: Gpu) -> list[Unit]:
    instances = [Unit(gpu=gpu, instance=instance) for instance in gpu.instances]
    return instances or [Unit(gpu=gpu)]


def _by_number(gpus: Sequence[Gpu], entries: Sequence[str]) -> list[Unit]:
    chosen: dict[int, list[Unit]] = {}
    for entry in entries:
        found = _NUMBER.match(entry)
        number = int(found[0]) if found else -1
        if not 0 <= number < len(gpus):
            break
        if number in chosen:
            return []
        chosen[number] = _units(gpus[number])
    return [unit for units in chosen.values() for unit in units]


def _by_uuid(gpus: Sequence[Gpu], entries: Sequence[str]) -> list[Unit]:
    chosen: dict[str, Unit] = {}
    for entry in entries:
        units = _named(gpus, entry)
        if not units:
            break
        if any(unit.uuid in chosen for unit in units):
            return []
        chosen |= {unit.uuid: unit for unit in units}
    return list(chosen.values())


def _named(gpus: Sequence[Gpu], entry: str) -> list[Unit]:
    """What an entry names: the beginning of one UUID, or of an instance in the older form."""
    old = _OLD_MIG.fullmatch(entry)
    if old is not None:
        wanted = old[1], int(old[2]), int(old[3])
        return [
            unit
            for gpu in gpus
            for unit in _units(gpu)
            if unit.instance is not None
            and (gpu.uuid, unit.instance.gpu_instance, unit.instance.compute_instance) == wanted
        ]
    if entry.startswith("MIG-"):
        found = [u for gpu in gpus for u in _units(gpu) if u.uuid.startswith(entry)]
        return found if len(found) == 1 else []
    cards = [gpu for gpu in gpus if entry.startswith("GPU-") and gpu.uuid.startswith(entry)]
    return _units(cards[0]) if len(cards) == 1 else []


def _unnumbered(
    gpus: Sequence[Gpu], entries: Sequence[str], value: str, order: str
) -> Refusal | None:
    """Why numbers can't be told: CUDA counts the fastest first, NVML by bus. None if they can."""
    numbers = [int(found[0]) if (found := _NUMBER.match(entry)) else -1 for entry in entries]
    if numbers[0] < 0:
        return None
    lost = [gpu for gpu in gpus if gpu.fault]
    if lost:
        return Refusal(
            reason=f"{VARIABLE}={value} counts GPUs, and GPU {lost[0].index} is missing",
            remedy=f"export {VARIABLE}={uuid}"
            if (uuid := _any_uuid(gpus))
            else f"unset {VARIABLE}",
        )
    is_all = sorted(numbers) == list(range(len(gpus)))
    if order == _BY_BUS or is_all or len({gpu.make for gpu in gpus}) < 2:
        return None
    return Refusal(
        reason=f"{VARIABLE}={value} counts the fastest GPU first, and these are not alike: "
        "which one it is shows only in CUDA",
        remedy=f"export {ORDER}={_BY_BUS}",
    )


def _any_uuid(gpus: Sequence[Gpu]) -> str:
    return next((unit.uuid for gpu in gpus if not gpu.fault for unit in _units(gpu)), "")


def _hidden(value: str, gpus: Sequence[Gpu]) -> Refusal:
    return Refusal(
        reason=f"{VARIABLE}={value!r} hides {'the GPU' if len(gpus) == 1 else 'every GPU'}",
        remedy="srun --gpus=1 COMMAND" if value == _OF_SLURM else f"unset {VARIABLE}",
    )


def _enumerated(units: Sequence[Unit]) -> View:
    """What CUDA gives a process of what it may see."""
    first = next((unit for unit in units if unit.instance is not None), None)
    refused: dict[str, Refusal] = {}
    for unit in units:
        if unit.gpu.has_mig and unit.instance is None:
            refused[unit.id] = _undivided(unit.gpu)
        elif first is not None and unit is not first:
            refused[unit.id] = _beside(unit, first)
    return View(units=tuple(units), refused=refused)


def _undivided(gpu: Gpu) -> Refusal:
    return Refusal(
        reason="its MIG mode is on, and it has no instance",
        remedy=f"nvidia-smi mig -i {gpu.index} -cgi 0 -C (or nvidia-smi -i {gpu.index} -mig 0)",
    )


def _beside(unit: Unit, first: Unit) -> Refusal:
    return Refusal(
        reason=f"a process gets one MIG instance and no GPU beside it: CUDA takes {first.id}",
        remedy=f"export {VARIABLE}={unit.uuid}",
    )
