"""TensorRT engines out of ONNX models: checks, builds and a cache; loaded on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deepseek_trt.artifact import Runner, load, save
    from deepseek_trt.building.build import build
    from deepseek_trt.cache.engines import EngineCache
    from deepseek_trt.checking import check
    from deepseek_trt.options import BuildOptions
    from deepseek_trt.profile import Profile

# name -> the module below this package that owns it
_HOME = {
    "BuildOptions": "options",
    "EngineCache": "cache.engines",
    "Profile": "profile",
    "Runner": "artifact",
    "build": "building.build",
    "check": "checking",
    "load": "artifact",
    "save": "artifact",
}

__all__ = [
    "BuildOptions",
    "EngineCache",
    "Profile",
    "Runner",
    "build",
    "check",
    "load",
    "save",
]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
