"""ONNX Runtime's TensorRT provider: whether it can be used, and where its engines are kept.

Loads the provider's library, as ONNX Runtime itself does; makes no session and no context.
"""

from __future__ import annotations

import ctypes
import logging
import re
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from attrs import frozen

from deepseek_core import errors
from deepseek_cuda.discovery.gpus import Unit
from deepseek_cuda.discovery.runtime import Runtime

_log = logging.getLogger(__name__)

_LIBRARY: Final = "capi/libonnxruntime_providers_tensorrt.so"
_WHEEL: Final = "tensorrt_libs"
# In the order in which they need each other; NVIDIA's wheel is on no path of the loader.
_PARTS: Final = ("libnvinfer.so.*", "libnvinfer_plugin.so.*", "libnvonnxparser.so.*")


@frozen(kw_only=True)
class TensorRt:
    """The TensorRT that the provider found; `reason` says why it can't be used."""

    version: str = ""
    reason: str | None = None
    remedy: str | None = None


def find_tensorrt(runtime: Runtime) -> TensorRt:
    """Try the provider's library and what it needs."""
    spec = find_spec("onnxruntime")
    if spec is None or spec.origin is None:
        return TensorRt(reason=runtime.reason, remedy=runtime.remedy)
    library = Path(spec.origin).parent / _LIBRARY
    if not library.is_file():
        reason = f"this build of onnxruntime {runtime.version} has no TensorRT provider"
        return TensorRt(reason=reason, remedy='pip install "onnxruntime-gpu[cuda,cudnn]"')
    _preload()
    try:
        provider = ctypes.CDLL(str(library))
    except OSError as error:
        reason = f"the TensorRT provider of onnxruntime {runtime.version} does not load: {error}"
        return TensorRt(reason=reason, remedy=_install(str(error), runtime))
    return TensorRt(version=_version(provider))


def _preload() -> None:
    spec = find_spec(_WHEEL)
    for folder in (spec.submodule_search_locations or []) if spec is not None else []:
        for pattern in _PARTS:
            for file in sorted(Path(folder).glob(pattern)):
                with suppress(OSError):  # what is missing after all, the provider's loader names
                    ctypes.CDLL(str(file), mode=ctypes.RTLD_GLOBAL)


def _version(provider: ctypes.CDLL) -> str:
    """Version as TensorRT 10 writes it (101303 for 10.13.3), from what the provider links to."""
    try:
        number = int(provider.getInferLibVersion())
    except AttributeError:
        return "of unknown version"
    return f"{number // 10000}.{number // 100 % 100}.{number % 100}"


def _install(loader: str, runtime: Runtime) -> str:
    """The wheel of the major version that the loader asked for, for the build's CUDA."""
    cuda = f"-cu{runtime.cuda[0]}" if runtime.cuda else ""
    found = re.search(r"libnv(?:infer|onnxparser)\w*\.so\.(\d+)", loader)
    return f'pip install "tensorrt{cuda}=={found[1]}.*"' if found else "ds-sdk doctor"


def usable(
    wanted: Sequence[str], found: TensorRt | None, device_id: str
) -> tuple[tuple[str, ...], str]:
    """Select the listed providers that can be used, and give TensorRT's version.

    Where TensorRT can't be used and another provider is listed, that one does all, which the log
    says. `found` is None where TensorRT is not listed.

    Raises:
        DeviceUnavailable: TensorRT alone is listed, and can't be used.
    """
    if found is None or found.reason is None:
        return tuple(wanted), found.version if found is not None else ""
    rest = tuple(name for name in wanted if name != "tensorrt")
    if not rest:
        raise errors.DeviceUnavailable(
            f"{device_id}: {found.reason}; no other provider is listed (gpu_cuda.onnx_providers)",
            device_id=device_id,
            remedy=found.remedy,
        )
    text = "%s: %s; ONNX stages run on the next listed provider, %s -> %s"
    _log.warning(text, device_id, found.reason, rest[0], found.remedy)
    return rest, ""


def engine_folder(cache: Path, unit: Unit, driver: str, runtime: str, tensorrt: str) -> Path:
    """Where engines of these versions for this kind of GPU are kept; others are never loaded."""
    facts = (unit.name, unit.gpu.capability, driver, runtime, tensorrt)
    return cache / "cuda" / "tensorrt" / sha256(repr(facts).encode()).hexdigest()[:24]
