"""Looking for modules without importing them, and naming the package that brings one."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from typing import Final

HEAVY: Final = frozenset(
    {
        "boto3", "cupy", "cv2", "jax", "matplotlib", "numpy", "onnx", "onnxruntime", "openvino",
        "pandas", "pyopencl", "ray", "scipy", "sklearn", "sympy", "tensorflow", "tensorrt",
        "torch", "transformers", "triton",
    }
)  # fmt: skip
"""Libraries whose import takes a noticeable part of a second."""

_PACKAGES: Final = {
    "PIL": "pillow",
    "cv2": "opencv-python-headless",
    "faiss": "faiss-cpu",
    "google.protobuf": "protobuf",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}


def locate(module: str) -> ModuleSpec | None:
    """The spec of a module, also of `package.module`, with nothing imported; None if missing."""
    first, *rest = module.split(".")
    try:
        spec = find_spec(first)
        name = first
        for part in rest:
            if spec is None or spec.submodule_search_locations is None:
                return None
            name = f"{name}.{part}"
            spec = PathFinder.find_spec(name, list(spec.submodule_search_locations))
    except (ImportError, ValueError):
        return None
    return spec


def missing(modules: Iterable[str]) -> tuple[str, ...]:
    """Those of the modules that are not installed."""
    return tuple(module for module in modules if locate(module) is None)


def package_of(module: str) -> str:
    """The name to give to pip for a module: `sklearn` -> `scikit-learn`."""
    top = module.partition(".")[0]
    return _PACKAGES.get(module) or _PACKAGES.get(top) or top.replace("_", "-")


def heavy_now() -> frozenset[str]:
    """The heavy libraries that this process has imported so far."""
    return HEAVY & sys.modules.keys()
