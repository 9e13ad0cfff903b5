"""Opens a GPU by the id that the probe gave: here the CUDA context is made, and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import attrs

from deepseek_core import DeviceInfo, OpenOptions, Stage, console, errors
from deepseek_cuda.device import CudaDevice, Parts
from deepseek_cuda.discovery.gpus import Unit
from deepseek_cuda.discovery.nvml import readings
from deepseek_cuda.discovery.tensorrt import engine_folder, find_tensorrt, usable
from deepseek_cuda.driver._edge import Driver
from deepseek_cuda.driver.faults import translated
from deepseek_cuda.driver.tensors import Engine
from deepseek_cuda.matching.program import Kernel, Metric, Target, program
from deepseek_cuda.onnx_stages.provider import Provider, gpu_provider
from deepseek_cuda.place import Opener, Place
from deepseek_cuda.probe import survey
from deepseek_cuda.settings import Settings
from deepseek_cuda.torch_programs.opener import ProgramOpener
from deepseek_cuda.trt_engines.opener import EngineOpener


def open_device(device_id: str, options: OpenOptions) -> CudaDevice:
    """Open a GPU.

    Raises:
        DeviceUnavailable: it is not there or can't be used, with the probe's reason.
        ConfigError: a setting that does not fit.
    """
    found = survey()
    rows = {row.id: row for row in found.rows}
    row = rows.get(device_id)
    if row is None or row.status != "available":
        raise _unavailable(device_id, row, rows)
    unit = next(unit for unit in found.view.units if unit.id == device_id)
    wanted = Settings.of(options.settings).onnx_providers
    tensorrt = find_tensorrt(found.runtime) if "tensorrt" in wanted else None
    names, version = usable(wanted, tensorrt, device_id)
    folder = engine_folder(
        options.cache_dir, unit, found.machine.driver, found.runtime.version, version
    )
    if "tensorrt" in names:
        _make_private(folder, device_id)
        row = attrs.evolve(row, fingerprint=f"{row.fingerprint}|{'+'.join(names)} {version}")
    api = _driver(unit, is_alone=len(found.machine.gpus) == 1)
    place = Place(
        device_id=device_id, name=unit.name, capability=unit.gpu.capability, ordinal=api.ordinal
    )
    parts = Parts(
        api=api,
        provider=partial(gpu_provider, names, folder, api.ordinal),
        engine=_engine,
        openers=_openers(place, api),
        program=partial(_program, unit, options.cache_dir),
        readings=partial(readings, unit),
    )
    return CudaDevice(row, options, parts)


def _make_private(folder: Path, device_id: str) -> None:
    problem = console.make_private(folder)
    if problem is not None:
        raise errors.DeviceUnavailable(
            f"{device_id}: the folder of TensorRT's engines {folder} can't be used: {problem}",
            device_id=device_id,
            remedy="DEEPSEEK_CACHE_DIR=FOLDER (one that only you may write to)",
        )


def _unavailable(
    device_id: str, row: DeviceInfo | None, rows: dict[str, DeviceInfo]
) -> errors.DeviceUnavailable:
    if row is None:
        reason = f"there is no GPU {device_id!r} (present: {', '.join(rows)})"
        return errors.DeviceUnavailable(reason, device_id=device_id, remedy="ds-sdk devices")
    return errors.DeviceUnavailable(
        f"{device_id}: {row.reason}", device_id=device_id, remedy=row.remedy
    )


def _driver(unit: Unit, *, is_alone: bool) -> Driver:
    """The driver in the context of this unit, and of no other that CUDA took for it.

    The one GPU of a Jetson is on no bus, and CUDA has another UUID for it than NVML.
    """
    bus_id = unit.gpu.bus_id if unit.instance is None else ""
    try:
        with translated(unit.id):
            api = Driver(_short(bus_id) if bus_id else None)
    except OSError as error:
        raise errors.DeviceUnavailable(
            f"{unit.id}: the driver's library does not load: {error}",
            device_id=unit.id,
            remedy="ds-sdk doctor",
        ) from error
    if is_alone and unit.instance is None and not bus_id:
        return api
    with translated(unit.id):
        uuid = api.uuid()
        if uuid != unit.uuid.partition("-")[2].replace("-", ""):
            api.close()
            raise errors.DeviceUnavailable(
                f"{unit.id}: CUDA opened another device ({uuid})",
                device_id=unit.id,
                remedy=f"export CUDA_VISIBLE_DEVICES={unit.uuid}",
            )
    return api


def _short(bus_id: str) -> str:
    """NVML writes the domain in eight digits, CUDA in four."""
    domain, _, rest = bus_id.partition(":")
    return f"{int(domain, 16):04x}:{rest}"


def _openers(place: Place, api: Driver) -> dict[str, Opener]:
    return {"engine": EngineOpener(place, api), "pt2": ProgramOpener(place)}


def _program(unit: Unit, folder: Path, metric: Metric, k: int) -> Mapping[str, Kernel]:
    capability = unit.gpu.capability
    if capability is None:
        raise errors.Unsupported(
            f"{unit.id} does not tell its compute capability, which a kernel is compiled for",
            device_id=unit.id,
            remedy="nvidia-smi --query-gpu=compute_cap --format=csv",
        )
    target = Target(device_id=unit.id, capability=capability, folder=folder)
    return program(metric, k, target)


def _engine(stage: Stage, device_id: str, provider: Provider, strict: bool) -> Engine:
    from deepseek_cuda.onnx_stages.engine import open_engine  # onnxruntime

    return open_engine(stage, device_id, provider, strict=strict)
