"""Commands for remedies: how a distribution is installed, updated and removed here.

Only packages that exist are recommended. The SDK's own are on no public index yet, where anybody
may take their names, so they are installed from the checkout or the folder of wheels that core
came from. Names of other distributions come from installed metadata, where they were checked; one
that was installed from an address or a folder comes from there again, since on an index its name
may be a stranger's. No command holds a name made from what a user typed or from the text of an
error.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from deepseek_core.discovery.distributions import is_valid_name, normalize
from deepseek_core.discovery.installed import CORE, core_version, installed
from deepseek_core.discovery.modules import KNOWN
from deepseek_core.discovery.owners import is_reserved, module_of
from deepseek_core.discovery.strangers import text_of

if TYPE_CHECKING:
    from deepseek_core.discovery.distributions import Distribution
    from deepseek_core.discovery.origin import Origin

_PLAIN: Final = re.compile(r"[\w@%+=:,./-]+", re.ASCII)
PUBLISHED: Final = False
"""Set to true once a public index has the SDK: every command becomes `pip install NAME`."""

FOLDERS: Final = {
    CORE: "core",
    "deepseek-null": "examples/plugins/null",
    "deepseek-onnx": "plugins/cpu_onnx",
    "deepseek-openvino": "plugins/cpu_openvino",
    "deepseek-fpga": "plugins/fpga_opencl",
    "deepseek-cuda": "plugins/gpu_cuda",
    "deepseek-storage-local": "plugins/storage_local",
    "deepseek-storage-s3": "plugins/storage_s3",
    "deepseek-store": "plugins/store",
    "deepseek-compress": "plugins/compress_torch",
    "deepseek-trt": "plugins/compress_trt",
    "deepseek-ray": "plugins/cluster_ray",
    "deepseek-parallel": "plugins/parallel_torch",
    "deepseek-observe": "plugins/observe",
    "deepseek-fusion": "plugins/fusion_torch",
    "deepseek-apps": "plugins/applications",
}
"""The SDK's own distributions that exist, and the folder of each in a checkout."""


def install_command(dist: str, extra: str | None = None) -> str:
    """Command that installs one of the SDK's own, as `pip install /sdk/plugins/store`.

    `dist` is one of `FOLDERS`; `extra` is one of its optional features.
    """
    wanted = f"[{extra}]" if extra else ""
    if PUBLISHED:
        return f"pip install {_quoted(dist + wanted)}"
    root = _checkout()
    if root is not None:
        return f"pip install {_quoted(str(root / FOLDERS[dist]) + wanted)}"
    wheel = _wheel(dist)
    if wheel is not None:
        folder = _quoted(str(wheel.parent))
        return f"pip install --find-links {folder} {_quoted(str(wheel) + wanted)}"
    return f"in a checkout of the SDK: pip install {_quoted('./' + FOLDERS[dist] + wanted)}"


def update_command(dist: str) -> str:
    """Command that brings a newer version of an installed distribution."""
    if not _is_ours_alone(dist):
        if not is_valid_name(dist):
            return _BY_HAND
        place = _place_of(dist)
        if place is None:
            return f"pip install -U {dist}"
        origin, wanted = place
        if origin.path is None:
            return f"pip install -U {wanted}"
        return f"update {_quoted(str(origin.path))}, then pip install {wanted}"
    root, folder = _checkout(), FOLDERS[normalize(dist)]
    if root is None:
        return f"in a newer checkout of the SDK: pip install ./{folder}"
    return f"update {_quoted(str(root))}, then pip install {_quoted(str(root / folder))}"


def reinstall_command(dist: str) -> str:
    """Command that repairs an installed distribution."""
    if _is_ours_alone(dist):
        command = install_command(normalize(dist))
        return command.replace("pip install", "pip install --force-reinstall --no-deps", 1)
    if not is_valid_name(dist):
        return _BY_HAND
    place = _place_of(dist)
    return f"pip install --force-reinstall {dist if place is None else place[1]}"


def how_to_install_again(dist: str) -> str:
    """How an installed distribution of others can be installed again, once it is gone.

    Which index one came from is not recorded, so the command leaves that to the user.
    """
    place = _place_of(dist)
    if place is not None:
        return f"pip install {place[1]}"
    mine = installed(dist)
    if mine is None or not (mine.read("INSTALLER") or "").strip():
        return f"put {dist} there again as it was; where it came from is not recorded"
    return f"pip install {dist}, from the index that it came from"


def _place_of(dist: str) -> tuple[Origin, str] | None:
    """Where a distribution was installed from, and what pip is told for it; None: an index."""
    mine = installed(dist)
    origin = None if mine is None else _origin_of(mine)
    if origin is None:
        return None
    editable = "-e " if origin.editable else ""
    return origin, editable + _quoted(origin.requirement(dist))


def _origin_of(dist: Distribution) -> Origin | None:
    from deepseek_core.discovery.origin import origin_of  # here, as each start counts modules

    return origin_of(dist)


def remove_command(dist: str) -> str:
    """Command that removes an installed distribution."""
    return f"pip uninstall {dist}" if is_valid_name(dist) else _BY_HAND


def update_or_remove(dist: str) -> str:
    """Remedy for a plugin that is broken: a newer version, or none."""
    return f"{update_command(dist)} (or {remove_command(dist)})"


def update_or_disable(dist: str, plugin: str) -> str:
    """Remedy for a plugin that fails at its work: a newer version, or leaving it out."""
    return f"{update_command(dist)} (or {disable_setting(plugin)})"


def disable_setting(plugin: str) -> str:
    """Setting of the variable that leaves one plugin out."""
    return f"DEEPSEEK_DISABLE_PLUGINS={_quoted(plugin)}"


def remedy_for_missing(modules: Iterable[str], dist: str) -> str:
    """Remedy for modules that a plugin of this distribution lacks.

    A module's name comes from the plugin's code. A package is recommended for it only if it is
    one of the SDK's own, a well-known one (`KNOWN`), or one that the plugin's metadata requires.
    """
    lacking = tuple(modules)
    packages = {module: _package_of(module, dist) for module in lacking}
    unknown = [text_of(module) for module, package in packages.items() if package is None]
    if unknown:
        return f"see the documentation of {dist} for what brings {', '.join(unknown)}"
    names = dict.fromkeys(package for package in packages.values() if package is not None)
    others = [name for name in names if name not in FOLDERS]
    commands = [install_command(name) for name in names if name in FOLDERS]
    return " and ".join([*commands, *([f"pip install {' '.join(others)}"] if others else ())])


def _package_of(module: str, dist: str) -> str | None:
    top = module.partition(".")[0]
    ours = next((name for name in FOLDERS if module_of(name) == top), None)
    found = ours or KNOWN.get(module) or KNOWN.get(top)
    if found is not None:
        return found
    mine = installed(dist)
    return _required_for(top, () if mine is None else mine.required())


def _required_for(module: str, requirements: Iterable[str]) -> str | None:
    """The requirement whose name is that of the module; None if it is not a plain name."""
    for requirement in requirements:
        name = requirement.partition(";")[0].strip()
        if "@" not in name:
            name = re.split(r"[\[(<>=!~\s]", name)[0]
        is_free = is_valid_name(name) and not is_reserved(name)
        if is_free and normalize(name) == normalize(module):
            return name
    return None


_BY_HAND: Final = "remove it by hand: its distribution has no valid name"


def _is_ours_alone(dist: str) -> bool:
    """Tell whether this name is to be installed from a checkout or a wheel of the SDK only."""
    return normalize(dist) in FOLDERS and not PUBLISHED


def _checkout() -> Path | None:
    """The checkout that this core runs from, or was installed from."""
    root = _above(Path(__file__).absolute(), 5)
    if _is_checkout(root):
        return root
    core = installed(CORE)
    origin = None if core is None else _origin_of(core)
    if origin is None or origin.path is None:
        return None
    return origin.path.parent if _is_checkout(origin.path.parent) else None


def _above(path: Path, levels: int) -> Path:
    for _ in range(levels):
        path = path.parent
    return path


def _is_checkout(root: Path) -> bool:
    return all((root / folder / "pyproject.toml").is_file() for folder in FOLDERS.values())


def _wheel(dist: str) -> Path | None:
    """The wheel of this distribution beside the one that core was installed from."""
    core = installed(CORE)
    origin = None if core is None else _origin_of(core)
    if origin is None or origin.path is None:
        return None
    name = f"{module_of(dist)}-{core_version()}-py3-none-any.whl"
    wheel = origin.path.parent / name
    return wheel if wheel.is_file() else None


def _quoted(word: str) -> str:
    if _PLAIN.fullmatch(word):
        return word
    import shlex  # only remedies need it

    return shlex.quote(word)
