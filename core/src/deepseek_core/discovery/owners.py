"""Names that are ours: no other distribution may offer a plugin under one of them."""

from __future__ import annotations

from typing import Final

from deepseek_core.discovery.scan import EntryPoint, normalize

OWNERS: Final = (
    ("cpu_onnx", "deepseek-onnx"),
    ("fpga_opencl", "deepseek-fpga"),
    ("gpu_cuda", "deepseek-cuda"),
    ("storage_local", "deepseek-storage-local"),
    ("storage_s3", "deepseek-storage-s3"),
    ("store", "deepseek-store"),
    ("parallel_torch", "deepseek-parallel"),
    ("compress_torch", "deepseek-compress"),
    ("compress_trt", "deepseek-trt"),
    ("cluster_ray", "deepseek-ray"),
    ("observe", "deepseek-observe"),
    ("serve", "deepseek-serve"),
    ("fusion", "deepseek-fusion"),
    ("frontier", "deepseek-frontier"),
)
"""Entry-point names and the distribution that each belongs to."""

_OWNED: Final = {normalize(name): dist for name, dist in OWNERS}
_FIRST_PARTY: Final = {"deepseek-core", *_OWNED.values()}


def is_ours(dist: str) -> bool:
    """Whether this distribution is one of the SDK's own."""
    return normalize(dist) in _FIRST_PARTY


def owner_of(point: EntryPoint) -> str | None:
    """The distribution of ours whose name this plugin has taken; None if it has not.

    Spellings count as one name, and so does the name of a distribution: in an allow-list
    either stands for us.
    """
    name = normalize(point.name)
    owner = _OWNED.get(name) or (name if name in _FIRST_PARTY else None)
    return None if owner is None or normalize(point.dist) == owner else owner
