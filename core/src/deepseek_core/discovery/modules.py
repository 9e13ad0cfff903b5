"""Looking for modules without importing them, and the packages that bring those we know."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib.machinery import ModuleSpec, PathFinder
from typing import Final

HEAVY: Final = frozenset(
    {
        "boto3", "cupy", "cv2", "jax", "matplotlib", "numpy", "onnx", "onnxruntime", "openvino",
        "pandas", "pyopencl", "ray", "scipy", "sklearn", "sympy", "tensorflow", "tensorrt",
        "torch", "transformers", "triton",
    }
)  # fmt: skip
"""Libraries whose import takes a noticeable part of a second."""

KNOWN: Final = {
    **{module: module for module in sorted(HEAVY)},
    "PIL": "pillow",
    "attrs": "attrs",
    "botocore": "boto3",
    "cv2": "opencv-python-headless",
    "faiss": "faiss-cpu",
    "fsspec": "fsspec",
    "google.protobuf": "protobuf",
    "pluggy": "pluggy",
    "psycopg": "psycopg",
    "pyeclib": "pyeclib",
    "pynvml": "nvidia-ml-py",
    "pytest": "pytest",
    "rich": "rich",
    "sklearn": "scikit-learn",
    "sqlalchemy": "sqlalchemy",
    "yaml": "pyyaml",
}
"""Modules, and the package that brings each: only what is here is recommended by its module."""


def locate(module: str) -> ModuleSpec | None:
    """The spec of a module, also of `package.module`, with nothing imported; None if missing."""
    first, *rest = module.split(".")
    try:
        spec = _top_level(first)
        name = first
        for part in rest:
            if spec is None or spec.submodule_search_locations is None:
                return None
            name = f"{name}.{part}"
            spec = PathFinder.find_spec(name, list(spec.submodule_search_locations))
    except (ImportError, ValueError):
        return None
    return spec


def _top_level(name: str) -> ModuleSpec | None:
    """What `importlib.util.find_spec` gives, without two modules more at each start."""
    if name in sys.modules:
        return sys.modules[name].__spec__
    finders = (getattr(finder, "find_spec", None) for finder in sys.meta_path)
    found = (find(name, None) for find in finders if find is not None)
    return next((spec for spec in found if spec is not None), None)


def missing(modules: Iterable[str]) -> tuple[str, ...]:
    """Select the modules that are not installed."""
    return tuple(module for module in modules if locate(module) is None)


def heavy_now() -> frozenset[str]:
    """The heavy libraries that this process has imported so far."""
    return HEAVY & sys.modules.keys()
