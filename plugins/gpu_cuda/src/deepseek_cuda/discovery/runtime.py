"""What would compute: ONNX Runtime with its CUDA provider, and the libraries that it needs.

Looks at files and loads libraries, as ONNX Runtime itself does; makes no session and no context.
"""

from __future__ import annotations

import ctypes
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from attrs import frozen

from deepseek_cuda.discovery.gpus import Version

_FACTS: Final = "capi/build_and_package_info.py"
_SHARED: Final = "capi/libonnxruntime_providers_shared.so"
_PROVIDER: Final = "capi/libonnxruntime_providers_cuda.so"
_GPU_BUILD: Final = 'pip install "onnxruntime-gpu[cuda,cudnn]"'
# The two distributions put their files into one folder: the second one installed wins.
_EXCHANGE: Final = f"pip uninstall -y onnxruntime && {_GPU_BUILD}"


@frozen(kw_only=True)
class Runtime:
    """ONNX Runtime as it is installed; `reason` says why its CUDA provider can't be used.

    `cuda` is the version that it was built for; None where the build does not say.
    """

    version: str = ""
    cuda: Version | None = None
    reason: str | None = None
    remedy: str | None = None


def find_runtime() -> Runtime:
    """Look for ONNX Runtime and try the libraries of its CUDA provider."""
    spec = find_spec("onnxruntime")
    if spec is None or spec.origin is None:
        return Runtime(reason="onnxruntime is not installed", remedy=_GPU_BUILD)
    folder = Path(spec.origin).parent
    facts = _facts(folder / _FACTS)
    version, cuda = facts.get("__version__", ""), _version(facts.get("cuda_version", ""))
    if not (folder / _PROVIDER).is_file():
        reason = f"this build of onnxruntime {version} has no CUDA provider"
        return Runtime(version=version, reason=reason, remedy=_EXCHANGE)
    missing = _missing_library(folder)
    if missing is None:
        return Runtime(version=version, cuda=cuda)
    return Runtime(
        version=version,
        cuda=cuda,
        reason=f"the CUDA provider of onnxruntime {version} does not load: {missing}",
        remedy=f'pip install "onnxruntime-gpu[cuda,cudnn]=={version}"' if version else _GPU_BUILD,
    )


def _facts(file: Path) -> dict[str, str]:
    """What the build says of itself: lines `name = 'text'`."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return {}
    return dict(re.findall(r"^(\w+) = ['\"](.*)['\"]$", text, re.M))


def _version(text: str) -> Version | None:
    found = re.match(r"(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else None


def _missing_library(folder: Path) -> str | None:
    """The loader's own words on what is missing; None if all is there."""
    from deepseek_cuda.onnx_stages.ort import ort

    # NVIDIA's wheels are on no path of the loader; older versions leave them to the user.
    getattr(ort, "preload_dlls", lambda: None)()
    try:
        ctypes.CDLL(str(folder / _SHARED), mode=ctypes.RTLD_GLOBAL)
        ctypes.CDLL(str(folder / _PROVIDER))
    except OSError as error:
        return str(error)
    return None
