"""A fresh environment in which the SDK is installed, made in a second."""

import subprocess
import sysconfig
import venv
from pathlib import Path

_SCRIPT = """#!{python}
import sys
from {module} import {name}
sys.exit({name}())
"""
_SCRIPTS = {"pip": ("pip._internal.cli.main", "main"), "ds-sdk": ("deepseek_core.cli", "main")}


def make_environment(folder):
    """A virtual environment that sees the packages of this one; what it installs is its own."""
    venv.create(folder, symlinks=True, with_pip=False)
    python = folder / "bin" / "python"
    here = sysconfig.get_path("purelib")
    there = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    # addsitedir, not the bare path: the packages under development are .pth files there.
    Path(there, "sdk.pth").write_text(f"import site; site.addsitedir({here!r})\n")
    for name, (module, function) in _SCRIPTS.items():
        script = folder / "bin" / name
        script.write_text(_SCRIPT.format(python=python, module=module, name=function))
        script.chmod(0o755)
    return folder
