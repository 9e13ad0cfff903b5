"""The SDK's own distributions (ours), and the names that no other may take.

A name alone gives no rights: on a public index anybody may have taken it. A plugin counts as ours
if its distribution, entry point and module are those of one line below, and its version moves with
core's. That tells apart what only shares a name with ours. It is no defense against somebody who
copies all four: installing a distribution means trusting it.
"""

from __future__ import annotations

from typing import Final

from deepseek_core.discovery.distributions import normalize
from deepseek_core.discovery.installed import CORE, UNINSTALLED
from deepseek_core.discovery.scan import EntryPoint

OWNERS: Final = (
    ("cpu_onnx", "deepseek-onnx"),
    ("fpga_opencl", "deepseek-fpga"),
    ("gpu_cuda", "deepseek-cuda"),
    ("cpu_openvino", "deepseek-openvino"),
    ("storage_local", "deepseek-storage-local"),
    ("storage_s3", "deepseek-storage-s3"),
    ("store", "deepseek-store"),
    ("parallel_torch", "deepseek-parallel"),
    ("compress_torch", "deepseek-compress"),
    ("compress_trt", "deepseek-trt"),
    ("cluster_ray", "deepseek-ray"),
    ("observe", "deepseek-observe"),
    ("serve", "deepseek-serve"),
    ("fusion_torch", "deepseek-fusion"),
    ("applications", "deepseek-apps"),
    ("frontier", "deepseek-frontier"),
)
"""Entry-point names and the distribution that each belongs to; not all of them exist yet."""

_OWNED: Final = {normalize(name): dist for name, dist in OWNERS}
_PLUGIN_OF: Final = {dist: name for name, dist in OWNERS}


def owner_of(point: EntryPoint) -> str | None:
    """The distribution of ours whose name this plugin has taken; None if it has not.

    Spellings count as one name, and so does the name of a distribution: in an allow-list
    either stands for us.
    """
    name = normalize(point.name)
    owner = _OWNED.get(name) or (name if is_reserved(name) else None)
    if owner is None or (normalize(point.dist) == owner and point.module == module_of(owner)):
        return None
    return owner


def is_reserved(dist: str) -> bool:
    """Tell whether this is the name of a distribution of ours, which may not exist yet."""
    return normalize(dist) in _PLUGIN_OF or normalize(dist) == CORE


def is_ours(point: EntryPoint, core_version: str) -> bool:
    """Tell whether no other plugin may take the records of this one out of service."""
    return normalize(point.dist) in _PLUGIN_OF and why_not_ours(point, core_version) is None


def why_not_ours(point: EntryPoint, core_version: str) -> str | None:
    """Say what is not ours about a plugin whose distribution has a name of ours.

    None if all of it fits, and for a distribution of any other name.
    """
    dist = normalize(point.dist)
    if not is_reserved(dist):
        return None
    plugin = _PLUGIN_OF.get(dist)
    if point.name != plugin or point.module != module_of(dist):
        what = f"plugin {plugin!r} in module {module_of(dist)}" if plugin else "no plugin"
        return f"the SDK's {dist} has {what}, not {point.name!r} in {point.module}"
    if core_version != UNINSTALLED and _minor(point.version) != _minor(core_version):
        return f"its version {point.version} does not move with {CORE} {core_version}"
    return None


def module_of(dist: str) -> str:
    """The top-level module of a distribution of ours."""
    return dist.replace("-", "_")


def _minor(version: str) -> list[str]:
    """Major and minor: distributions of ours with equal ones belong together."""
    return version.split(".")[:2]
