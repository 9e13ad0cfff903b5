"""Which flavors are there, without importing them, and how one is opened."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import attrs

from deepseek_core import console
from deepseek_trt.backends.backend import Backend
from deepseek_trt.backends.full import NAME as FULL
from deepseek_trt.backends.full import FullBackend
from deepseek_trt.backends.rtx import NAME as RTX
from deepseek_trt.backends.rtx import RtxBackend
from deepseek_trt.errors import LibraryMissing
from deepseek_trt.gpu import first_gpu

NAMES: Final = (FULL, RTX, "fake")
_MODULES: Final = {FULL: ("tensorrt",), RTX: ("tensorrt_rtx_bindings", "tensorrt_rtx")}
_EXTRAS: Final = {FULL: "tensorrt", RTX: "rtx"}
_GPU: Final = "build on a machine with the GPU, or use --backend tensorrt_rtx"


@attrs.frozen(kw_only=True)
class Flavor:
    """A flavor and why it can't be used here: `reason` is empty where it can."""

    name: str
    reason: str = ""
    remedy: str = ""

    @property
    def available(self) -> bool:
        """Whether it can be used, as far as is known without importing it."""
        return not self.reason


def flavors() -> tuple[Flavor, ...]:
    """The real flavors, best first; nothing of them is imported."""
    return _full(), _rtx()


def open_backend(name: str, timings: Path | None = None) -> Backend:
    """Import a flavor and open it; `timings` is a folder for kernel timings of full TensorRT.

    Raises:
        LibraryMissing: it is not installed here, does not load, or lacks a GPU.
    """
    if name == "fake":
        from deepseek_trt.backends.fake import FakeBackend

        return FakeBackend()
    flavor = next(each for each in flavors() if each.name == name)
    if not flavor.available:
        raise missing(flavor)
    module, version = _imported(name)
    if name == RTX:
        return RtxBackend(module, version)
    gpu = first_gpu()
    if gpu is None:
        raise missing(_full())
    return FullBackend(module, version, gpu, timings)


def missing(flavor: Flavor) -> LibraryMissing:
    """The error for a flavor that can't be used here."""
    return LibraryMissing(
        f"{flavor.name} can't be used here: {flavor.reason}",
        device_id=flavor.name,
        remedy=flavor.remedy,
    )


def _full() -> Flavor:
    if _module_of(FULL) is None:
        return _not_installed(FULL)
    if first_gpu() is None:
        return Flavor(name=FULL, reason="there is no NVIDIA GPU or no driver", remedy=_GPU)
    return Flavor(name=FULL)


def _rtx() -> Flavor:
    return Flavor(name=RTX) if _module_of(RTX) is not None else _not_installed(RTX)


def _not_installed(name: str) -> Flavor:
    remedy = console.install_command("deepseek-trt", _EXTRAS[name])
    return Flavor(name=name, reason="it is not installed", remedy=remedy)


def _module_of(name: str) -> str | None:
    return next((module for module in _MODULES[name] if find_spec(module) is not None), None)


def _imported(name: str) -> tuple[Any, str]:
    module = _module_of(name)
    assert module is not None
    try:
        library = import_module(module)
        version = str(library.__version__)
        library.OnnxParser, library.Builder  # noqa: B018 - a stub package has neither
    except (ImportError, OSError, AttributeError) as error:
        reason = f"{module} does not load: {error}"
        remedy = f"pip install --force-reinstall {_packages(name)}"
        raise missing(Flavor(name=name, reason=reason, remedy=remedy)) from error
    return library, version


def _packages(name: str) -> str:
    return "tensorrt" if name == FULL else "tensorrt-rtx-cu12-libs tensorrt-rtx-cu12-bindings"
