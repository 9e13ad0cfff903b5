"""Lets OpenVINO's provider, which offers its device on Intel's processors only, run on any.

`python any_cpu.py FOLDER` makes a package `onnxruntime_ep_openvino` in a folder, to be put before
the installed one on PYTHONPATH; it prints that folder. Needs a C compiler and the provider.
"""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

PACKAGE = "onnxruntime_ep_openvino"
_STAND_IN = '''"""Stands in for the package of this name, see any_cpu.c."""


def get_library_path():
    return {shim!r}
'''


class NotHere(Exception):
    """The provider or what a stand-in needs is not there; the text says what."""


def is_needed():
    """Whether this machine's processor is of another make."""
    return "GenuineIntel" not in Path("/proc/cpuinfo").read_text(errors="replace")


def make(folder):
    """The stand-in for the provider's package in `folder`."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise NotHere(f"{PACKAGE} is not installed: make providers")
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise NotHere("a processor that is not Intel's, and no C compiler to stand in for it")
    real = next(Path(spec.origin).parent.glob("libonnxruntime_providers_*plugin.so"))
    package, shim = Path(folder) / PACKAGE, Path(folder) / "libany_cpu.so"
    package.mkdir(parents=True, exist_ok=True)
    source = Path(__file__).with_suffix(".c")
    options = ["-shared", "-fPIC", "-O1", f'-DANY_CPU_LIBRARY="{real}"', "-ldl"]
    subprocess.run([compiler, str(source), *options, "-o", str(shim)], check=True, timeout=60)
    text = _STAND_IN.format(shim=str(shim))
    (package / "__init__.py").write_text(text)
    return Path(folder)


if __name__ == "__main__":
    print(make(Path(sys.argv[1]).absolute()))
